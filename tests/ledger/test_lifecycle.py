"""When a session times out, and when it got which status."""

from __future__ import annotations

import pytest

from dragoman.core.events import Event
from dragoman.core.events.linear import Prompted
from dragoman.core.events.operators import CompletionRequested, MessageAdded, ReactivationRequested
from dragoman.core.session import Session
from dragoman.core.step import step
from dragoman.ids import SessionId
from dragoman.ledger import effects, read, turns
from dragoman.ledger.pools import Job
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import HOST, a_prompt, a_session
from tests.ledger_clock import HeldClock

HALF_AN_HOUR = 1_800.0


async def tell(ledger: SqliteLedger, name: str, event: Event) -> Session:
    id_ = SessionId(name)
    outcome = await ledger.turn(turns.receive, id_, event, new=lambda: a_session(id_), turn_of=step)
    assert outcome.session is not None
    return outcome.session


async def noted(ledger: SqliteLedger, name: str) -> Session:
    """A session that rests from now on."""
    return await tell(ledger, name, MessageAdded(role="user", text="Hello."))


async def expired(ledger: SqliteLedger, limit: int = 50) -> list[str]:
    outcomes = await ledger.turn(turns.expire, limit)
    return [outcome.session.id for outcome in outcomes if outcome.session is not None]


async def test_sessions_time_out_when_their_time_has_come_longest_first_and_once(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    for name in ("one", "two", "three"):
        await noted(ledger, name)
        clock.now += 60
    clock.now += HALF_AN_HOUR - 61
    assert await expired(ledger, limit=1) == ["one"]
    assert await expired(ledger) == ["two"]
    assert await expired(ledger) == []
    clock.now += HALF_AN_HOUR
    assert await expired(ledger) == ["three"]
    stats = await ledger.read(read.stats)
    assert (stats.total, stats.timeout) == (3, 3)


async def test_a_session_with_a_turn_under_way_does_not_time_out(ledger: SqliteLedger, clock: HeldClock) -> None:
    await tell(ledger, "works", Prompted(prompt=a_prompt()))
    clock.now += 100 * HALF_AN_HOUR
    assert await expired(ledger) == []


async def test_a_time_out_frees_the_ledger_of_the_deadline_and_says_so_in_journal_and_conversation(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await noted(ledger, "one")
    clock.now += HALF_AN_HOUR
    await expired(ledger)
    details = await ledger.read(read.details, SessionId("one"))
    assert details is not None
    assert details.summary.status == "timeout"
    assert [line.kind for line in details.journal] == ["MessageAdded", "SessionExpired"]
    assert [(line.role, line.text) for line in details.messages][-1] == ("system", "Session timed out after 30 minutes")


async def test_each_change_of_status_is_kept_with_its_time(ledger: SqliteLedger, clock: HeldClock) -> None:
    begun = clock.now
    await noted(ledger, "one")
    for event in (CompletionRequested(reason="done"), ReactivationRequested()):
        clock.now += 10
        await tell(ledger, "one", event)
    clock.now += HALF_AN_HOUR
    await expired(ledger)
    changes = await ledger.read(read.status_changes, SessionId("one"))
    assert [(change.status, change.at - begun) for change in changes] == [
        ("creating", 0),
        ("completed", 10),
        ("active", 20),
        ("timeout", 20 + HALF_AN_HOUR),
    ]


@pytest.mark.parametrize("asked_s,due_in_s", [(60.0, 60.0), (7_200.0, 3_600.0)])
async def test_a_job_that_waits_comes_forward_and_never_goes_back(
    ledger: SqliteLedger, clock: HeldClock, asked_s: float, due_in_s: float
) -> None:
    assert await ledger.turn(effects.insert_job, Job(name="cleanup"), after_s=3_600.0)
    assert not await ledger.turn(effects.insert_job, Job(name="cleanup"), after_s=asked_s)
    due = await ledger.read(effects.next_due, "system", HOST)
    assert due == clock.now + due_in_s
