"""`dragoman db`: what is stored, and copies of it."""

from __future__ import annotations

import asyncio

import click

from dragoman import config, logs
from dragoman.cli.ledger_file import EX_CONFIG, fail, find
from dragoman.config import LedgerPlace
from dragoman.errors import LedgerError, ProjectionError, Refusal
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.projection.store import RedisStore
from dragoman.runtime.projector import Projector

CLOSE_S = 2.0


@click.group("db")
def command() -> None:
    """Tend what is stored."""


@command.command("project")
def project() -> None:
    """Write the copy in Redis anew, from the ledger.

    The service may be running; readers miss nothing meanwhile. It keeps the copy current by itself: this is for doubts,
    and for a service that is not running. Needs SESSION_STORAGE_URL=redis://… and the ledger's place, as the service
    has them. Exit codes: 0, 1 Redis or the ledger refuses, 78 wrong settings.
    """
    place, _ = find()
    if not place.projection_url:
        fail(
            "There is no copy to write: SESSION_STORAGE_URL names no Redis. Example: redis://localhost:6379/0",
            code=EX_CONFIG,
        )
    logs.configure(level="error")
    days = config.load_rules().retention_days
    try:
        number = asyncio.run(_project(place, days))
    except Refusal as error:
        fail(str(error), code=EX_CONFIG)
    except (LedgerError, ProjectionError) as error:
        fail(str(error))
    click.echo(f"The ledger's {number} session(s) stand in {logs.masked(place.projection_url)}.")


async def _project(place: LedgerPlace, retention_days: int) -> int:
    store = RedisStore(place.projection_url)
    ledger = await SqliteLedger.open(place.url)
    projector = Projector(ledger, store, retention_days=retention_days)
    try:
        return await projector.rebuild()
    finally:
        await projector.close(CLOSE_S)
        await ledger.close()
