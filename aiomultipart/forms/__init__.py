"""Whole forms, multipart/form-data and urlencoded: in go headers and a body, out come fields and files.

The way is bytes -> ``parser`` (the push parser one step up, with no I/O: the text of fields, the events of files) ->
``asynchronous``, which reads the source, gives each file to its target, and keeps what these made in a form. What does
the same without an event loop is there too.
"""
