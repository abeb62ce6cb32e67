"""An engine over a ledger in memory, whose clock tests hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.core.limits import Rules
from dragoman.ids import HostId
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.runtime.engine import Engine
from tests.repositories.upstream import Upstream

HOST = HostId("host-a")


class HeldClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def ledger(clock: HeldClock) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open("memory://", clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def engine(ledger: SqliteLedger) -> Engine:
    return Engine(ledger, host=HOST, rules=Rules(), crowd=3)


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    made = Upstream(tmp_path / "upstream")
    made.commit()
    return made
