"""A manager over a ledger in memory, whose clock tests hold."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dragoman import LibrarySettings, SessionManager
from tests.ledger_clock import HeldClock


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def manager(clock: HeldClock) -> AsyncIterator[SessionManager]:
    async with SessionManager.open(LibrarySettings(), clock=clock) as opened:
        yield opened
