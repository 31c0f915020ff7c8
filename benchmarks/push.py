"""Push parsing: chunks in; the name, file name, content type and body of every part out.

Each contestant is driven as its users drive it. Where a whole form is small, bodies are joined. To join megabytes takes
longer than to parse them and would hide the parsers, so of large bodies each chunk is taken, and its size kept.
"""

from __future__ import annotations

import functools
import logging
import os
import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, PartBegin, PushMultipartParser, implementation, push

from .harness import Scenario, available

BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"
DELIMITER = f"\r\n--{BOUNDARY}".encode()
KIB, MB = 1024, 1_000_000
CHUNKS = {"1.4": 1434, "16": 16 * KIB, "64": 64 * KIB}  # a packet, a small and a large buffer

Message: TypeAlias = Sequence[bytes]  # in the chunks in which it arrives
Parts: TypeAlias = list[tuple[str | None, str | None, str | None, object]]
Parse: TypeAlias = Callable[[Message], Parts]


def _ours(keep: bool, limits: Limits | None = None, cls: type[push.PushMultipartParser] = PushMultipartParser) -> Parse:
    def parse(message: Message) -> Parts:
        parts: Parts = []
        chunks: list[bytes] = []
        size = 0
        parser = cls(BOUNDARY, subtype="form-data", limits=limits)
        for chunk in message:
            for event in parser.feed(chunk):
                if isinstance(event, PartBegin):
                    begin, chunks, size = event, [], 0
                elif event is PART_END:
                    body = b"".join(chunks) if keep else size
                    parts.append((begin.name, begin.filename, begin.content_type, body))
                elif event is not END:
                    if keep:
                        chunks.append(event)
                    else:
                        size += len(event)
        parser.close()
        return parts

    return parse


def _multipart(keep: bool) -> Parse:
    import multipart  # type: ignore[import-untyped]

    def parse(message: Message) -> Parts:
        parts: Parts = []
        chunks: list[bytes] = []
        size = 0
        parser = multipart.PushMultipartParser(BOUNDARY)
        for chunk in message:
            for event in parser.parse(chunk):
                if isinstance(event, multipart.MultipartSegment):
                    segment, chunks, size = event, [], 0
                elif event is None:
                    body = b"".join(chunks) if keep else size
                    parts.append((segment.name, segment.filename, segment.content_type, body))
                elif keep:
                    chunks.append(event)
                else:
                    size += len(event)
        parser.close()
        return parts

    return parse


def _python_multipart(keep: bool) -> Parse:
    from python_multipart.multipart import MultipartParser, parse_options_header

    logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # what it rejects, it also logs

    class Form:
        """Its callbacks, as Starlette has them."""

        def __init__(self) -> None:
            self.parts: Parts = []

        def on_part_begin(self) -> None:
            self.headers: dict[bytes, bytes] = {}
            self.field = self.value = b""
            self.chunks: list[bytes] = []
            self.size = 0

        def on_header_field(self, data: bytes, start: int, end: int) -> None:
            self.field += data[start:end]

        def on_header_value(self, data: bytes, start: int, end: int) -> None:
            self.value += data[start:end]

        def on_header_end(self) -> None:
            self.headers[self.field.lower()] = self.value
            self.field = self.value = b""

        def on_part_data(self, data: bytes, start: int, end: int) -> None:
            if keep:
                self.chunks.append(data[start:end])
            else:
                self.size += len(data[start:end])

        def on_part_end(self) -> None:
            _, options = parse_options_header(self.headers[b"content-disposition"])
            filename = options.get(b"filename")
            content_type = self.headers.get(b"content-type")
            self.parts.append(
                (
                    options[b"name"].decode(),
                    None if filename is None else filename.decode(),
                    None if content_type is None else content_type.decode(),
                    b"".join(self.chunks) if keep else self.size,
                )
            )

    def parse(message: Message) -> Parts:
        form = Form()
        parser = MultipartParser(
            BOUNDARY,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
            },
        )
        for chunk in message:
            parser.write(chunk)
        parser.finalize()
        return form.parts

    return parse


def _werkzeug(keep: bool) -> Parse:
    from werkzeug.sansio.multipart import NEED_DATA, Data, Epilogue, Field, File, MultipartDecoder

    boundary = BOUNDARY.encode()

    def parse(message: Message) -> Parts:
        parts: Parts = []
        begin: Field | File
        chunks: list[bytes] = []
        size = 0
        decoder = MultipartDecoder(boundary)
        for chunk in (*message, None):
            decoder.receive_data(chunk)
            while (event := decoder.next_event()) is not NEED_DATA:
                if isinstance(event, (Field, File)):
                    begin, chunks, size = event, [], 0
                elif isinstance(event, Data):
                    if keep:
                        chunks.append(event.data)
                    else:
                        size += len(event.data)
                    if not event.more_data:
                        filename = begin.filename if isinstance(begin, File) else None
                        body = b"".join(chunks) if keep else size
                        parts.append((begin.name, filename, begin.headers.get("content-type"), body))
                elif isinstance(event, Epilogue):
                    break
        return parts

    return parse


def _streaming_form_data(keep: bool) -> Parse:
    from streaming_form_data import StreamingFormDataParser  # type: ignore[import-untyped]
    from streaming_form_data.targets import BaseTarget  # type: ignore[import-untyped]

    class Form(BaseTarget):  # type: ignore[misc]  # without types
        """The target of all parts, whatever their name, which only the matcher is told."""

        def __init__(self) -> None:
            super().__init__()
            self.parts: Parts = []

        def matches(self, _: str, name: str) -> bool:
            self.name = name
            return True

        def on_start(self) -> None:
            self.multipart_content_type = None
            self.chunks: list[bytes] = []
            self.size = 0

        def on_data_received(self, chunk: bytes) -> None:
            if keep:
                self.chunks.append(chunk)
            else:
                self.size += len(chunk)

        def on_finish(self) -> None:
            body = b"".join(self.chunks) if keep else self.size
            self.parts.append((self.name, self.multipart_filename, self.multipart_content_type, body))

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    def parse(message: Message) -> Parts:
        form = Form()
        parser = StreamingFormDataParser(headers)
        parser.register("any", form, form.matches)
        for chunk in message:
            parser.data_received(chunk)
        return form.parts

    return parse


def _emmett_core(keep: bool) -> Parse:
    # Where this is set, the extension makes backtraces, which take five times as long as to parse a small form.
    os.environ.pop("RUST_BACKTRACE", None)
    from emmett_core._emmett_core import MultiPartReader

    content_type = f"multipart/form-data; boundary={BOUNDARY}"

    def parse(message: Message) -> Parts:
        parts: Parts = []
        reader = MultiPartReader(content_type, 64 * MB)
        for chunk in message:
            reader.parse(chunk)
        for name, is_file, content in reader.contents():
            if is_file:
                body = b"".join(content) if keep else sum(map(len, content))
                parts.append((name, content.filename, content.content_type, body))
            else:
                parts.append((name, None, None, content if keep else len(content)))
        return parts

    return parse


def _find(message: Message) -> int:
    """Each chunk searched once, and nothing else."""
    return sum(chunk.find(DELIMITER) for chunk in message)


PEERS = {
    "multipart": _multipart,
    "python-multipart": _python_multipart,
    "werkzeug": _werkzeug,
    "streaming-form-data": _streaming_form_data,
    "emmett-core": _emmett_core,
}
FORMS, FILES, WORST = (f"Push parsing: {what}" for what in ("small forms", "files", "worst cases"))
OURS, REFERENCE, FIND = "aiomultipart", "the same in Python", "bytes.find alone"
WITH_JUNK = Limits(max_preamble=None, max_epilogue=None)


def _contestants(*, keep: bool, limits: Limits | None = None) -> dict[str, Parse]:
    """Ours, without its accelerator too if it has one, and the others."""
    ours = {OURS: _ours(keep, limits)}
    if implementation == "c":
        ours[REFERENCE] = _ours(keep, limits, push.PushMultipartParser)
    return {**ours, **available(PEERS, keep=keep)}


def _render(*parts: tuple[str, bytes]) -> bytes:
    """A message of ``parts``, which are given as the rest of the Content-Disposition line, and the body."""
    data = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"
        for head, body in parts
    )
    return data + f"--{BOUNDARY}--\r\n".encode()


def _cut(data: bytes, chunk: int = 64 * KIB) -> Message:
    return [data[start : start + chunk] for start in range(0, len(data), chunk)]


def _form(tag: object, fields: int, chunk: int) -> Message:
    return _cut(_render(*((f'name="{tag}-field{i}"', f"value of field {i}".encode()) for i in range(fields))), chunk)


_octets = random.Random(1).randbytes
FILE = 'name="file"; filename="1.jpg"\r\nContent-Type: image/jpeg'


def _upload() -> bytes:
    return _render((FILE, _octets(32 * MB)))


def _mixed() -> bytes:
    return _render(
        ('name="title"', b"holidays"),
        ('name="first"; filename="1.jpg"\r\nContent-Type: image/jpeg', _octets(1 * MB)),
        ('name="second"; filename="2.jpg"\r\nContent-Type: image/jpeg', _octets(2 * MB)),
        ('name="note"', b"by train"),
    )


def _only(pattern: bytes) -> bytes:
    return _render((FILE, (pattern * (MB // len(pattern) + 1))[:MB]))


def _amid_junk() -> bytes:
    return _octets(MB) + b"\r\n" + _render((FILE, b"a small file")) + _octets(MB)


def _small(
    title: str, fields: int, messages: int, best: float | None, *, cold: bool, chunk: int = 64 * KIB
) -> Scenario[Message]:
    again = _form("w", fields, chunk)
    return Scenario(
        group=FORMS,
        title=title,
        contestants=_contestants(keep=True),
        # Several in one sample, so that each sample has its share of what a full cache costs.
        inputs=lambda serial: [_form(f"{serial:05}-{i:03}", fields, chunk) if cold else again for i in range(messages)],
        floors=frozenset({REFERENCE}),
        best=best,
        bars={REFERENCE: 1.0},
        items=fields or 1,
    )


def _large(
    group: str, title: str, render: Callable[[], bytes], size: int, best: float, times: int = 3, *, junk: bool = False
) -> list[Scenario[Message]]:
    """One scenario for each size of chunk; ``best`` is the bar where chunks are large."""
    bars = {"1.4": 0.8 if junk else 2.0, "16": 2.0, "64": best}
    message = functools.cache(render)
    cut = functools.lru_cache(1)(lambda chunk: _cut(message(), chunk))
    limits = WITH_JUNK if junk else None
    rejecting = frozenset({"python-multipart", "streaming-form-data"}) if junk else frozenset()
    return [
        Scenario(
            group=group,
            title=f"{title}, chunks of {name} KiB",
            contestants={**_contestants(keep=False, limits=limits), FIND: _find},
            exact=_contestants(keep=True, limits=limits),
            inputs=lambda _, chunk=chunk: [cut(chunk)] * times,  # type: ignore[misc]  # a lambda's default
            floors=frozenset({REFERENCE, FIND}),
            rejects=rejecting,
            best=bars[name],
            bars={REFERENCE: 1.0},
            octets=size,
        )
        for name, chunk in CHUNKS.items()
    ]


SCENARIOS = [
    _small("empty form", 0, 300, None, cold=False),
    _small("simple form (2 fields), cold", 2, 100, 1.4, cold=True),
    _small("simple form (2 fields), warm", 2, 100, 1.4, cold=False),
    _small("large form (100 fields), cold", 100, 4, 1.4, cold=True),
    _small("large form (100 fields), warm", 100, 4, 1.4, cold=False),
    _small("large form (100 fields), cold, chunks of 1.4 KiB", 100, 4, None, cold=True, chunk=CHUNKS["1.4"]),
    _small("large form (100 fields), cold, chunks of 300 bytes", 100, 4, None, cold=True, chunk=300),
    *_large(FILES, "upload of 32 MB", _upload, 32 * MB, 1.75, 1),
    *_large(FILES, "mixed form (2 fields, 1 MB, 2 MB)", _mixed, 3 * MB, 1.9),
    *_large(WORST, "1 MB of CRLF", functools.partial(_only, b"\r\n"), MB, 2.0),
    *_large(WORST, "1 MB of LF", functools.partial(_only, b"\n"), MB, 2.0),
    *_large(WORST, "1 MB of boundary characters", functools.partial(_only, DELIMITER[:-1]), MB, 2.0),
    *_large(WORST, "1 MB of junk before and after", _amid_junk, 2 * MB, 1.8, junk=True),
]
