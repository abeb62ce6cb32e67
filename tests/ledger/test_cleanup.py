from __future__ import annotations

from dragoman.core.session import Message
from dragoman.ledger import cleanup, effects, numbers, read, turns
from dragoman.ledger.cleanup import BATCH, DAY_S
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import HOST, SESSION, a_post, a_reminder, a_session, a_step_to, a_tick
from tests.ledger_clock import HeldClock

DELIVERY = turns.Delivery(key="d", kind="AgentSessionEvent", action="created", organization="org")


async def hear(ledger: SqliteLedger, *keys: str) -> turns.Outcome:
    step = a_step_to(a_post("one"), a_post("two"), a_reminder(60 * DAY_S))
    return await ledger.turn(
        turns.receive, SESSION, a_tick(), keys=keys, new=a_session, turn_of=step, delivery=DELIVERY
    )


async def waiting(ledger: SqliteLedger) -> list[str]:
    """The kinds of what is not done yet, as it was queued."""
    found = await ledger.read(
        lambda tx: tx.execute("SELECT kind FROM effects WHERE done_at IS NULL ORDER BY n").fetchall()
    )
    return [kind for (kind,) in found]


async def clean(ledger: SqliteLedger, retention_days: int = 0) -> int:
    removed = 0
    while batch := await ledger.turn(cleanup.cleanup, retention_days):
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
    assert await waiting(ledger) == ["Post", "Remind"]


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
    assert [await ledger.turn(cleanup.cleanup, at=later) for _ in range(3)] == [BATCH, 10, 0]


async def test_words_go_when_their_time_is_over_and_numbers_stay(ledger: SqliteLedger, clock: HeldClock) -> None:
    said = a_step_to(a_post("one"), messages=[Message(role="user", text="words")])

    async def say() -> None:
        await ledger.turn(
            turns.receive, SESSION, a_tick(), keys=[str(clock.now)], new=a_session, turn_of=said, delivery=DELIVERY
        )

    await say()
    old = str(clock.now)
    clock.now += 2 * DAY_S
    await say()
    clock.now += 2 * DAY_S
    assert await clean(ledger, 0) == 0
    await clean(ledger, 3)
    details = await ledger.read(read.details, SESSION)
    assert details is not None
    at = clock.now - 2 * DAY_S
    assert [line.at for line in details.messages] == [line.at for line in details.journal] == [at]
    assert [line.at for line in await ledger.read(read.deliveries)] == [at]
    assert (await ledger.read(numbers.counts)).deliveries == {"accepted": 2}
    # A key outlives the words: the same delivery, once more, is still known.
    assert (await ledger.turn(turns.receive, SESSION, a_tick(), keys=[old], turn_of=said)).duplicate


async def test_what_ended_goes_with_the_words_and_what_waits_stays(ledger: SqliteLedger, clock: HeldClock) -> None:
    await hear(ledger)
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
    await ledger.turn(effects.park, claimed, "no")
    clock.now += 3 * DAY_S
    await clean(ledger, 2)
    assert await waiting(ledger) == ["Post", "Remind"]
    assert await ledger.read(read.parked) == []


async def test_old_words_go_in_batches_too(ledger: SqliteLedger, clock: HeldClock) -> None:
    def many(tx: Tx) -> None:
        rows = [(f"{i}", tx.now) for i in range(BATCH + 10)]
        tx.executemany("INSERT INTO journal (session, at, kind, body) VALUES (?, ?, 'Said', '')", rows)

    await ledger.turn(many)
    later = clock.now + 3 * DAY_S
    assert [await ledger.turn(cleanup.cleanup, 2, at=later) for _ in range(3)] == [BATCH, 10, 0]
