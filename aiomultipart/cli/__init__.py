"""The command line: ``aiomultipart`` and ``python -m aiomultipart``.

In go the arguments and a file, standard input or a URL; out come lines, files and an exit code. What is read goes
``inputs`` (where the bytes come from) -> ``heads`` (what stands before the body, and which boundary it has) ->
``tree`` (push parsers, stacked) -> a command, a module for each. What is written goes ``notation`` (curl's ``-F``) ->
``building`` (a writer) -> a command. No body is kept in memory, so that the size of a file makes no difference.

``arguments`` holds what may be asked for, ``main`` what becomes of errors, ``terminal`` how things look. rich and
httpx, the extra ``cli``, are imported where they are used: a script that writes into a pipe does not wait for colours.
"""
