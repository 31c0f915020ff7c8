"""Thin layers over reading and writing, one module for each family of messages: image streams, byte ranges."""
