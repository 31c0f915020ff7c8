"""Fixtures of the tests that save what they receive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import blockbuster
import pytest

from tests.support.saving import Executor, FilesTouched


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor()
    asyncio.get_running_loop().set_default_executor(executor)
    yield executor
    executor.let_go()


@pytest.fixture
def no_blocking() -> Iterator[None]:
    touched = FilesTouched()
    try:
        with blockbuster.blockbuster_ctx():
            yield
    finally:
        touched.active = False
    assert touched.events == []
