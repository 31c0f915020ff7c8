"""Reading: tested over both implementations of the parser."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def over_both(implementation: str) -> None:
    """Each test runs twice, see :func:`tests.conftest.implementation`."""
