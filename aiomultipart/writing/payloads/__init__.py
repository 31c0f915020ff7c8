"""The bodies of parts that are sent: in goes any object, out come its headers, its size if it is known, and its bytes.

``base`` says what a payload is; ``files`` are those that are read as they are sent; ``registry`` has those for what is
in memory and for streams, and finds the class for an object.
"""
