"""Messages written: in go objects, out come bytes, to whatever takes them, with an event loop or without.

The way is object -> payload (``payloads``) -> layout (``layout``) -> sink (``sinks``). ``writer`` collects the parts.
``layout`` describes the message, once, has ``head`` write each header block, and is the one way from there to the
bytes: what ``write()``, iteration, ``serialize()`` and ``as_bytes()`` give, and what the size counts. ``formdata``
builds forms upon that, and ``relay`` sends a received part on.
"""
