"""The bodies of parts that are sent: in goes any object, out come its header fields, its size if it is known, and its
bytes, with an event loop and, where they do not come from one, without.

``base`` says what a payload is; ``memory``, ``files`` and ``streams`` are those that there are, and ``registry`` finds
the one for an object.
"""
