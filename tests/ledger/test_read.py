from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from dragoman.core.effects import Effect, Remind
from dragoman.core.events.timers import HeartbeatDue
from dragoman.core.session import Closed, Message, Phase, Resting, Session, Starting, Turn, Working
from dragoman.ids import AgentThread, HostId, SessionId
from dragoman.ledger import effects, find, numbers, read, turns
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import HOST, a_post, a_reminder, a_run, a_session, a_start, a_step_to, a_tick, an_issue
from tests.ledger_clock import HeldClock


@dataclass
class Story:
    """Sessions as they come about, a second apart."""

    ledger: SqliteLedger
    clock: HeldClock

    async def tell(self, session: Session, *wanted: Effect, said: tuple[str, ...] = ()) -> None:
        self.clock.now += 1
        step = a_step_to(
            *wanted, messages=[Message(role="user", text=text) for text in said], change=lambda _s: session
        )
        await self.ledger.turn(turns.receive, session.id, a_tick(session.id), new=lambda: session, turn_of=step)


def a_session_in(
    phase: Phase, name: str, *, key: str = "ENG-12", thread: str | None = None, host: HostId = HOST
) -> Session:
    session = a_session(SessionId(name), host=host, issue=an_issue(key))
    return replace(session, phase=phase, thread=AgentThread(thread) if thread else None)


def a_failed_session(name: str, *, key: str = "ENG-12") -> Session:
    return replace(a_session_in(Resting(after="failed"), name, key=key), failures=3)


TURN = Turn(run=a_run(), number=1)
STARTING, WORKING = Starting(turn=TURN), Working(turn=TURN)


async def test_sessions_are_listed_newest_first_and_filtered(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    await story.tell(a_session_in(WORKING, "one", thread="ses_1"))
    await story.tell(a_failed_session("two", key="ENG-13"))
    await story.tell(replace(a_session_in(Closed(reason="done"), "three"), issue=None))
    await story.tell(a_failed_session("four"))

    async def names(**filters: object) -> list[str]:
        return [found.id for found in await ledger.read(read.sessions, **filters)]  # type: ignore[arg-type]

    assert await names() == ["four", "three", "two", "one"]
    assert await names(limit=2) == ["four", "three"]
    assert await names(status="error") == ["four", "two"]
    assert await names(issue_key="ENG-12") == ["four", "one"]
    assert await names(status="error", issue_key="ENG-13") == ["two"]
    assert await names(issue_key="ENG-99") == []


async def test_sessions_are_counted_by_what_people_call_their_status(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    assert await ledger.read(read.stats) == read.Stats()
    await story.tell(a_session_in(STARTING, "being created"))
    await story.tell(a_session_in(WORKING, "active", thread="ses_1"))
    await story.tell(a_failed_session("failed"))
    await story.tell(a_session_in(Closed(reason="issue_completed"), "closed"))
    assert await ledger.read(read.stats) == read.Stats(total=4, active=2, completed=1, error=1, timeout=0)


async def test_the_open_runs_of_a_host_are_those_with_a_turn_and_a_thread(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    story = Story(ledger, clock)
    followed = a_session_in(WORKING, "working", thread="ses_1")
    await story.tell(followed)
    await story.tell(a_session_in(STARTING, "no thread yet"))
    await story.tell(a_session_in(Resting(after="answered"), "rests", thread="ses_2"))
    await story.tell(a_session_in(WORKING, "elsewhere", thread="ses_3", host=HostId("host-b")))
    assert await ledger.read(find.open_runs, HOST) == [followed]
    await story.tell(replace(followed, phase=Resting(after="answered")))
    assert await ledger.read(find.open_runs, HOST) == []


async def test_runs_to_follow_are_those_of_the_host_that_work(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    working = a_session_in(WORKING, "working", thread="ses_1")
    await story.tell(working)
    await story.tell(a_session_in(STARTING, "waits for a place"))
    await story.tell(a_session_in(WORKING, "elsewhere", thread="ses_3", host=HostId("host-b")))
    assert await ledger.read(find.working_runs, HOST) == [working]
    await story.tell(replace(working, phase=Resting(after="answered")))
    assert await ledger.read(find.working_runs, HOST) == []


async def test_the_sessions_of_an_issue_are_found_and_counted(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    issue = an_issue().id
    for name in ("one", "two", "three"):
        await story.tell(a_session_in(Resting(after="answered"), name))
    await story.tell(a_session_in(WORKING, "other issue", key="ENG-13"))
    assert [session.id for session in await ledger.read(find.sessions_of_issue, issue)] == ["three", "two", "one"]
    assert [session.id for session in await ledger.read(find.sessions_of_issue, issue, 1)] == ["three"]
    assert await ledger.read(find.count_sessions, issue, 0.0) == 3
    assert await ledger.read(find.count_sessions, issue, clock.now - 2) == 2


async def test_the_newest_of_a_conversation_is_shown_oldest_first(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    session = a_session_in(WORKING, "one")
    await story.tell(session, said=("a", "b"))
    await story.tell(session, said=("c",))
    await story.tell(a_session_in(WORKING, "two"), said=("of another",))
    assert [line.text for line in await ledger.read(read.conversation, session.id)] == ["a", "b", "c"]
    assert [line.text for line in await ledger.read(read.conversation, session.id, 2)] == ["b", "c"]
    assert len(await ledger.read(read.journal, session.id, 1)) == 1


async def test_an_unknown_session_has_no_details(ledger: SqliteLedger) -> None:
    assert await ledger.read(read.details, SessionId("nobody")) is None


async def test_news_of_an_issue_concerns_all_that_is_under_way_and_the_newest(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    story = Story(ledger, clock)
    await story.tell(a_session_in(WORKING, "old and working"))
    await story.tell(a_session_in(Resting(after="answered"), "old"))
    await story.tell(a_session_in(WORKING, "of another issue", key="ENG-13"))
    for name in ("new", "newest"):
        await story.tell(a_session_in(Resting(after="answered"), name))
    found = await ledger.read(find.concerned_by_issue, an_issue().id, 2)
    assert sorted(found) == ["new", "newest", "old and working"]


@pytest.mark.parametrize("body", ["{", '{"v":99,"value":{}}'])
async def test_a_session_that_cannot_be_read_does_not_hide_the_others(
    ledger: SqliteLedger, clock: HeldClock, body: str
) -> None:
    story = Story(ledger, clock)
    spoiled, whole = (a_session_in(WORKING, name, thread=f"ses_{name}") for name in ("one", "two"))
    await story.tell(spoiled)
    await story.tell(whole)
    spoil = "UPDATE sessions SET body = ? WHERE id = ?"
    await ledger.turn(lambda tx: tx.execute(spoil, (body, spoiled.id)).rowcount)
    with capture_logs() as lines:
        assert [session.id for session in await ledger.read(find.working_runs, HOST)] == [whole.id]
        assert [session.id for session in await ledger.read(find.open_runs, HOST)] == [whole.id]
    assert [(line["event"], line["session"]) for line in lines] == [("session.unreadable", spoiled.id)] * 2
    assert set(await ledger.read(numbers.live_turns)) == {spoiled.id, whole.id}
    assert (await ledger.read(numbers.counts)).open_asks == 0


async def test_the_backlog_tells_what_is_overdue_and_how_old_it_is(ledger: SqliteLedger, clock: HeldClock) -> None:
    story = Story(ledger, clock)
    assert await ledger.read(read.backlog) == []
    session = a_session_in(WORKING, "one")
    await story.tell(session, a_post("one"), a_post("two"), a_start(session.id), a_reminder(600.0))
    await ledger.turn(effects.claim, "start", host=HOST, limit=1, lease_s=60)
    clock.now += 5
    assert sorted(await ledger.read(read.backlog), key=lambda one: one.pool) == [
        read.Backlog(pool="linear", heads=1, overdue=1, oldest_s=5.0),
        read.Backlog(pool="start", heads=1, overdue=0, oldest_s=5.0),
        read.Backlog(pool="timers", heads=1, overdue=0, oldest_s=5.0),
    ]


async def test_reminders_of_a_turn_that_has_ended_are_not_still_to_be_done(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    story = Story(ledger, clock)
    earlier = Remind(event=HeartbeatDue(run=a_run(turn=1)), after_s=300)
    now = Remind(event=HeartbeatDue(run=a_run(turn=2)), after_s=600)
    session = a_session_in(Working(turn=Turn(run=a_run(turn=2), number=2)), "one", thread="ses_1")
    await story.tell(session, earlier, now)
    assert [line.due_at for line in await waiting(ledger, session)] == [clock.now + 600]
    await story.tell(replace(session, phase=Resting()), a_post("told:1"))
    assert [line.kind for line in await waiting(ledger, session)] == ["Post"]


async def waiting(ledger: SqliteLedger, session: Session) -> tuple[read.EffectLine, ...]:
    details = await ledger.read(read.details, session.id)
    assert details is not None
    return details.effects
