from __future__ import annotations

from dragoman.ledger import cleanup, effects, read, turns
from dragoman.ledger.cleanup import BATCH, DAY_S
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import HOST, SESSION, a_post, a_reminder, a_session, a_step_to, a_tick
from tests.ledger.conftest import HeldClock

DELIVERY = turns.Delivery(key="d", kind="AgentSessionEvent", action="created", organization="org")


async def hear(ledger: SqliteLedger, *keys: str) -> turns.Outcome:
    step = a_step_to(a_post("one"), a_post("two"), a_reminder(60 * DAY_S))
    return await ledger.turn(
        turns.receive, SESSION, a_tick(), keys=keys, new=a_session, turn_of=step, delivery=DELIVERY
    )


async def clean(ledger: SqliteLedger) -> int:
    removed = 0
    while batch := await ledger.turn(cleanup.cleanup):
        removed += batch
    return removed


async def test_a_key_is_known_for_eight_days_and_forgotten_after_nine(ledger: SqliteLedger, clock: HeldClock) -> None:
    await hear(ledger, "k")
    clock.now += 8 * DAY_S + 3600
    await clean(ledger)
    assert (await hear(ledger, "k")).duplicate
    clock.now += DAY_S
    await clean(ledger)
    assert not (await hear(ledger, "k")).duplicate


async def test_effects_are_forgotten_a_week_after_their_end_and_never_before_it(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await hear(ledger)
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
    await ledger.turn(effects.park, claimed, "no")
    clock.now += 7 * DAY_S - 1
    assert await clean(ledger) == 0
    clock.now += 2
    assert await clean(ledger) == 1
    assert await ledger.read(read.parked) == []
    clock.now += 20 * DAY_S
    await clean(ledger)
    details = await ledger.read(read.details, SESSION)
    assert details is not None
    assert [line.kind for line in details.effects] == ["Post", "Remind"]


async def test_deliveries_are_forgotten_after_a_month(ledger: SqliteLedger, clock: HeldClock) -> None:
    await hear(ledger)
    clock.now += 30 * DAY_S + 1
    await hear(ledger)
    await clean(ledger)
    assert [line.at for line in await ledger.read(read.deliveries)] == [clock.now]


async def test_what_is_old_goes_in_batches(ledger: SqliteLedger, clock: HeldClock) -> None:
    def many(tx: Tx) -> None:
        tx.executemany("INSERT INTO seen (key, at) VALUES (?, ?)", [(f"k{i}", tx.now) for i in range(BATCH + 10)])

    await ledger.turn(many)
    later = clock.now + 10 * DAY_S
    assert [await ledger.turn(cleanup.cleanup, later) for _ in range(3)] == [BATCH, 10, 0]
