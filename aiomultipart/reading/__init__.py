"""Messages read with asyncio: in goes a source of bytes, out come body parts, read in order, each once.

The way is source -> ``message`` (one message, and a cursor for each of its levels) -> ``body`` (the pieces of one
part, raw), through ``decoded`` where codings are undone -> ``part`` -> ``reader``, which hands the parts out.
``alone`` is for a part without its message, ``response`` for those of clients, ``walk`` for the ways through. Bytes
are asked for when somebody waits for them, and never handed back to the source.
"""
