"""An engine over a ledger in memory, whose clock tests hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dragoman.core.limits import Rules
from dragoman.ids import HostId
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import Perform, Workers
from tests.ledger_clock import HeldClock
from tests.repositories.upstream import Upstream

StartWorkers = Callable[..., Workers]
HOST = HostId("host-a")


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


@pytest.fixture
async def start(engine: Engine) -> AsyncIterator[StartWorkers]:
    """Starts pools, and stops them at the end."""
    async with AsyncExitStack() as stack:

        def start_(perform: Perform, *, pool: Pool = "linear", size: int = 4, lease_s: float = 30.0) -> Workers:
            workers = Workers(engine, pool, size, perform, lease_s=lease_s)
            running = asyncio.create_task(workers.run())

            async def stop() -> None:
                await workers.stop(0.0)
                await running

            stack.push_async_callback(stop)
            return workers

        yield start_
