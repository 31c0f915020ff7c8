"""What a message may cost (:class:`Limits`), and how strictly it is read (:class:`Policy`)."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Self

__all__ = ("Limits", "Policy")

KIB = 1024
MIB = 1024 * KIB


def bound(limit: int | None) -> int:
    """A limit as a number to compare with: None is beyond anything that is counted."""
    return 1 << 63 if limit is None else limit


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


class _Row:
    """One row of the table: what each policy makes of one construct."""

    def __init__(self, strict: Verdict, standard: Verdict, lenient: Verdict) -> None:
        self.verdicts = (strict, standard, lenient)

    def __get__(self, rules: object, owner: type) -> Verdict:
        raise AttributeError("only the rules of a policy have verdicts")  # each Rules holds its own


class Rules:
    """The table of ambiguous constructs, read by column: ``policy.rules.folded_line`` is a :class:`Verdict`.

    What no policy forgives (a boundary that is there twice, a header twice, control characters in headers) has no row,
    and neither has what all of them read alike (quoted-pairs outside form-data, ``%22``).
    """

    # fmt: off
    # headers                               STRICT  STANDARD LENIENT
    white_space_around_equals = _Row(       REJECT, REJECT,  FORGIVE)
    value_that_is_no_token = _Row(          REJECT, ACCEPT,  ACCEPT)    # unquoted; so that "boundary=a=b" is read
    control_in_extended_parameter = _Row(   REJECT, REJECT,  FORGIVE)   # "filename*=utf-8''%00"; the plain one, if any
    boundary_outside_bchars = _Row(         REJECT, ACCEPT,  ACCEPT)    # quoted, printable (RFC 2046 section 5.1.1)
    boundary_in_content_range = _Row(       REJECT, REJECT,  FORGIVE)   # Starlette's byteranges before 2026
    folded_line = _Row(                     REJECT, ACCEPT,  ACCEPT)
    bad_extended_parameter = _Row(          REJECT, FORGIVE, FORGIVE)   # beside a plain one, or outside form-data
    bad_content_type = _Row(                REJECT, FORGIVE, FORGIVE)   # of a part that is not multipart
    bad_content_length = _Row(              REJECT, REJECT,  FORGIVE)
    multipart_without_boundary = _Row(      REJECT, FORGIVE, FORGIVE)   # a part, read like any other
    # headers in form-data (RFC 7578)
    extended_parameter = _Row(              REJECT, ACCEPT,  ACCEPT)
    extended_beside_plain = _Row(           REJECT, FORGIVE, FORGIVE)   # the plain one wins
    extended_charset = _Row(                REJECT, REJECT,  FORGIVE)   # not UTF-8 or ISO-8859-1, and no plain one
    continued_parameter = _Row(             REJECT, REJECT,  FORGIVE)
    literal_backslash = _Row(               REJECT, FORGIVE, FORGIVE)   # where a quoted-pair would leave a quote open
    no_form_data_name = _Row(               REJECT, FORGIVE, FORGIVE)   # or another disposition
    nameless_field = _Row(                  REJECT, REJECT,  FORGIVE)   # the same, to form readers
    transfer_encoding_in_form_data = _Row(  REJECT, ACCEPT,  ACCEPT)
    charset_field = _Row(                   IGNORE, ACCEPT,  ACCEPT)
    nested_files = _Row(                    REJECT, ACCEPT,  ACCEPT)    # multipart/mixed (RFC 2388), to form readers
    # framing
    dashes_in_boundary = _Row(              IGNORE, IGNORE,  FORGIVE)   # "--b" is the whole dash-boundary; rows 1, 3
    line_feed_only = _Row(                  REJECT, REJECT,  FORGIVE)   # a first delimiter line that ends so
    loose_image_stream = _Row(              IGNORE, IGNORE,  FORGIVE)   # x-mixed-replace: rows 6, 7 and 11
    text_around_form_data = _Row(           REJECT, ACCEPT,  ACCEPT)    # preamble and epilogue
    body_ends_at_content_length = _Row(     IGNORE, ACCEPT,  ACCEPT)    # STRICT waits for the delimiter
    wrong_content_length = _Row(            REJECT, REJECT,  FORGIVE)
    missing_close_delimiter = _Row(         REJECT, REJECT,  FORGIVE)
    empty_body = _Row(                      REJECT, FORGIVE, FORGIVE)   # no bytes at all, to form readers
    # bodies
    unknown_encoding = _Row(                REJECT, REJECT,  FORGIVE)   # charsets: UTF-8 with replacement; codings: raw
    undecodable_text = _Row(                REJECT, REJECT,  FORGIVE)   # by the charset that it is in: with replacement
    # fmt: on

    def __init__(self, column: int) -> None:
        for name, row in vars(Rules).items():
            if isinstance(row, _Row):
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on one message, nested parts included. None means no bound; sizes are in bytes.

    ``Limits()`` is the readers' default, :meth:`for_forms` the form readers'. Each bound is checked before what it
    bounds is stored; passing it raises :exc:`~aiomultipart.LimitExceeded`, and whether it is passed never depends on
    how the input was cut.

    :raises ValueError: a value is negative.
    :raises TypeError: a value is neither an int nor None.
    """

    max_boundary_length: int | None = 70
    """Length of the boundary (RFC 2046 section 5.1.1 allows 70)."""
    max_headers: int | None = 128
    """Header fields of one part."""
    max_header_line: int | None = 8 * KIB
    """One header line, folds not joined, without its line end; also the padding of one delimiter line."""
    max_header_bytes: int | None = 64 * KIB
    """The header block of one part."""
    max_total_header_bytes: int | None = None
    """All header blocks together."""
    max_parameters: int | None = 32
    """Parameters of one header field."""
    max_parts: int | None = None
    """Body parts, at all levels together."""
    max_depth: int | None = 4
    """Levels of multipart: 1 is a message without nested multipart. Never more than 64, also for None."""
    max_part_size: int | None = None
    """Raw body of one part."""
    max_total_size: int | None = None
    """Everything that arrives, headers and delimiters too."""
    max_preamble: int | None = 64 * KIB
    """What stands before the first delimiter."""
    max_epilogue: int | None = 64 * KIB
    """What follows the close-delimiter."""
    max_decoded_size: int | None = None
    """Decoded body of one part."""
    max_decode_ratio: int | None = 200
    """Decoded size over raw size, once more than ``decode_ratio_floor`` has been decoded."""
    decode_ratio_floor: int = 64 * MIB
    """Decoded size up to which ``max_decode_ratio`` is not looked at."""
    max_field_size: int | None = None
    """One form field that is no file."""
    max_memory: int | None = None
    """Fields and unspooled files of one form together, before files go to disk."""
    max_open_files: int | None = None
    """Files of one form that are open at the same time."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "decode_ratio_floor":
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{field.name} must be an int or None, not {value!r}")
            if value < 0:
                raise ValueError(f"{field.name} must not be negative: {value}")

    # Any: dataclasses.replace() checks the names, and __post_init__ the values.
    @classmethod
    def for_forms(cls, **changes: Any) -> Self:
        """The form readers' bounds, with ``changes`` by field name.

        A larger ``max_part_size`` raises ``max_decoded_size`` to the same and ``max_total_size`` to 64 MiB more, unless
        they are given too: who allows a file of 1 GiB wants to receive one.
        """
        limits = dataclasses.replace(cls(**_FORMS), **changes)
        size = limits.max_part_size
        if "max_part_size" not in changes or size is None:
            return limits
        raised = {"max_decoded_size": size, "max_total_size": size + 64 * MIB}
        return dataclasses.replace(
            limits, **{name: max(_FORMS[name], value) for name, value in raised.items() if name not in changes}
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with ``changes`` by field name."""
        return dataclasses.replace(self, **changes)


DEFAULT_LIMITS = Limits()

_FORMS = {
    "max_headers": 16,
    "max_header_bytes": 16 * KIB,
    "max_total_header_bytes": 1 * MIB,
    "max_parts": 1000,
    "max_depth": 1,
    "max_part_size": 64 * MIB,
    "max_total_size": 128 * MIB,
    "max_preamble": 4 * KIB,
    "max_epilogue": 4 * KIB,
    "max_decoded_size": 64 * MIB,
    "decode_ratio_floor": 1 * MIB,
    "max_field_size": 1 * MIB,
    "max_memory": 8 * MIB,
    "max_open_files": 64,
}
