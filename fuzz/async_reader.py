"""The asyncio readers on raw bytes, with calls in any order: only MultipartError gets out, and no byte is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiomultipart import (
    BodyPartReader,
    MultipartError,
    MultipartReader,
    PartBegin,
    Policy,
    PushMultipartParser,
    StateError,
)
from aiomultipart.grammar.charsets import lookup_charset
from aiomultipart.testing import ScriptedSource

from .choices import CUTS, LIMITS, Choices, agree, cut, described, hold, run
from .push_parser import NAMES, SUBTYPES
from .senders import MESSAGES

BOUNDARIES: Final = ("b", "--b")
CALLS: Final = 16
MOST_CALLS: Final = 300
CHARSETS: Final = (None, "utf-8", "latin-1", "utf-16", "no-such-charset")


class Walk:
    """One message being read, by the calls that an input asks for."""

    def __init__(self, reader: MultipartReader, calls: bytes) -> None:
        self.calls = Choices(calls * MOST_CALLS)
        self.levels = [reader]
        self.index = -1  # of the outermost part
        self.raw: dict[int, bytes] = {}
        """What was read of the outermost parts, as it came; of those that were read in no other way."""
        self.whole: set[int] = set()
        """Those that were read to their end."""

    async def go(self) -> None:
        """Read to the end of the message, with not too many calls."""
        for _ in range(MOST_CALLS):
            if not self.levels:
                return
            await self._step(self.calls.number())
        await self.levels[0].release()

    async def _step(self, call: int) -> None:
        reader = self.levels[-1]
        if call % 16 == 15 and len(self.levels) > 1:
            # The outer reader moves on, whatever the inner one has come to.
            self.levels.pop()
            await self._passed(reader)
            return
        if call % 16 == 14:
            await reader.release()
            hold(reader.at_eof(), "not at its end after release()")
        part = await reader.next()
        if part is None:
            hold(reader.at_eof(), "not at its end")
            agree("next() at the end", None, await reader.next())
            self.levels.pop()
            return
        if len(self.levels) == 1:
            self.index += 1
        hold(part.headers is not None, "no headers")
        if isinstance(part, MultipartReader):
            self.levels.append(part)
        else:
            look_at(part)
            await self._read(part)

    async def _passed(self, reader: MultipartReader) -> None:
        outer = self.levels[-1]
        await self._step(0)
        if outer.at_eof() or len(self.levels) == 0 or self.levels[-1] is not reader:
            await reader.release()
            try:
                await reader.next()
            except (MultipartError, StateError):
                pass
            else:
                hold(reader.at_eof(), "a reader goes on that was passed")

    async def _read(self, part: BodyPartReader) -> None:
        """Some calls on one part, which ends with one that leaves it or reads it to the end."""
        raw: bytes | None = b""
        while True:
            call = self.calls.number()
            size = 1 + call // 16
            kind = call % 16
            if kind <= 7 and raw is not None:
                data = await self._raw_call(part, kind, size)
                raw += data
                if kind == 0 or (not data and kind not in (4, 5)):
                    hold(part.at_eof(), "not at its end")
                    agree("read() at the end", b"", await part.read())
                    if len(self.levels) == 1:
                        self.whole.add(self.index)
                    break
            elif kind == 14 or not self.calls:
                await part.release()
                raw = None
                break
            elif kind == 15:
                break
            else:
                raw = None
                await decoding_call(part, kind, size)
                if kind in (9, 10, 11, 12):
                    break
        if raw is not None and len(self.levels) == 1:
            self.raw[self.index] = raw

    async def _raw_call(self, part: BodyPartReader, kind: int, size: int) -> bytes:
        if kind == 0:
            return await part.read()
        if kind in (1, 2):
            most = size if kind == 1 else 8192
            data = await part.read_chunk(most)
            hold(len(data) <= max(most, 4), "a long chunk")
            return data
        if kind in (3, 6):
            line = await part.readline()
            hold(b"\n" not in line[:-1], f"{line!r} is no line")
            return line
        if kind == 4:
            async for data in part:
                return data
            return b""
        if kind == 5:
            chunks = part.iter_chunks(size, decode=False)
            try:
                async for data in chunks:
                    hold(0 < len(data) <= size, f"{len(data)} bytes in place of {size}")
                    return data
            finally:
                await chunks.aclose()
            return b""
        return await part.next() or b""


async def decoding_call(part: BodyPartReader, kind: int, size: int) -> None:
    """What decodes: the codec's errors belong to the part."""
    encoding = CHARSETS[size % len(CHARSETS)] if size < 10 else None
    try:
        if kind in (8, 13):
            chunks = part.iter_chunks(size)
            try:
                async for data in chunks:
                    hold(0 < len(data) <= size, f"{len(data)} bytes in place of {size}")
                    break
            finally:
                await chunks.aclose()
        elif kind == 9:
            await part.read(decode=True)
        elif kind == 10:
            await part.text(encoding=encoding)
        elif kind == 11:
            await part.json(encoding=encoding)
        elif kind == 12:
            await part.form(encoding=encoding)
    except MultipartError:
        hold(part.name is None or isinstance(part.name, str), "no name after an error")


def look_at(part: BodyPartReader) -> None:
    """Everything that is known of a part."""
    hold(isinstance(part.content_type, str), "no content type")
    hold(part.name is None or isinstance(part.name, str), "no name")
    hold(part.filename is None or isinstance(part.filename, str), "no filename")
    lookup_charset(part.get_charset("utf-8"))
    hold(part.charset is None or isinstance(part.charset, str), "no charset")
    try:
        hold(part.location is None or str(part.location) is not None, "no location")
    except MultipartError:
        pass
    try:
        part.decode(b"YWJj")
    except MultipartError:
        pass


def one_input(data: bytes) -> None:
    """Read one message."""
    run(read(Choices(data)))


def seeds() -> Iterator[bytes]:
    """The senders' messages, with calls of each kind."""
    for number, (boundary, subtype, message) in enumerate(MESSAGES):
        head = bytes([number % 3, BOUNDARIES.index(boundary), SUBTYPES.index(subtype)])
        head += bytes(2 * LIMITS) + bytes([number * 7, 0] * CUTS)
        yield head + bytes([0] * CALLS) + message
        yield head + bytes((number * 5 + 17 * i) % 256 for i in range(CALLS)) + message


async def read(choices: Choices) -> None:
    """One message."""
    policy, boundary, subtype = choices.pick(tuple(Policy)), choices.pick(BOUNDARIES), choices.pick(SUBTYPES)
    limits = choices.limits(NAMES)
    cuts = choices.cuts()
    calls = choices.take(CALLS).ljust(CALLS, b"\0")
    content = choices.rest()
    chunks = [chunk for chunk in cut(content, cuts) if chunk]
    source = ScriptedSource(*chunks)
    content_type = f"multipart/{subtype}; boundary={boundary}"
    try:
        parser = PushMultipartParser.from_content_type(content_type, limits=limits, policy=policy)
        reader = MultipartReader({"Content-Type": content_type}, source, limits=limits, policy=policy)
    except MultipartError:
        return
    expected, error = bodies(parser, content)
    walk = Walk(reader, calls)
    hidden = 0
    try:
        await walk.go()
        await reader.release()
    except MultipartError as exc:
        walk.whole.discard(walk.index)
        await fails_again(reader, exc)
    else:
        hold(error is None or reader.at_eof(), f"no error, where the parser says {error}")
        agree("bytes that were read", len(content), source.given)
    await reader.aclose()
    hold(source.reads <= len(chunks) + 2 + source.given // 65536, f"{source.reads} reads")
    if subtype == "form-data" and policy is not Policy.STRICT and expected and expected[0][0].name == "_charset_":
        hidden = int(lookup_charset(expected[0][1].decode("latin-1").strip()) is not None and len(expected[0][1]) <= 40)
    for index, raw in walk.raw.items():
        begin, body = expected[index + hidden]
        if (begin.transfer_encoding or "").strip().lower() == "base64":
            # Of a quartet that does not fit in a chunk, the white space goes.
            body, raw = body.translate(None, b"\r\n \t"), raw.translate(None, b"\r\n \t")
        if index in walk.whole:
            agree(f"part {index}", body, raw)
        else:
            hold(body.startswith(raw), f"part {index}: {raw!r} is no beginning of {body!r}")


async def fails_again(reader: MultipartReader, error: MultipartError) -> None:
    """An error of the message comes again, from every call."""
    try:
        while await reader.next() is not None:
            pass
    except MultipartError as exc:
        try:
            await reader.next()
        except MultipartError as again:
            agree("the error again", described(exc), described(again))
            return
        raise AssertionError(f"no error the second time: {exc}") from error
    hold(reader.at_eof(), "not at its end")


def bodies(parser: PushMultipartParser, content: bytes) -> tuple[list[tuple[PartBegin, bytes]], MultipartError | None]:
    """What the push parser makes of the message."""
    found: list[tuple[PartBegin, bytes]] = []
    try:
        for ended in (False, True):
            for event in parser.close() if ended else parser.feed(content):
                if isinstance(event, PartBegin):
                    found.append((event, b""))
                elif isinstance(event, bytes):
                    found[-1] = (found[-1][0], found[-1][1] + event)
    except MultipartError as exc:
        return found, exc
    return found, None
