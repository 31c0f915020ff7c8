"""The reference and the accelerator, side by side: what they say must be the same after every call.

:func:`compare` feeds both, and raises an AssertionError where anything that can be seen of them differs: events and
their attributes, the objects that bodies are handed on as, errors and their places, defects, the state between calls.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiomultipart.exceptions import MultipartError, StateError
from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, PartBegin, push
from aiomultipart.policy import Policy

PART_ATTRIBUTES = (
    "boundary",
    "charset",
    "content_coding",
    "content_length",
    "content_type",
    "defects",
    "disposition_type",
    "filename",
    "form_data",
    "index",
    "media_type",
    "name",
    "offset",
    "raw",
    "transfer_encoding",
)
PARSER_ATTRIBUTES = ("boundary", "subtype", "limits", "policy", "defects", "ended", "closed")


def described(error: BaseException | None) -> tuple[object, ...] | None:
    """Everything that an error says."""
    if error is None:
        return None
    return type(error), str(error), error.args, sorted(vars(error).items(), key=str)


def part_seen(part: PartBegin | None) -> object:
    """Everything that a part's beginning says."""
    if part is None:
        return None
    return [type(part), *(getattr(part, name) for name in PART_ATTRIBUTES), list(part.headers.items())]


class Side:
    """One of the two, and what it says."""

    def __init__(
        self, cls: type[Any], boundary: str | bytes, *, callbacks: bool, drops: frozenset[int], **kwargs: Any
    ) -> None:
        self.drops = drops  # indexes of the parts that are dropped as soon as they begin
        self.events: list[object] = []
        self.part: tuple[PartBegin | None, object] = (None, None)  # the last one, and what it says
        self.parser: Any = None
        if callbacks:
            kwargs["callbacks"] = {
                "on_part_begin": self._begin,
                "on_part_data": lambda data, start, end: self.events.append(data[start:end]),
                "on_part_end": lambda: self.events.append(PART_END),
                "on_end": lambda: self.events.append((END, self.parser.ended)),
            }
        self.error: BaseException | None = None
        try:
            self.parser = cls(boundary, **kwargs)
        except MultipartError as exc:
            self.error = exc

    def _begin(self) -> None:
        self._seen(self.parser.part)

    def _seen(self, part: PartBegin) -> None:
        self.events.append(part_seen(part))
        if part.index in self.drops:
            self.parser.drop()

    def call(self, what: Callable[[], Iterable[object]]) -> tuple[object, ...]:
        """What one call gives, and how the parser looks after it."""
        self.events.clear()
        error: BaseException | None = None
        try:
            for event in what():
                if isinstance(event, PartBegin):
                    self._seen(event)
                else:
                    self.events.append(event)
        except (MultipartError, StateError) as exc:
            error = exc
        parser = self.parser
        state = [getattr(parser, name) for name in PARSER_ATTRIBUTES]
        if parser.part is not self.part[0]:
            self.part = parser.part, part_seen(parser.part)
        return list(self.events), described(error), described(parser.error), self.part[1], state

    def feed(self, chunk: bytes) -> tuple[object, ...]:
        """As :meth:`call`, and whether the chunk was handed on as it came."""
        result = self.call(lambda: self.parser.feed(chunk))
        return *result, [event is chunk for event in self.events]


def compare(
    fast: type[Any],
    chunks: Sequence[bytes],
    boundary: str | bytes,
    *,
    callbacks: bool = False,
    drops: frozenset[int] = frozenset(),
    **kwargs: Any,
) -> None:
    """Feed both and close, and go on after the end."""
    slow_side = Side(push.PushMultipartParser, boundary, callbacks=callbacks, drops=drops, **kwargs)
    fast_side = Side(fast, boundary, callbacks=callbacks, drops=drops, **kwargs)
    _same("made", described(slow_side.error), described(fast_side.error), boundary, chunks, kwargs)
    if slow_side.error is not None:
        return
    refusals = 0
    for number, chunk in enumerate(chunks):
        said = slow_side.feed(chunk)
        _same(f"chunk {number}", said, fast_side.feed(chunk), boundary, chunks, kwargs)
        refusals += said[1] is not None
        if refusals == 3:  # and so it goes on
            break
    for step in ("close", "close again", "feed after close"):
        calls = [
            (lambda side=side: side.parser.feed(b"x")) if step.startswith("feed") else side.parser.close  # type: ignore[misc]
            for side in (slow_side, fast_side)
        ]
        _same(step, slow_side.call(calls[0]), fast_side.call(calls[1]), boundary, chunks, kwargs)


def _same(what: str, slow: object, fast: object, *context: object) -> None:
    if slow != fast:
        raise AssertionError(f"{what} of {context}:\nreference:   {slow}\naccelerator: {fast}")


def random_usual(rng: random.Random) -> tuple[str, str, bytes]:
    """A message as nearly all senders write it, with a little that is odd: long enough for the search by sixteen."""
    boundary = rng.choice(["b", "----WebKitFormBoundaryAbCdEf01", "x" * 70, "a-b", "0" * 12])
    subtype = rng.choice(["form-data", "form-data", "mixed", "related", "x-mixed-replace"])
    delimiter = b"\r\n--" + boundary.encode()
    out = [rng.choice([b""] * 6 + [b"\r\n", b"preamble\r\n", rng.randbytes(80) + b"\r\n"])]
    for number in range(rng.randint(0, 5)):
        lines = [
            rng.choice(
                [
                    b'Content-Disposition: form-data; name="f%d"' % number,
                    b'Content-Disposition: form-data; name="f%d"; filename="a b.txt"' % number,
                    b'content-disposition:form-data; name="\xe6\x97\xa5"; filename="" ',
                    b"Content-Disposition: attachment",
                    b'Content-Disposition: inline; filename="\xc3\xa9"',
                    b'Content-Disposition: form-data; name="\xe9"',
                    b'Content-Disposition: form-data; name="\xe9"; filename="\xe9"',
                    b'Content-Disposition: form-data; name="a%22b"',
                ]
            )
        ]
        body = b"".join(
            rng.choice(
                [
                    rng.randbytes(rng.randint(0, 90)),
                    delimiter[: rng.randint(1, len(delimiter))],
                    b"\r\n",
                    b"\r",
                    b"text ",
                ]
            )
            for _ in range(rng.randint(0, 6))
        )
        if rng.random() < 0.5:
            lines.append(
                rng.choice(
                    [
                        b"Content-Type: text/plain",
                        b"Content-Type: Image/JPEG",
                        b"content-type:text/html; charset=utf-8",
                        b"Content-Type: application/http; msgtype=request",
                        b"Content-Type: multipart/mixed; boundary=c",
                        b"Content-Type: text",
                    ]
                )
            )
        if rng.random() < 0.4:
            length = len(body) if rng.random() < 0.9 else rng.randint(0, 50)
            lines.append(rng.choice([b"Content-Length: %d", b"content-length:%d\t"]) % length)
        if rng.random() < 0.3:
            lines.append(
                rng.choice(
                    [
                        b"Content-ID: <a@b>",
                        b"X-Empty:",
                        b"X-Latin: \xe9",
                        b"X: \t1 ",
                        b"Content-Transfer-Encoding: binary",
                        b"content-transfer-encoding: 8BIT",
                        b"Content-Transfer-Encoding: \xc3\xa9",
                        b"A : 1",
                        b" fold",
                        b"X: \x01",
                        b"x" * rng.randint(1, 90) + b": y",
                    ]
                )
            )
        rng.shuffle(lines)
        if rng.random() < 0.1:
            lines = lines[1:]
        out += [
            b"--" + boundary.encode(),
            b"\r\n",
            b"\r\n".join(lines),
            b"\r\n\r\n" if lines else b"\r\n",
            body,
            b"\r\n",
        ]
    out.append(
        b"--" + boundary.encode() + rng.choice([b"--\r\n"] * 4 + [b"--", b"-- ", b"", b"--\r", b"--\r\nepilogue"])
    )
    message = b"".join(out)
    if rng.random() < 0.1 and message:
        place = rng.randrange(len(message))
        message = message[:place] + rng.choice([b"", b"\r", b"\n", b"-", b"x", b"\xff"]) + message[place + 1 :]
    return boundary, subtype, message


def wide_limits(rng: random.Random) -> Limits:
    """Limits that a usual message comes near to."""
    return rng.choice(
        [
            Limits(),
            Limits.for_forms(),
            Limits.for_forms(max_parts=rng.randint(0, 4), max_total_size=rng.randint(0, 600)),
            Limits(max_part_size=rng.randint(0, 200), max_headers=rng.randint(0, 4)),
            Limits(max_header_line=rng.randint(0, 80), max_header_bytes=rng.randint(0, 120)),
            Limits(max_total_header_bytes=rng.randint(0, 300), max_parameters=rng.randint(0, 3)),
            Limits(max_preamble=rng.randint(0, 90), max_epilogue=rng.randint(0, 10)),
        ]
    )


def compare_at_random(fast: type[Any], seed: int) -> None:
    """Compare on one random message."""
    from tests.support.messages_at_random import random_cuts, random_limits, random_message

    rng = random.Random(seed)
    if rng.random() < 0.5:
        boundary, subtype, message = random_message(rng)
        limits = Limits(**random_limits(rng))
    else:
        boundary, subtype, message = random_usual(rng)
        limits = wide_limits(rng)
    compare(
        fast,
        random_cuts(rng, message),
        boundary,
        callbacks=rng.random() < 0.3,
        drops=frozenset({rng.randrange(3)} if rng.random() < 0.2 else ()),
        subtype=subtype,
        limits=limits,
        policy=rng.choice([Policy.STRICT, Policy.STANDARD, Policy.STANDARD, Policy.LENIENT]),
    )
