"""Every contract test runs against each kind of ledger; another engine is one more parameter."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from dragoman.ledger.sqlite import SqliteLedger
from tests.ledger_clock import HeldClock

OpenLedger = Callable[..., Awaitable[SqliteLedger]]


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=["file", "memory"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> AsyncIterator[SqliteLedger]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'ledger.db'}"
    opened = await SqliteLedger.open(url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def open_ledger() -> AsyncIterator[OpenLedger]:
    """Opens ledgers and closes them at the end."""
    opened: list[SqliteLedger] = []

    async def open_(url: str, clock: Callable[[], float] | None = None) -> SqliteLedger:
        opened.append(await SqliteLedger.open(url, clock=clock))
        return opened[-1]

    yield open_
    for one in opened:
        await one.close()


def columns(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Look into the file past the ledger."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
