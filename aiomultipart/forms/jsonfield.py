"""Fields that hold JSON, parsed, and what they take in memory: some texts become twenty times as large."""

from __future__ import annotations

import json
import sys
from typing import Any

from aiomultipart.exceptions import CodecError

from .events import Field, size_of_field
from .multipart import locate

__all__ = ("parse_json", "size_of_json")


# Any: what JSON is
def parse_json(field: Field) -> Any:
    """The value of a field whose Content-Type is JSON; of any other its text.

    :raises CodecError: it is no JSON.
    """
    if field.part is None or field.part.content_type is None:
        return field.value
    content_type = field.part.content_type
    if content_type != "application/json" and not content_type.endswith("+json"):
        return field.value
    try:
        return json.loads(field.value)
    except (ValueError, RecursionError) as exc:
        error = CodecError(f"field is not JSON: {exc}", code="bad-json", part_name=field.name)
        locate(error, field.part)
        raise error from exc


def size_of_json(field: Field, value: Any) -> int:
    """What is held of a field with this value, in bytes."""
    if isinstance(value, str):
        return size_of_field(field.name, value)
    size, values, names = 0, [value], set[int]()
    while values:
        value = values.pop()
        size += sys.getsizeof(value)
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict):
            values += value.values()
            for name in value:
                if id(name) not in names:  # the same name is one object
                    names.add(id(name))
                    size += sys.getsizeof(name)
    return size_of_field(field.name, "") + size
