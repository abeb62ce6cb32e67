"""The road out: what is performed when, in which order, how often, and what a failure means."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from dragoman.core import step as machine
from dragoman.core.effects import Post, StartRun
from dragoman.core.events import Event, SessionOpened
from dragoman.core.retry import TOO_OLD_S, backoff
from dragoman.core.session import Session
from dragoman.errors import LedgerError, LinearError
from dragoman.ids import SessionId
from dragoman.ledger import effects, pools, turns
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import LONGEST_NAP_S, GivenUp, Perform, Postponed, Recurs, Workers
from tests.builders import ORGANIZATION, a_post, a_prompt, a_session, a_tick
from tests.runtime.conftest import HOST, HeldClock
from tests.runtime.waiting import until

OTHER = SessionId("5e551011-0000-4000-8000-000000000002")

StartWorkers = Callable[..., Workers]


class Row:
    """An effect as it lies in the ledger."""

    def __init__(self, row: tuple[float, int, str | None, str | None, str | None]) -> None:
        self.due_at, self.attempts, self.claim, self.outcome, self.error = row

    @property
    def waits(self) -> bool:
        return self.claim is None and self.outcome is None


async def row(ledger: SqliteLedger, n: int = 1) -> Row:
    sql = "SELECT due_at, attempts, claim, outcome, error FROM effects WHERE n = ?"
    return Row(await ledger.read(lambda tx: tx.execute(sql, (n,)).fetchone()))


async def queue(ledger: SqliteLedger, *posts: Post | StartRun, session: Session | None = None) -> None:
    await ledger.turn(effects.insert, session or a_session(), posts)


async def move(ledger: SqliteLedger, clock: HeldClock, seconds: float, pool: Pool = "linear") -> None:
    """Let time pass, and have the workers look."""
    clock.now += seconds
    await ledger.turn(lambda tx: tx.wake(pool))


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


class Performed:
    """Performs posts by noting what they say; `trouble` is raised instead as long as it gives something."""

    def __init__(self, trouble: Callable[[str, int], Exception | None] = lambda _, __: None) -> None:
        self.said: list[str] = []
        self._trouble = trouble

    async def __call__(self, claimed: Claimed) -> Event | None:
        words = words_of(claimed)
        self.said.append(words)
        if error := self._trouble(words, claimed.attempts):
            raise error
        return None


def words_of(claimed: Claimed) -> str:
    effect = claimed.effect
    return str(getattr(effect.activity, "body", "")) if isinstance(effect, Post) else type(effect).__name__


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
    assert performed.said == ["one", "elsewhere"]
    await move(ledger, clock, 1.0)
    await until_outcome(ledger, "done", 2)
    assert performed.said == ["one", "elsewhere", "one", "two"]


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


# ── trying again ─────────────────────────────────────────────────────────
def test_the_first_wait_is_short_and_the_longest_fifteen_seconds() -> None:
    waits = [backoff(attempts) for attempts in range(1, 2_000)]
    assert waits[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert max(waits) == 15.0
    assert backoff(1, 7.0) == 7.0
    assert backoff(9, 0.0) == 0.5
    assert backoff(1, 3_600.0) == 15.0  # who counts the quota refuses in between without asking
    assert LONGEST_NAP_S <= 15.0


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
    start(Performed(lambda _, __: ZeroDivisionError("a bug")), pool="agent")
    [n] = await numbers(ledger, "StartRun")
    for attempt in range(1, 5):
        await until_attempt(ledger, attempt, n)
        await move(ledger, clock, 15.0, "agent")
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


async def test_who_lost_the_claim_tells_nothing(
    engine: Engine, ledger: SqliteLedger, clock: HeldClock, start: StartWorkers
) -> None:
    await known(ledger)
    go_on, first = asyncio.Event(), asyncio.Event()

    async def slow(_: Claimed) -> Event:
        first.set()
        await go_on.wait()
        return a_tick()

    start(slow)
    await queue(ledger, a_post("one"))
    await first.wait()
    [taken] = await take_over(ledger, clock)
    assert await engine.finish(taken, None)
    go_on.set()
    await move(ledger, clock, 0.0)
    await ledger.turn(lambda _: None)
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
    stopping = asyncio.create_task(workers.stop(10.0))
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


async def test_what_is_claimed_while_stopping_is_not_begun(ledger: SqliteLedger, start: StartWorkers) -> None:
    performed, released = Performed(), threading.Event()
    await queue(ledger, a_post("one"))
    blocked = asyncio.ensure_future(ledger.turn(lambda _: released.wait(15.0)))
    workers = start(performed)
    await asyncio.sleep(0)  # its claim waits behind the blocked turn now
    await workers.stop(1.0)
    released.set()
    await blocked
    await ledger.turn(lambda _: None)
    assert performed.said == []


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


# ── small things ─────────────────────────────────────────────────────────
async def until_outcome(ledger: SqliteLedger, outcome: str, n: int) -> None:
    async def ended() -> bool:
        return (await row(ledger, n)).outcome == outcome

    await until(ended)


async def until_attempt(ledger: SqliteLedger, attempt: int, n: int = 1) -> None:
    """Wait until it was tried so often and waits again."""

    async def waits() -> bool:
        now = await row(ledger, n)
        return now.attempts == attempt and now.waits

    await until(waits)


async def known(ledger: SqliteLedger) -> None:
    """The session is there, at rest, with nothing in its journal."""

    def open_(tx: Tx) -> None:
        turns.receive(tx, a_session().id, a_tick(), new=a_session)
        tx.execute("DELETE FROM journal")

    await ledger.turn(open_)


async def begun(engine: Engine) -> Session:
    """A session whose run is about to be started."""
    opened = SessionOpened(issue=None, prompt=a_prompt())
    outcome = await engine.receive(a_session().id, ORGANIZATION, opened)
    assert outcome.session is not None
    return outcome.session


async def numbers(ledger: SqliteLedger, kind: str) -> list[int]:
    rows = await ledger.read(lambda tx: tx.execute("SELECT n FROM effects WHERE kind = ?", (kind,)).fetchall())
    return [int(n) for (n,) in rows]


async def journal(ledger: SqliteLedger) -> list[str]:
    rows = await ledger.read(lambda tx: tx.execute("SELECT kind FROM journal ORDER BY n").fetchall())
    return [str(kind) for (kind,) in rows]


async def take_over(ledger: SqliteLedger, clock: HeldClock) -> list[Claimed]:
    """As another process does when a claim has ended."""
    clock.now += 31.0
    return await ledger.turn(lambda tx: effects.claim(tx, "linear", host=HOST, limit=1, lease_s=30.0))
