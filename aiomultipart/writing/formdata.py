"""Building the body of a form: :class:`FormData`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from multidict import MultiDict, MultiDictProxy

from aiomultipart.grammar.disposition import format_disposition
from aiomultipart.grammar.fields import check_field
from aiomultipart.grammar.media_type import media_type_charset

from .head import Field, HeadersLike, check_charset, header_items, render, value_of
from .payloads import registry
from .payloads.files import file_name
from .payloads.memory import BytesPayload
from .writer import MultipartWriter

__all__ = ("FormData",)


class FormData:
    """Fields of a form; called, it gives the body: urlencoded, or multipart/form-data once there is a file.

    :param fields: a mapping, a file, or an iterable of (name, value) pairs, files and multidicts.
    :param quote_fields: escape names as browsers do (WHATWG); False: with backslashes.
    :param charset: of text whose field names none; UTF-8 if not given.
    :param default_to_multipart: multipart even without a file.
    :param on_progress: of a multipart body; see :class:`MultipartWriter`.
    :raises ValueError: the charset, a name or a file name cannot be written.
    :raises UnsupportedEncoding: an unknown charset.
    """

    def __init__(
        self,
        fields: Iterable[Any] | Mapping[str, Any] | io.IOBase = (),
        quote_fields: bool = True,
        charset: str | None = None,
        *,
        default_to_multipart: bool = False,
        on_progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        # Name, file name, value, Content-Type, further header fields, size
        self._fields: list[tuple[str, str | None, Any, str | None, list[Field], int | None]] = []
        self._is_multipart = default_to_multipart
        self._quote_fields = quote_fields
        self._charset = None if charset is None else check_charset(charset)
        self._on_progress = on_progress
        self._body: MultipartWriter | BytesPayload | None = None
        if isinstance(fields, Mapping):
            self.add_fields(*fields.items())
        elif isinstance(fields, (io.IOBase, str)):
            self.add_fields(fields)
        else:
            self.add_fields(*fields)

    @property
    def is_multipart(self) -> bool:
        """Whether the body will be multipart/form-data."""
        return self._is_multipart

    def add_field(
        self,
        name: str,
        value: Any,
        *,
        content_type: str | None = None,
        filename: str | None = None,
        size: int | None = None,
        headers: HeadersLike | None = None,
    ) -> None:
        """Add a field.

        :param value: text, bytes, a file, a path (:class:`os.PathLike`; a ``str`` is text), an async iterable …; bytes,
            files and paths are files of the form.
        :param content_type: of the part.
        :param filename: the name of the file; that of the file object or path, or the field's for bytes, if not given.
        :param size: how many bytes an object of unknown size will come to.
        :param headers: further header fields of the part.
        :raises TypeError: a name or the content type is no string.
        :raises ValueError: a name, the content type or a header field cannot be written, or is not allowed in a form.
        """
        self._body = None
        bare = content_type is None and filename is None and size is None and headers is None
        if bare and isinstance(value, str) and isinstance(name, str):
            if not name.isprintable():
                self._check(name)
            self._fields.append((name, None, value, None, [], None))
            return
        if filename is None:
            if isinstance(value, (bytes, bytearray, memoryview)):
                filename = name
            elif not isinstance(value, str):
                filename = file_name(value) or (name if isinstance(value, io.IOBase) else None)
        for text in (name, filename, content_type):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{text!r} is not a string")
        self._check(name)
        if filename is not None:
            self._check(filename)
        if content_type is not None:
            check_field("Content-Type", content_type)
        fields = [] if headers is None else list(header_items(headers))
        render(fields, in_form_data=True)
        if value_of(fields, "content-disposition") is not None:
            raise ValueError("the Content-Disposition of a field is made of its name and its filename")
        if not bare or filename is not None or not isinstance(value, (str, int, float)):
            self._is_multipart = True
        self._fields.append((name, filename, value, content_type, fields, size))

    def _check(self, name: str) -> None:
        """Raise for what no header can hold here, where the caller can see whose name it is."""
        if not name.isprintable():
            format_disposition("form-data", {"name": name}, quote_fields=self._quote_fields).encode()

    def add_fields(self, *fields: Any) -> None:
        """Add files, (name, value) pairs and multidicts.

        :raises TypeError: one is none of these.
        """
        for field in fields:
            if isinstance(field, io.IOBase):
                self.add_field(file_name(field) or "unknown", field)
            elif isinstance(field, (MultiDict, MultiDictProxy)):
                self.add_fields(*field.items())
            elif isinstance(field, (list, tuple)) and len(field) == 2:
                self.add_field(*field)
            else:
                raise TypeError(f"a field is a file, a (name, value) pair or a multidict, not {field!r}")

    # Any: a urlencoded one is another Payload.
    def __call__(self) -> MultipartWriter | Any:
        """The body; the same object until a field is added.

        :raises TypeError: a value cannot be sent.
        """
        if self._body is None:
            self._body = self._multipart() if self._is_multipart else self._urlencoded()
        return self._body

    def _multipart(self) -> MultipartWriter:
        writer = MultipartWriter("form-data", on_progress=self._on_progress)
        for name, filename, value, content_type, fields, size in self._fields:
            if isinstance(value, (int, float)):
                value = str(value)
            try:
                factory = registry.payload_factory(value)
            except registry.LookupError as exc:
                raise TypeError(f"{exc} (as field {name!r})") from None
            if factory is None:
                part = value
            elif content_type is None and self._charset is None:
                part = factory(value)
            elif content_type is None:
                part = factory(value, encoding=self._charset)
            else:
                charset = media_type_charset(content_type) or self._charset
                part = factory(value, encoding=charset, content_type=content_type)
            if fields:
                part.headers.update(fields)
            if size is not None:
                part.declare_size(size)
            if filename is None:
                part.set_content_disposition("form-data", self._quote_fields, name=name)
            else:
                part.set_content_disposition("form-data", self._quote_fields, name=name, filename=filename)
            writer.append_payload(part)
        return writer

    def _urlencoded(self) -> BytesPayload:
        charset = self._charset or "utf-8"
        content_type = "application/x-www-form-urlencoded"
        if charset.lower() != "utf-8":
            content_type += f"; charset={charset}"
        pairs = [(name, value) for name, _, value, *_ in self._fields]
        return BytesPayload(urlencode(pairs, encoding=charset).encode(), content_type=content_type)
