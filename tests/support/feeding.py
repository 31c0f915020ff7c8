"""One message, cut in many ways: what the parser says must not depend on the cuts.

:func:`cuttings` gives named lists of chunks, :func:`parse` runs one of them, :func:`parse_all` runs them all and holds
that they agree. Errors are raised by hand, not by ``assert``: pytest rewrites asserts in test modules only, and ``-OO``
drops all others.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from typing import Any

from aiomultipart.exceptions import LimitExceeded, MultipartError
from aiomultipart.parser import END, PART_END, Defect, Event, PartBegin, PushMultipartParser

Outcome = tuple[list[Event], MultipartError | None]

SHORT = 400
SAMPLE = 48
SEEDS = range(6)


def cut(message: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The pieces of ``message`` between the offsets ``cuts``; equal offsets give an empty piece."""
    places = [0, *sorted(cuts), len(message)]
    return [message[start:end] for start, end in itertools.pairwise(places)]


def cuttings(message: bytes, *, few: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """Named ways to cut ``message``.

    :param few: leave out the splits in two, which are as many as there are bytes.
    """
    size = len(message)
    yield "whole", [message]
    yield "byte by byte", [message[i : i + 1] for i in range(size)]
    if not few:
        rng = random.Random(size)
        places = range(size + 1) if size <= SHORT else sorted(rng.sample(range(size + 1), SAMPLE))
        for place in places:
            yield f"split at {place}", [message[:place], message[place:]]
    for seed in SEEDS[:2] if few else SEEDS:
        rng = random.Random(seed)
        count = rng.randint(2, 2 + size // 8)
        yield f"random cuts, seed {seed}", cut(message, rng.choices(range(size + 1), k=count))


def parse(chunks: Iterable[bytes], **kwargs: Any) -> Outcome:
    """Feed ``chunks`` and close: the events, adjacent data joined, and the error that ended it, if one did.

    :param kwargs: for the parser; the boundary is ``b`` unless given.
    """
    events, error, _ = _run(chunks, kwargs)
    return events, error


def parse_all(message: bytes, *, few: bool = False, **kwargs: Any) -> Outcome:
    """What every cutting of ``message`` gives, events as well as callbacks; an AssertionError where they differ."""
    events, error, defects = _run([message], kwargs)
    expected = (events, describe(error), str(defects))
    for name, chunks in cuttings(message, few=few):
        for by_callbacks in (False, True) if not name.startswith("split") else (False,):
            got_events, got_error, got_defects = _run(chunks, kwargs, by_callbacks=by_callbacks)
            got = (got_events, describe(got_error), str(got_defects))
            if got != expected:
                how = f"{name}{', by callbacks' if by_callbacks else ''}"
                raise AssertionError(f"{message!r} {kwargs}\nwhole: {expected}\n{how}: {got}\nchunks: {chunks}")
    return events, error


def defects_of(message: bytes, **kwargs: Any) -> list[tuple[str, int | None, int]]:
    """What every cutting of ``message`` has forgiven: kind, part index and size."""
    parse_all(message, **kwargs)
    return [(defect.kind, defect.part_index, defect.size) for defect in _run([message], kwargs)[2]]


def describe(error: MultipartError | None) -> tuple[object, ...] | None:
    """All that two errors must share to count as the same."""
    if error is None:
        return None
    limit = (error.limit, error.value) if isinstance(error, LimitExceeded) else None
    return type(error), str(error), error.offset, error.part_index, error.part_name, limit


def shown(events: Iterable[Event]) -> list[object]:
    """Events in short: a part's beginning as its header block in a one-element list, the others as they are."""
    return [[event.raw] if isinstance(event, PartBegin) else event for event in events]


def parts(events: Iterable[Event]) -> list[tuple[bytes, bytes]]:
    """Header block and body of each part that ended."""
    found: list[tuple[bytes, bytes]] = []
    raw, body = b"", b""
    for event in events:
        if isinstance(event, PartBegin):
            raw, body = event.raw, b""
        elif isinstance(event, bytes):
            body += event
        elif event is PART_END:
            found.append((raw, body))
    return found


def _run(
    chunks: Iterable[bytes], kwargs: dict[str, Any], *, by_callbacks: bool = False
) -> tuple[list[Event], MultipartError | None, list[Defect]]:
    events: list[Event] = []
    parser: PushMultipartParser
    kwargs = {"boundary": "b", **kwargs}
    if by_callbacks:
        kwargs["callbacks"] = {
            "on_part_begin": lambda: events.append(_present(parser.part)),
            "on_part_data": lambda data, start, end: events.append(data[start:end]),
            "on_part_end": lambda: events.append(PART_END),
            "on_end": lambda: events.append(END),
        }
    error: MultipartError | None = None
    parser = PushMultipartParser(**kwargs)
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                events.append(event)  # noqa: PERF402 - extend() would lose the events before an error
        for event in parser.close():
            events.append(event)  # noqa: PERF402
    except MultipartError as exc:
        error = exc
    return _joined(events), error, parser.defects


def _present(part: PartBegin | None) -> PartBegin:
    if part is None:
        raise AssertionError("on_part_begin() without a part")
    return part


def _joined(events: list[Event]) -> list[Event]:
    """Adjacent data joined; an AssertionError where the order is not ``( begin data* end )* END``."""
    joined: list[Event] = []
    inside = ended = False
    for event in events:
        fine = not ended
        if isinstance(event, PartBegin):
            fine, inside = fine and not inside, True
        elif isinstance(event, bytes):
            fine = fine and inside and event != b""
        elif event is PART_END:
            fine, inside = fine and inside, False
        else:
            fine, ended = fine and not inside, True
        if not fine:
            raise AssertionError(f"{event!r} in a wrong place: {shown(events)}")
        if isinstance(event, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += event
        else:
            joined.append(event)
    return joined
