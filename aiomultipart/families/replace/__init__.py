"""Image streams, ``multipart/x-mixed-replace``: pictures that replace each other, known as MJPEG.

Which way the data flows: a response or a stream -> source -> ``Connection`` (a parser, and the frame in hand) ->
:class:`Frame` -> you; and pictures -> ``Script`` (their bytes) -> :class:`FrameStream` -> the response of each viewer.
"""
