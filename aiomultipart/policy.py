"""How strictly a message is read: the table of doubtful constructs, and :class:`Policy`, its columns."""

from __future__ import annotations

import enum

__all__ = ("Policy",)


class Verdict(enum.Enum):
    """What a policy makes of a construct."""

    REJECT = "reject"
    """An error."""
    IGNORE = "ignore"
    """It has no meaning: what it looks like is plain data, or an ordinary field."""
    ACCEPT = "accept"
    """It means what its sender meant."""
    FORGIVE = "forgive"
    """Accepted, and recorded as a defect."""


REJECT, IGNORE, ACCEPT, FORGIVE = Verdict


class Row:
    """One row of the table: what each policy makes of one construct."""

    def __init__(self, strict: Verdict, standard: Verdict, lenient: Verdict) -> None:
        self.verdicts: tuple[Verdict, Verdict, Verdict] = (strict, standard, lenient)

    def __get__(self, rules: object, owner: type) -> Verdict:
        raise AttributeError("only the rules of a policy have verdicts")  # each Rules holds its own


class Rules:
    """The table of ambiguous constructs, read by column: ``policy.rules.folded_line`` is a :class:`Verdict`.

    What no policy forgives (a boundary that is there twice, a header twice, control characters in headers) has no row,
    and neither has what all of them read alike (quoted-pairs outside form-data, ``%22``).
    """

    # fmt: off
    # headers                               STRICT  STANDARD LENIENT
    white_space_around_equals: Row     = Row(REJECT, REJECT,  FORGIVE)
    value_that_is_no_token: Row        = Row(REJECT, ACCEPT,  ACCEPT)   # unquoted; so that "boundary=a=b" is read
    control_in_extended_parameter: Row = Row(REJECT, REJECT,  FORGIVE)  # "filename*=utf-8''%00"; the plain one, if any
    boundary_outside_bchars: Row       = Row(REJECT, ACCEPT,  ACCEPT)   # quoted, printable (RFC 2046 section 5.1.1)
    boundary_in_content_range: Row     = Row(REJECT, REJECT,  FORGIVE)  # Starlette's byteranges before 2026
    folded_line: Row                   = Row(REJECT, ACCEPT,  ACCEPT)
    bad_extended_parameter: Row        = Row(REJECT, FORGIVE, FORGIVE)  # beside a plain one, or outside form-data
    bad_content_type: Row              = Row(REJECT, FORGIVE, FORGIVE)  # of a part that is not multipart
    bad_content_length: Row            = Row(REJECT, REJECT,  FORGIVE)
    multipart_without_boundary: Row    = Row(REJECT, FORGIVE, FORGIVE)  # a part, read like any other
    # headers in form-data (RFC 7578)
    extended_parameter: Row            = Row(REJECT, ACCEPT,  ACCEPT)   # beside a plain one, that wins: a defect
    extended_charset: Row              = Row(REJECT, REJECT,  FORGIVE)  # not UTF-8 or ISO-8859-1, and no plain one
    continued_parameter: Row           = Row(REJECT, REJECT,  FORGIVE)
    literal_backslash: Row             = Row(REJECT, FORGIVE, FORGIVE)  # where a quoted-pair would leave a quote open
    no_form_data_name: Row             = Row(REJECT, FORGIVE, FORGIVE)  # or another disposition
    nameless_field: Row                = Row(REJECT, REJECT,  FORGIVE)  # the same, to form readers
    transfer_encoding_in_form_data: Row = Row(REJECT, ACCEPT,  ACCEPT)
    charset_field: Row                 = Row(IGNORE, ACCEPT,  ACCEPT)
    nested_files: Row                  = Row(REJECT, ACCEPT,  ACCEPT)   # multipart/mixed (RFC 2388), to form readers
    # framing
    dashes_in_boundary: Row            = Row(IGNORE, IGNORE,  FORGIVE)  # "--b" is the whole dash-boundary; rows 1, 3
    line_feed_only: Row                = Row(REJECT, REJECT,  FORGIVE)  # a first delimiter line that ends so
    loose_image_stream: Row            = Row(IGNORE, IGNORE,  FORGIVE)  # x-mixed-replace: rows 6, 7 and 11
    text_around_form_data: Row         = Row(REJECT, ACCEPT,  ACCEPT)   # preamble and epilogue
    body_ends_at_content_length: Row   = Row(IGNORE, ACCEPT,  ACCEPT)   # STRICT waits for the delimiter
    wrong_content_length: Row          = Row(REJECT, REJECT,  FORGIVE)
    missing_close_delimiter: Row       = Row(REJECT, REJECT,  FORGIVE)
    empty_body: Row                    = Row(REJECT, FORGIVE, FORGIVE)  # no bytes at all, to form readers
    # bodies
    unknown_encoding: Row              = Row(REJECT, REJECT,  FORGIVE)  # charsets: UTF-8 with replacement; codings: raw
    undecodable_text: Row              = Row(REJECT, REJECT,  FORGIVE)  # by the charset that it is in: with replacement
    # fmt: on

    def __init__(self, column: int) -> None:
        for name, row in vars(Rules).items():
            if isinstance(row, Row):
                setattr(self, name, row.verdicts[column])


class Policy(enum.Enum):
    """How odd constructs are read: what real senders send, and what an attacker might."""

    STRICT = "strict"
    """Refuse whatever RFC 7578 and RFC 2046 do not allow."""

    STANDARD = "standard"
    """What real senders send, each construct with exactly one meaning. The default."""

    LENIENT = "lenient"
    """For devices: forgive, and record what was forgiven in ``defects``. Asked for, never guessed."""

    rules: Rules
    """What the policy makes of each ambiguous construct."""


for _column, _policy in enumerate(Policy):
    _policy.rules = Rules(_column)
