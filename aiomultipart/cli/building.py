"""A message built of parts in curl's notation."""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from aiomultipart.exceptions import StateError
from aiomultipart.writing.payloads.base import Payload
from aiomultipart.writing.payloads.files import BufferedReaderPayload, PathPayload
from aiomultipart.writing.payloads.memory import BytesPayload
from aiomultipart.writing.writer import MultipartWriter

from .failures import Failure
from .inputs import request_headers
from .notation import Kind, Spec, parse_part

__all__ = ("build",)


def build(
    parts: Sequence[str],
    subtype: str,
    boundary: str | None,
    on_progress: Callable[[int, int | None], object] | None = None,
) -> MultipartWriter:
    """The writer of a message.

    :raises Failure: a part cannot be read, or not be written.
    :raises OSError: a file is not there.
    """
    try:
        writer = MultipartWriter(subtype, boundary, on_progress=on_progress)
    except ValueError as exc:
        raise Failure(str(exc)) from exc
    messages: list[tuple[MultipartWriter, str]] = [(writer, "")]
    for text in parts:
        spec = parse_part(text)
        try:
            if spec.kind is Kind.END:
                if len(messages) == 1:
                    raise Failure("'=)' ends a message that no '=(' began")
                messages.pop()
            elif spec.kind is Kind.BEGIN:
                inner = _begin(spec)
                _add(messages[-1][0], inner, spec)
                messages.append((inner, text))
            elif spec.more:
                inner = MultipartWriter("mixed")  # as RFC 2388 has several files of one name
                _add(messages[-1][0], inner, Spec(spec.name, Kind.BEGIN))
                for file in (spec, *spec.more):
                    file.name = ""
                    _add(inner, _payload(file), file)
            else:
                _add(messages[-1][0], _payload(spec), spec)
        except (ValueError, TypeError, StateError) as exc:
            raise Failure(f"{text!r}: {exc}") from exc
    if len(messages) > 1:
        raise Failure(f"{messages[-1][1]!r} begins a message that no '=)' ends")
    return writer


def _begin(spec: Spec) -> MultipartWriter:
    media_type = spec.content_type or "multipart/mixed"
    type_, _, rest = media_type.partition("/")
    subtype, semicolon, _ = rest.partition(";")
    if type_.lower() != "multipart" or semicolon:
        raise Failure(f"{media_type!r} is no message of parts; multipart/alternative is one")
    return MultipartWriter(subtype.strip())


def _payload(spec: Spec) -> Payload:
    if spec.kind is Kind.TEXT:
        return BytesPayload(os.fsencode(spec.value), content_type=spec.content_type or "text/plain; charset=utf-8")
    # Any: content_type= and filename= are passed on only where they were given.
    given: dict[str, Any] = {}
    if spec.content_type is not None:
        given["content_type"] = spec.content_type
    if spec.kind is Kind.FILE:
        given["filename"] = spec.filename or Path(spec.value).name
        if spec.content_type is None and mimetypes.guess_type(given["filename"])[0] is None:
            given["content_type"] = mimetypes.guess_type(spec.value)[0]
    if spec.value == "-":
        return BufferedReaderPayload(sys.stdin.buffer, None, **given)
    payload = PathPayload(Path(spec.value), None, **given)
    payload.rewind()  # a file that is not there is an error before the first byte
    return payload


def _add(writer: MultipartWriter, payload: Payload, spec: Spec) -> None:
    in_form = writer.content_type.lower().startswith("multipart/form-data")
    headers = payload.headers
    if in_form and not spec.name:
        raise Failure("a part of form-data has a name: NAME=..., or --subtype mixed for a message without names")
    # As of browsers and curl. Outside of forms no type is US-ASCII (RFC 2046 section 5.1).
    is_bare = spec.kind is Kind.CONTENT or (spec.kind is Kind.TEXT and (in_form or spec.value.isascii()))
    if is_bare and spec.content_type is None:
        headers.popall("Content-Type", None)
    filename = spec.filename
    if spec.kind is Kind.FILE and filename is None:
        filename = Path(spec.value).name
    given = {"name": spec.name, "filename": filename}
    disposition = {key: value for key, value in given.items() if value}
    if in_form:
        payload.set_content_disposition("form-data", True, **disposition)
    elif disposition:
        payload.set_content_disposition("attachment", True, **disposition)
    if spec.encoder is not None:
        headers["Content-Transfer-Encoding"] = spec.encoder
    own = CIMultiDict(request_headers(_header_lines(spec.headers)))
    for name in own:
        headers.popall(name, None)
    headers.extend(own)
    writer.append_payload(payload)


def _header_lines(values: Sequence[str]) -> list[str]:
    """Header fields: as they are, or "@" and the name of a file of them."""
    lines: list[str] = []
    for value in values:
        if value.startswith("@"):
            text = Path(value[1:]).read_text("utf-8")
            lines += [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        else:
            lines.append(value)
    return lines
