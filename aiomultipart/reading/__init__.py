"""Messages read with asyncio: in goes a source of bytes, out come body parts, read in order, each once.

The way is source -> ``levels`` (one message, its parser, and the parsers of nested messages stacked on it) -> ``part``
(one body part, raw), through ``decoded`` where codings are undone -> ``reader``, which hands the parts out. Bytes are
asked for when somebody waits for them, and never handed back to the source.
"""
