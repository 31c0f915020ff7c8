"""The grammar of header fields, read and written: one place for each rule, with the RFC's own grammar beside it.

In goes the text of a field block that somebody else has cut out, or the value of one field; out come names and values,
media types, dispositions, boundaries, charsets. The other way, values become a field that can be sent as it is. Nothing
here knows where the text came from, or where it goes.

Rules.

- Everything works on ``str``; the wire's bytes become ``str`` once, in :func:`.fields.decode_field_block`.
- A regex stands beside the rule it came from and cannot backtrack, so that reading is linear in the input. What it
  repeats is one class of characters, possessively. A possessive group would match wrongly on CPython 3.11.0 to 3.11.4
  (gh-106052); where a rule repeats more than a class, a few lines of Python do. What may be left out, ``(...)?``, is
  never followed by what it could begin with.
- A header either has one meaning under the policy in force, or is a :exc:`ParseError` that names the field. What a
  policy forgives is returned as a defect, a short word that the parser gives a place to.
- What is written is a field or a :exc:`ValueError`: nothing that was given can end a line.
"""
