"""Odd messages, made at random: what the parser says of one never depends on how it was cut."""

from __future__ import annotations

import random

import pytest

from aiomultipart.limits import Limits
from aiomultipart.policy import Policy
from tests.support.feeding import parse_all
from tests.support.messages_at_random import random_limits, random_message

SEEDS_EACH = 150


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("first", range(0, 4 * SEEDS_EACH, SEEDS_EACH))
def test_cuts_change_nothing(first: int, policy: Policy) -> None:
    for seed in range(first, first + SEEDS_EACH):
        rng = random.Random(seed)
        boundary, subtype, message = random_message(rng)
        limits = Limits(**random_limits(rng))
        parse_all(message, few=True, boundary=boundary, subtype=subtype, limits=limits, policy=policy)
