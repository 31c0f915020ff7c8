"""The table of states says what the parser does."""

from __future__ import annotations

import random

from aiomultipart.exceptions import MultipartError
from aiomultipart.limits import Limits
from aiomultipart.parser.push import PushMultipartParser
from aiomultipart.parser.states import FAILED, TRANSITIONS, State
from aiomultipart.policy import Policy
from tests.support.messages_at_random import random_cuts, random_limits, random_message

COUNTED = b"--b\r\nContent-Length: 3\r\n\r\none\r\n--b--\r\n"


def test_every_transition_is_in_the_table_and_is_taken() -> None:
    """Fed byte by byte, so that a step seldom takes two transitions at once; the ones that it may are paths of two."""
    table = {(row.state, to) for row in TRANSITIONS for to in row.to}
    after: dict[State, set[State]] = {}
    for state, to in table:
        after.setdefault(state, set()).add(to)
    taken: set[tuple[State, State]] = set()
    for seed in range(6_000):
        rng = random.Random(seed)
        boundary, subtype, message = random_message(rng) if seed else ("b", "mixed", COUNTED)
        limits = Limits(**random_limits(rng)) if seed else Limits()
        parser = PushMultipartParser(
            boundary, subtype=subtype, limits=limits, policy=rng.choice([*Policy]) if seed else Policy.STANDARD
        )
        state = parser._state
        for step in [*(message[i : i + 1] for i in range(len(message))), None]:
            try:
                list(parser.close() if step is None else parser.feed(step))
            except MultipartError:
                assert parser._state is FAILED
                break
            if parser._state is not state:
                direct = (state, parser._state)
                paths = {(state, middle, parser._state) for middle in after.get(state, ())}
                held = [path for path in paths if path[1:] in table]
                assert direct in table or held, (seed, direct)
                taken.add(direct)
                state = parser._state
    unforced = {(state, to) for state, to in table if to is not FAILED and to is not state}
    assert unforced - taken == set()


def test_random_messages_are_odd_enough() -> None:
    rng = random.Random(1)
    for _ in range(100):
        _, _, message = random_message(rng)
        assert b"".join(random_cuts(rng, message)) == message
