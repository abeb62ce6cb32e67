"""How fast requests come, as the ledger keeps it."""

from __future__ import annotations

from pathlib import Path

from dragoman.core.pace import Paces
from dragoman.ledger import paces
from dragoman.ledger.cleanup import DAY_S, cleanup
from dragoman.ledger.paces import TooFast
from dragoman.ledger.sqlite import SqliteLedger
from tests.ledger_clock import HeldClock

TWO = Paces(person=2, organization=3)


async def test_whoever_goes_too_fast_is_told_once_a_minute(ledger: SqliteLedger, clock: HeldClock) -> None:
    said = [await ledger.turn(paces.take, "acme", "ann", TWO) for _ in range(4)]
    loud, quiet = TooFast(reason="person_pace", silent=False), TooFast(reason="person_pace", silent=True)
    assert said == [None, None, loud, quiet]
    clock.now += 31
    assert await ledger.turn(paces.take, "acme", "ann", TWO) is None
    assert await ledger.turn(paces.take, "acme", "ann", TWO) == quiet
    clock.now += 30
    assert [await ledger.turn(paces.take, "acme", "ann", TWO) for _ in range(3)] == [None, loud, quiet]


async def test_an_organization_has_a_bucket_of_its_own(ledger: SqliteLedger) -> None:
    said = [await ledger.turn(paces.take, "acme", who, TWO) for who in ("ann", "ben", "cy", "ann")]
    assert said == [None, None, None, TooFast(reason="organization_pace", silent=False)]
    assert await ledger.turn(paces.take, "other", "ann", TWO) is None


async def test_no_limit_keeps_nothing(ledger: SqliteLedger) -> None:
    for _ in range(5):
        assert await ledger.turn(paces.take, "acme", "ann", Paces(person=0, organization=0)) is None
    assert await ledger.read(lambda tx: tx.execute("SELECT count(*) FROM paces").fetchone()[0]) == 0


async def test_it_survives_a_restart(tmp_path: Path, clock: HeldClock) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    for expected in (None, None, TooFast(reason="person_pace", silent=False)):
        opened = await SqliteLedger.open(url, clock=clock)
        try:
            assert await opened.turn(paces.take, "acme", "ann", TWO) == expected
        finally:
            await opened.close()


async def test_buckets_that_have_long_been_full_are_forgotten(ledger: SqliteLedger, clock: HeldClock) -> None:
    await ledger.turn(paces.take, "acme", "ann", TWO)
    clock.now += DAY_S + 120
    assert await ledger.turn(cleanup, 0) == 2
