"""The accelerator beside the reference: after every call they have said the same, and look the same."""

from __future__ import annotations

from collections.abc import Iterator

from aiomultipart import Policy
from aiomultipart.extension import accelerator
from tests.support.side_by_side import compare

from .choices import CUTS, LIMITS, Choices, cut, pieces
from .push_parser import BOUNDARIES, BYTE_BY_BYTE, NAMES, SUBTYPES
from .senders import MESSAGES


def one_input(data: bytes) -> None:
    """Feed both the same, whole and cut, with callbacks and without."""
    if accelerator is None:
        return
    choices = Choices(data)
    policy = choices.pick(tuple(Policy))
    boundary = choices.pick(BOUNDARIES)
    subtype = choices.pick(SUBTYPES)
    limits = choices.limits(NAMES)
    cuts = choices.cuts()
    content = choices.rest()
    drops = frozenset(cuts[:1])
    ways = [([content], False), (cut(content, cuts), False), (cut(content, cuts), True)]
    if len(content) <= BYTE_BY_BYTE:
        ways.append((pieces(content, 1), bool(len(cuts) % 2)))
    for chunks, callbacks in ways:
        for dropped in {frozenset(), drops}:
            compare(
                accelerator.PushMultipartParser,
                list(chunks),
                boundary,
                callbacks=callbacks,
                drops=dropped,
                subtype=subtype,
                limits=limits,
                policy=policy,
            )


def seeds() -> Iterator[bytes]:
    """The senders' messages, under each policy."""
    for number, (boundary, subtype, message) in enumerate(MESSAGES):
        head = bytes([number % 3, BOUNDARIES.index(boundary), SUBTYPES.index(subtype)])
        yield head + bytes(2 * LIMITS) + bytes([number * 7, 0] * CUTS) + message
