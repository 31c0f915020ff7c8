"""What a message may cost: :class:`Limits`."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

__all__ = ("Limits",)

KIB = 1024
MIB = 1024 * KIB


def bound(limit: int | None) -> int:
    """A limit as a number to compare with: None is beyond anything that is counted."""
    return 1 << 63 if limit is None else limit


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
    max_files: int | None = None
    """Files of one form."""
    max_fields: int | None = None
    """Fields of one form that are no files."""

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
