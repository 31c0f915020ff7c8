"""Messages written: in go objects, out come bytes, to whatever takes them.

The way is object -> payload (``payloads``) -> codec -> ``layout`` -> sink (``sinks``). ``writer`` collects the parts
and describes the message, once, as a layout: its size adds up what ``write()``, iteration and ``as_bytes()`` render.
``formdata`` builds forms upon that, and ``relay`` sends a received part on.
"""
