"""Whole forms, multipart/form-data and urlencoded: in go headers and a body, out come fields and files.

The way is bytes -> ``parser`` (the push parser one step up, with no I/O: the text of fields, the events of files) ->
``collecting``, which gives each file to its target, and keeps what these made in a form (``model``). ``asynchronous``
reads the source for it, ``synchronous`` the same without an event loop: then nothing of what it awaits waits.
"""
