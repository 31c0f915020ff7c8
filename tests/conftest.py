"""Fixtures: both implementations of the parser; what the tests that save files need."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import blockbuster
import pytest

from aiomultipart.extension import accelerator
from aiomultipart.parser import push
from tests.support.saving import Executor, FilesTouched

IMPLEMENTATIONS = ["python"] if accelerator is None else ["c", "python"]

# A shell that starts tests in the background has them ignore SIGINT, and so would the programs that they stop by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """The tests of a module run once over each implementation of the parser: wherever the library or a test has the
    parser's public name, it means that one. Who imports it from ``parser.push`` has the reference always.
    """
    chosen = vars(sys.modules["aiomultipart.parser"])["PushMultipartParser"]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("aiomultipart", "tests") and name != "aiomultipart._accelerator":
                if request.param == "python" and vars(module).get("PushMultipartParser") is chosen:
                    patch.setattr(module, "PushMultipartParser", push.PushMultipartParser)
        yield request.param


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
