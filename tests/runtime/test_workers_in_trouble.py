"""The road out when we break, lose a claim, or are told to stop; and jobs, which recur."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from dragoman.core import step as machine
from dragoman.core.effects import StartRun, SteerRun
from dragoman.core.events import Event
from dragoman.core.retry import TOO_OLD_S
from dragoman.errors import ForgeError, LedgerError
from dragoman.ids import MessageId, PartId, SessionId
from dragoman.ledger import effects, pools
from dragoman.ledger.effects import Claimed
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import Recurs
from tests.builders import a_post, a_prompt, a_run, a_session, a_start, a_tick
from tests.ledger_clock import HeldClock
from tests.marks import deep
from tests.runtime.conftest import HOST, StartWorkers
from tests.runtime.lanes import (
    Performed,
    begun,
    journal,
    known,
    move,
    numbers,
    queue,
    row,
    take_over,
    until_attempt,
    until_outcome,
)
from tests.runtime.waiting import DEADLINE_S, until


# ── bugs ─────────────────────────────────────────────────────────────────
async def test_a_bug_is_tried_five_times_then_parked_and_the_pool_lives(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    performed = Performed(lambda words, _: ZeroDivisionError("a bug") if words == "one" else None)
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"))
    for attempt in range(1, 5):
        await until_attempt(ledger, attempt)
        await move(ledger, clock, 15.0)
    await until_outcome(ledger, "parked", 1)
    await until_outcome(ledger, "done", 2)
    assert performed.said == ["one"] * 5 + ["two"]


async def test_a_bug_in_the_start_of_a_run_ends_the_turn_with_a_final(
    engine: Engine, ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    turn = await begun(engine)
    start(Performed(lambda _, __: ZeroDivisionError("a bug")), pool="start")
    [n] = await numbers(ledger, "StartRun")
    for attempt in range(1, 5):
        await until_attempt(ledger, attempt, n)
        await move(ledger, clock, 15.0, "start")
    await until_outcome(ledger, "parked", n)
    after = await engine.session(turn.id)
    assert after is not None
    assert type(after.phase).__name__ == "Resting"


async def test_a_bug_in_hearing_the_outcome_is_tried_again_with_care(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(ledger)
    performed = 0

    async def perform(_: Claimed) -> Event:
        nonlocal performed
        performed += 1
        return a_tick()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug in the machine")

    with monkeypatch.context() as patch:
        patch.setattr(machine, "step", broken)
        start(perform)
        await queue(ledger, a_post("one"))
        await until_attempt(ledger, 1)
    await move(ledger, clock, 1.0)
    await until_outcome(ledger, "done", 1)
    assert performed == 2
    assert await journal(ledger) == ["HeartbeatDue"]


async def test_a_ledger_that_fails_for_a_while_stops_nobody_for_ever(
    ledger: SqliteLedger, start: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, turn = 0, ledger.turn

    async def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise LedgerError("disk I/O error")
        return await turn(*args, **kwargs)

    performed = Performed()
    await queue(ledger, a_post("one"))
    monkeypatch.setattr(ledger, "turn", failing)
    start(performed)
    await until(lambda: performed.said == ["one"])
    monkeypatch.undo()


async def test_an_outcome_that_could_not_be_stored_does_not_hold_its_lane_until_the_claim_ends(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, turn = 0, ledger.turn

    async def failing(function: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal failures
        if function is effects.finish and not failures:
            failures += 1
            raise LedgerError("disk I/O error")
        return await turn(function, *args, **kwargs)

    monkeypatch.setattr(ledger, "turn", failing)
    performed = Performed()
    start(performed)
    await queue(ledger, a_post("one"), a_post("two"))
    await until_attempt(ledger, 1)
    await move(ledger, clock, 1.0)
    await until_outcome(ledger, "done", 2)
    assert performed.said == ["one", "one", "two"]


# ── claims ───────────────────────────────────────────────────────────────
async def test_a_claim_is_renewed_as_long_as_it_takes(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    go_on, performed = asyncio.Event(), 0

    async def perform(_: Claimed) -> None:
        nonlocal performed
        performed += 1
        await go_on.wait()

    start(perform, lease_s=0.3)
    start(perform, lease_s=0.3)  # another process of the host, which would take it over
    await queue(ledger, a_post("one"))
    await until(lambda: performed == 1)
    for _ in range(5):
        clock.now += 0.2

        async def renewed() -> bool:
            return (await row(ledger)).due_at >= clock.now + 0.3

        await until(renewed)
        await move(ledger, clock, 0.0)
    go_on.set()
    await until_outcome(ledger, "done", 1)
    assert performed == 1


async def test_after_the_machine_slept_nothing_is_performed_twice_at_once(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    """The claim ended meanwhile, and it is this very pool that takes it again."""
    under_way, most, ended = 0, 0, 0

    async def perform(claimed: Claimed) -> None:
        nonlocal under_way, most, ended
        under_way += 1
        most = max(most, under_way)
        try:
            if claimed.attempts == 1:
                await asyncio.Event().wait()
            ended += 1
        finally:
            under_way -= 1

    start(perform)
    await queue(ledger, a_post("one"))
    await until(lambda: under_way == 1)
    await move(ledger, clock, 31.0)
    await until_outcome(ledger, "done", 1)
    assert (most, ended) == (1, 1)


async def test_who_lost_the_claim_tells_nothing(engine: Engine, ledger: SqliteLedger, start: StartWorkers) -> None:
    await known(ledger)
    go_on, first = asyncio.Event(), asyncio.Event()

    async def slow(_: Claimed) -> Event:
        first.set()
        await go_on.wait()
        return a_tick()

    workers = start(slow)
    await queue(ledger, a_post("one"))
    await first.wait()
    [taken] = await take_over(ledger)
    assert await engine.finish(taken, None)
    go_on.set()
    await workers.stop(DEADLINE_S)  # what is under way ends first
    assert (await row(ledger)).outcome == "done"
    assert await journal(ledger) == []


async def test_stopping_waits_for_what_is_under_way(ledger: SqliteLedger, start: StartWorkers) -> None:
    go_on, begun_ = asyncio.Event(), asyncio.Event()

    async def perform(_: Claimed) -> None:
        begun_.set()
        await go_on.wait()

    workers = start(perform)
    await queue(ledger, a_post("one"), a_post("two"))
    await begun_.wait()
    stopping = asyncio.create_task(workers.stop(DEADLINE_S))
    go_on.set()
    await stopping
    assert (await row(ledger, 1)).outcome == "done"
    assert (await row(ledger, 2)).outcome is None  # it claimed nothing more


async def test_what_does_not_end_in_time_falls_due_again_at_the_next_start(
    ledger: SqliteLedger, start: StartWorkers
) -> None:
    begun_ = asyncio.Event()

    async def endless(_: Claimed) -> None:
        begun_.set()
        await asyncio.Event().wait()

    workers = start(endless)
    await queue(ledger, a_post("one"))
    await begun_.wait()
    await workers.stop(0.05)
    assert (await row(ledger)).outcome is None
    await ledger.turn(effects.release_host, HOST)
    performed = Performed()
    start(performed)
    await until_outcome(ledger, "done", 1)
    assert performed.said == ["one"]


async def test_what_does_not_let_go_is_left_behind(ledger: SqliteLedger, start: StartWorkers) -> None:
    begun_, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn(_: Claimed) -> None:
        begun_.set()
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    workers = start(stubborn)
    await queue(ledger, a_post("one"))
    await begun_.wait()
    with capture_logs() as lines:
        await workers.stop(0.05)
    assert [line["effect"] for line in lines if line["event"] == "worker.stuck"] == ["Post"]
    go_on.set()


async def test_what_is_claimed_while_stopping_is_not_begun(ledger: SqliteLedger, start: StartWorkers) -> None:
    performed, released = Performed(), threading.Event()
    await queue(ledger, a_post("one"))
    blocked = asyncio.ensure_future(ledger.turn(lambda _: released.wait(DEADLINE_S)))
    workers = start(performed)
    await asyncio.sleep(0)  # its claim waits behind the blocked turn now
    await workers.stop(1.0)
    released.set()
    await blocked
    await ledger.turn(lambda _: None)
    assert performed.said == []


# ── pools ────────────────────────────────────────────────────────────────
async def test_starts_that_hang_do_not_hold_up_what_is_said_to_other_runs(
    ledger: SqliteLedger, start: StartWorkers
) -> None:
    elsewhere = SessionId("elsewhere")
    said: list[str] = []

    async def perform(claimed: Claimed) -> None:
        said.append(type(claimed.effect).__name__)
        if isinstance(claimed.effect, StartRun):
            await asyncio.Event().wait()

    for pool in (pools.pool_of(a_start()), "agent"):
        start(perform, pool=pool, size=1)
    await queue(ledger, a_start(), session=a_session())
    await until(lambda: said == ["StartRun"])
    steer = SteerRun(run=a_run(elsewhere), prompt=a_prompt(), message=MessageId("msg_2"), part=PartId("prt_2"))
    await ledger.turn(effects.insert, a_session(elsewhere), [steer])
    await until(lambda: said == ["StartRun", "SteerRun"])


# ── jobs ─────────────────────────────────────────────────────────────────
async def test_a_job_that_recurs_is_done_and_waits_once(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    done = 0

    async def perform(_: Claimed) -> None:
        nonlocal done
        done += 1
        raise Recurs(3_600.0)

    await ledger.turn(effects.insert_job, pools.Job(name="cleanup"))
    start(perform, pool="system")
    for number in range(1, 4):
        await until_outcome(ledger, "done", number)
        assert done == number
        assert (await row(ledger, number + 1)).due_at - clock.now == 3_600.0
        assert (await row(ledger, number + 1)).attempts == 0
        await move(ledger, clock, 3_600.0, "system")


@pytest.mark.parametrize("trouble", [ZeroDivisionError("a bug"), deep(ForgeError("gone", "missing", retryable=False))])
@pytest.mark.parametrize("job", [pools.CLEANUP, *map(deep, sorted(pools.RECURRING - {pools.CLEANUP}))])
@pytest.mark.deep
async def test_a_job_that_recurs_is_never_given_up(
    ledger: SqliteLedger, clock: HeldClock, start: StartWorkers, job: str, trouble: Exception
) -> None:
    heals_at = 8

    async def perform(claimed: Claimed) -> None:
        if claimed.attempts < heals_at:
            raise trouble
        raise Recurs(3_600.0)

    await ledger.turn(effects.insert_job, pools.Job(name=job))
    start(perform, pool="system")
    for attempt in range(1, heals_at):
        await until_attempt(ledger, attempt)
        await move(ledger, clock, TOO_OLD_S, "system")
    await until_outcome(ledger, "done", 1)
    assert (await row(ledger, 2)).due_at - clock.now == 3_600.0
