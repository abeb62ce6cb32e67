"""The road out: what is performed when, in which order, and when it is tried again."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.core.effects import ReadIssue
from dragoman.core.retry import TOO_OLD_S, backoff, slow_backoff
from dragoman.errors import LinearError
from dragoman.ids import SessionId, run_id
from dragoman.ledger import numbers
from dragoman.ledger.effects import Claimed
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.runtime import workers
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import LONGEST_NAP_S, GivenUp, Pointless, Postponed
from tests.builders import a_post, a_session, a_tick, an_issue
from tests.ledger_clock import HeldClock
from tests.runtime.conftest import StartWorkers
from tests.runtime.lanes import (
    Performed,
    journal,
    known,
    move,
    queue,
    row,
    until_attempt,
    until_outcome,
)
from tests.runtime.waiting import until

OTHER = SessionId("5e551011-0000-4000-8000-000000000002")


# ── order ────────────────────────────────────────────────────────────────
async def test_what_is_queued_is_performed_in_order_and_done(ledger: SqliteLedger, start: StartWorkers) -> None:
    performed = Performed()
    await queue(ledger, a_post("before"))
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"), a_post("three"))
    await until(lambda: len(performed.said) == 4)
    assert performed.said == ["before", "one", "two", "three"]
    await until_outcome(ledger, "done", 4)


async def test_a_lane_keeps_its_order_over_a_failure_and_others_go_on(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    performed = Performed(lambda words, attempts: LinearError("502") if words == "one" and attempts == 1 else None)
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"))
    await queue(ledger, a_post("elsewhere", session=OTHER), session=a_session(OTHER))
    await until_outcome(ledger, "done", 3)
    await until_attempt(ledger, 1)
    assert performed.said == ["one", "elsewhere"]
    await move(ledger, clock, 1.0)
    await until_outcome(ledger, "done", 2)
    assert performed.said == ["one", "elsewhere", "one", "two"]


async def test_what_has_lost_its_point_is_dropped_and_its_lane_goes_on(
    ledger: SqliteLedger, start: StartWorkers
) -> None:
    performed = Performed(lambda words, _: Pointless("the quota is kept for others") if words == "one" else None)
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"))
    await until_outcome(ledger, "dropped", 1)
    await until_outcome(ledger, "done", 2)
    assert (await ledger.read(numbers.counts)).activities == {("thought", "dropped"): 1, ("thought", "done"): 1}


async def test_no_more_than_its_size_is_under_way(ledger: SqliteLedger, start: StartWorkers) -> None:
    under_way, most, go_on = 0, 0, asyncio.Event()

    async def perform(_: Claimed) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go_on.wait()
        under_way -= 1

    start(perform, size=2)
    for number in range(6):
        session = SessionId(f"session-{number}")
        await queue(ledger, a_post("x", session=session), session=a_session(session))
    await until(lambda: under_way == 2)
    go_on.set()
    await until_outcome(ledger, "done", 6)
    assert most == 2


async def test_while_more_is_to_be_said_than_can_be_others_know_it(
    ledger: SqliteLedger, engine: Engine, start: StartWorkers
) -> None:
    go_on = asyncio.Event()

    async def perform(_: Claimed) -> None:
        await go_on.wait()

    start(perform, size=2)
    for number in range(3):
        session = SessionId(f"session-{number}")
        await queue(ledger, a_post("x", session=session), session=a_session(session))
    await until(lambda: not engine.all_said.is_set())
    go_on.set()
    await until_outcome(ledger, "done", 3)
    await until(engine.all_said.is_set)


async def test_what_nobody_reads_steps_aside_until_all_is_said(
    ledger: SqliteLedger, engine: Engine, start: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STEP_ASIDE_S", 3_600.0)
    performed = 0

    async def perform(_: Claimed) -> None:
        nonlocal performed
        performed += 1

    def read_issue(turn: int) -> ReadIssue:
        return ReadIssue(run=run_id(a_session().id, turn), issue=an_issue())

    start(perform, pool="issue")
    await queue(ledger, read_issue(1))
    await until_outcome(ledger, "done", 1)
    engine.all_said.clear()
    await queue(ledger, read_issue(2))
    await asyncio.sleep(0.2)
    before = performed
    engine.all_said.set()
    await until_outcome(ledger, "done", 2)
    assert (before, performed) == (1, 2)


# ── trying again ─────────────────────────────────────────────────────────
def test_the_first_wait_is_short_and_the_longest_fifteen_seconds() -> None:
    waits = [backoff(attempts) for attempts in range(1, 2_000)]
    assert waits[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert max(waits) == 15.0
    assert backoff(1, 7.0) == 7.0
    assert backoff(9, 0.0) == 0.5
    assert backoff(1, 3_600.0) == 15.0  # who counts the quota refuses in between without asking
    assert LONGEST_NAP_S <= 15.0


def test_a_forge_that_limits_us_is_left_alone_as_long_as_it_asks() -> None:
    assert [slow_backoff(attempts) for attempts in (1, 2, 11, 500)] == [0.5, 1.0, 512.0, 600.0]
    assert slow_backoff(1, 2_400.0) == 2_400.0
    assert slow_backoff(9, 1.0) == 128.0
    assert slow_backoff(1, 1e9) == 3_600.0


async def test_what_is_refused_for_now_is_tried_again_ever_later(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    start(Performed(lambda _, __: LinearError("502 bad gateway")))
    await queue(ledger, a_post("one"))
    waits = []
    for attempt in range(1, 8):
        await until_attempt(ledger, attempt)
        waits.append((await row(ledger)).due_at - clock.now)
        assert (await row(ledger)).error == "502 bad gateway"
        await move(ledger, clock, waits[-1])
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


async def test_what_the_other_side_asks_for_counts(ledger: SqliteLedger, clock: HeldClock, start: StartWorkers) -> None:
    start(Performed(lambda _, __: LinearError("limited", retry_after_s=7.0)))
    await queue(ledger, a_post("one"))
    await until_attempt(ledger, 1)
    assert (await row(ledger)).due_at - clock.now == 7.0


async def test_what_is_refused_for_good_is_parked_and_its_lane_goes_on(
    ledger: SqliteLedger, start: StartWorkers
) -> None:
    performed = Performed(lambda words, _: LinearError("forbidden", retryable=False) if words == "one" else None)
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"))
    await until_outcome(ledger, "done", 2)
    assert performed.said == ["one", "two"]
    parked = await row(ledger, 1)
    assert (parked.outcome, parked.error) == ("parked", "forbidden")


async def test_after_a_day_of_trying_it_is_parked(ledger: SqliteLedger, clock: HeldClock, start: StartWorkers) -> None:
    start(Performed(lambda _, __: LinearError("502")))
    await queue(ledger, a_post("one"))
    await until_attempt(ledger, 1)
    await move(ledger, clock, TOO_OLD_S + 1)
    await until_outcome(ledger, "parked", 1)


async def test_a_postponement_may_name_its_time_and_tells_the_session(
    engine: Engine, ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    await known(ledger)
    start(Performed(lambda _, __: Postponed("later", event=a_tick(), after_s=7.0)))
    await queue(ledger, a_post("one"))
    await until_attempt(ledger, 1)
    assert (await row(ledger)).due_at - clock.now == 7.0
    assert await journal(ledger) == ["HeartbeatDue"]


async def test_what_is_given_up_is_parked_and_tells_the_session(ledger: SqliteLedger, start: StartWorkers) -> None:
    await known(ledger)
    start(Performed(lambda _, __: GivenUp("never", event=a_tick())))
    await queue(ledger, a_post("one"))
    await until_outcome(ledger, "parked", 1)
    assert await journal(ledger) == ["HeartbeatDue"]
