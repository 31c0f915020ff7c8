"""The push parser: what it says depends on the bytes, the policy and the limits, and never on the cuts."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from aiomultipart import (
    END,
    PART_END,
    Defect,
    Event,
    LimitExceeded,
    Limits,
    MultipartError,
    PartBegin,
    Policy,
)
from aiomultipart.parser.push import PushMultipartParser
from tests.support.messages_at_random import random_message

from .choices import CUTS, LIMITS, Choices, agree, cut, described, hold, pieces
from .senders import MESSAGES

BOUNDARIES: Final = ("b", "--b", "i", "a b'()+_,-./:=?", 'b"%', "\r", "", "x" * 70)
SUBTYPES: Final = ("mixed", "form-data", "x-mixed-replace", "byteranges", "related")
NAMES: Final = tuple(field.name for field in dataclasses.fields(Limits) if field.name.startswith("max_"))
FRAMING: Final = frozenset(
    {
        "dashes-in-boundary",
        "header-on-delimiter-line",
        "line-feed-only",
        "no-first-delimiter",
        "no-line-end-before-delimiter",
    }
)
MOST_DEFECTS: Final = 1000
BYTE_BY_BYTE: Final = 100
LONGEST_PIECE: Final = 24
ODD: Final = 300


class Outcome(NamedTuple):
    """What came of a message."""

    events: list[Event]
    """Adjacent data joined."""
    error: MultipartError | None
    defects: list[Defect]


class Message(NamedTuple):
    """What a parser is made of."""

    boundary: str
    subtype: str
    limits: Limits
    policy: Policy


def one_input(data: bytes) -> None:
    """Hold the parser to its promises on one input."""
    choices = Choices(data)
    policy = choices.pick(tuple(Policy))
    boundary = choices.pick(BOUNDARIES)
    subtype = choices.pick(SUBTYPES)
    limits = choices.limits(NAMES)
    cuts = choices.cuts()
    content = choices.rest()

    asked = Message(boundary, subtype, Limits(), policy)
    wide = {each: outcome(asked._replace(policy=each), [content]) for each in Policy}
    check_subset(wide[Policy.STRICT], wide[Policy.STANDARD])
    check_lenient(wide[Policy.STANDARD], wide[Policy.LENIENT])
    for result in wide.values():
        check_bounds(content, result)

    narrow = asked._replace(limits=limits)
    whole = outcome(narrow, [content])
    check_narrow(wide[policy], whole)
    check_same("cut", whole, outcome(narrow, cut(content, cuts)))
    check_same("callbacks", whole, outcome(narrow, cut(content, cuts[:1]), by_callbacks=True))
    size = 1 + sum(cuts) % LONGEST_PIECE
    check_same(f"pieces of {size}", whole, outcome(narrow, pieces(content, size)))
    if len(content) <= BYTE_BY_BYTE:
        check_same("byte by byte", whole, outcome(narrow, pieces(content, 1)))
    check_nested(narrow, whole, cuts)


def seeds() -> Iterator[bytes]:
    """The senders' messages, and odd ones made at random, under each policy."""
    odd = (random_message(random.Random(seed)) for seed in range(ODD))  # noqa: S311 - no secrets
    known = (message for message in odd if message[0] in BOUNDARIES and message[1] in SUBTYPES)
    for number, (boundary, subtype, message) in enumerate((*MESSAGES, *known)):
        head = bytes([number % 3, BOUNDARIES.index(boundary), SUBTYPES.index(subtype)])
        yield head + bytes(2 * LIMITS) + bytes([number * 7 % 256, 0] * CUTS) + message


def outcome(message: Message, chunks: Sequence[bytes], *, by_callbacks: bool = False) -> Outcome:
    """Feed ``chunks`` and close."""
    events: list[Event] = []
    defects: list[Defect] = []

    def begin() -> None:
        hold(parser.part is not None, "on_part_begin() without a part")
        if parser.part is not None:
            events.append(parser.part)

    callbacks: dict[str, Callable[..., object]] = {
        "on_part_begin": begin,
        "on_part_data": lambda data, start, end: events.append(data[start:end]),
        "on_part_end": lambda: events.append(PART_END),
        "on_end": lambda: events.append(END),
    }
    try:
        parser = PushMultipartParser(
            message.boundary,
            subtype=message.subtype,
            limits=message.limits,
            policy=message.policy,
            callbacks=callbacks if by_callbacks else None,
        )
    except MultipartError as exc:
        return Outcome([], exc, [])
    defects = parser.defects
    return Outcome(events, feed(parser, chunks, events), defects)._replace(events=joined(events))


def feed(parser: PushMultipartParser, chunks: Sequence[bytes], events: list[Event]) -> MultipartError | None:
    """Feed ``chunks`` and close; the error that ended it, which has to come again."""
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                events.append(event)  # noqa: PERF402  (extend() would lose the events before an error)
        for event in parser.close():
            events.append(event)  # noqa: PERF402
    except MultipartError as exc:
        calls: tuple[Callable[[], Iterable[Event]], ...] = (lambda: parser.feed(b"--b\r\n"), parser.close)
        for call in calls:
            try:
                list(call())
            except MultipartError as repeated:
                agree("the error again", described(exc), described(repeated))
            else:
                raise AssertionError("no error the second time") from exc
        return exc
    hold(parser.closed, "neither closed nor failed")
    return None


def joined(events: list[Event]) -> list[Event]:
    """Adjacent data joined; the order has to be ``( begin data* end )* END``."""
    found: list[Event] = []
    inside = ended = False
    for event in events:
        hold(not ended, f"{event!r} after the end")
        if isinstance(event, PartBegin):
            hold(not inside, "a part begins inside of a part")
            inside = True
        elif isinstance(event, bytes):
            hold(inside and event, f"{event!r} outside of a part")
        elif event is PART_END:
            hold(inside, "the end of a part outside of one")
            inside = False
        else:
            hold(not inside, "the end inside of a part")
            ended = True
        if isinstance(event, bytes) and isinstance(found[-1], bytes):
            found[-1] += event
        else:
            found.append(event)
    return found


def check_same(how: str, expected: Outcome, got: Outcome) -> None:
    """Two ways to feed one message."""
    agree(f"{how}: events", expected.events, got.events)
    agree(f"{how}: error", described(expected.error), described(got.error))
    agree(f"{how}: defects", expected.defects, got.defects)


def check_subset(strict: Outcome, standard: Outcome) -> None:
    """What STRICT accepts, STANDARD reads alike."""
    if strict.error is None:
        hold(standard.error is None, f"STRICT accepts it, STANDARD does not: {standard.error}")
        agree("STRICT and STANDARD", facts(strict.events), facts(standard.events))
        agree("STRICT forgives", [], strict.defects)


def check_lenient(standard: Outcome, lenient: Outcome) -> None:
    """What STANDARD accepts, LENIENT accepts; where it forgave no more than STANDARD, it read the same.

    It may have seen delimiters where STANDARD sees a preamble or a body, and says so.
    """
    forgiven = {defect.kind for defect in lenient.defects}
    if standard.error is None:
        hold(lenient.error is None or forgiven & FRAMING, f"STANDARD accepts it, LENIENT does not: {lenient.error}")
        if lenient.defects == standard.defects:
            agree("STANDARD and LENIENT", facts(standard.events), facts(lenient.events))
    elif lenient.error is None:
        hold(forgiven, f"LENIENT forgave and did not say so: {standard.error}")


def facts(events: list[Event]) -> list[object]:
    """Events, with all that is known of each part."""
    return [event if not isinstance(event, PartBegin) else known(event) for event in events]


def known(begin: PartBegin) -> tuple[object, ...]:
    """What the parser says of a part; the defects are the policy's."""
    return (
        begin.raw,
        begin.form_data,
        begin.disposition_type,
        begin.name,
        begin.filename,
        begin.content_type,
        begin.content_length,
        begin.boundary,
        begin.media_type,
        begin.charset,
        begin.transfer_encoding,
        begin.content_coding,
        list(begin.headers.items()),
    )


def check_bounds(content: bytes, result: Outcome) -> None:
    """Nothing comes out that did not go in."""
    events = result.events
    size = sum(len(event) if isinstance(event, bytes) else 0 for event in events)
    # LENIENT gives the block of a message whose lines end in LF with CRLF.
    blocks = [event.raw.replace(b"\r\n", b"\n") for event in events if isinstance(event, PartBegin)]
    hold(size + sum(map(len, blocks)) <= len(content), "more bytes than there were")
    lines = content.replace(b"\r\n", b"\n")
    hold(all(block in lines for block in blocks), "a header block that was not there")
    hold(len(blocks) * len(b"--b\n\n") <= len(content) + 2, "more parts than there is room for")
    hold(len(result.defects) <= MOST_DEFECTS, "too many defects")
    places = [defect.offset for defect in result.defects] + [result.error.offset if result.error is not None else None]
    hold(all(place is None or 0 <= place <= len(content) for place in places), f"places outside: {places}")


def check_narrow(wide: Outcome, narrow: Outcome) -> None:
    """Narrower limits end it earlier, and change nothing before that."""
    if not isinstance(narrow.error, LimitExceeded):
        check_same("within the limits", wide, narrow)
        return
    events = list(narrow.events)
    if events and isinstance(events[-1], bytes):
        last, place = events.pop(), len(events)
        following = wide.events[place] if place < len(wide.events) else b""
        hold(isinstance(following, bytes) and isinstance(last, bytes) and following.startswith(last), "other data")
    agree("before the limit", wide.events[: len(events)], events)


def check_nested(message: Message, result: Outcome, cuts: Sequence[int]) -> None:
    """The bodies that are multipart themselves, level by level."""
    try:
        parser = PushMultipartParser(
            message.boundary, subtype=message.subtype, limits=message.limits, policy=message.policy
        )
    except MultipartError:
        return
    waiting = [(parser, begin, body) for begin, body in bodies(result.events)]
    while waiting:
        parser, begin, body = waiting.pop()
        found = []
        for chunks in ([body], cut(body, cuts)):
            events: list[Event] = []
            try:
                nested = parser.nested(begin, shared=False)
            except MultipartError as exc:
                found.append(Outcome([], exc, []))
                continue
            error = feed(nested, chunks, events)
            found.append(Outcome(joined(events), error, nested.defects))
        check_same("nested", *found)
        if found[0].events:
            waiting += [(nested, inner, content) for inner, content in bodies(found[0].events)]


def bodies(events: list[Event]) -> Iterator[tuple[PartBegin, bytes]]:
    """The multipart parts, and what came of their bodies."""
    for number, event in enumerate(events):
        if isinstance(event, PartBegin) and event.boundary is not None:
            following = events[number + 1] if number + 1 < len(events) else b""
            yield event, following if isinstance(following, bytes) else b""
