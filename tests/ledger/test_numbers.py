"""Counts and turn rows: kept with every change, right after forgetting, and made for ledgers that are older than they."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.core.activities import Action, Failure, Response
from dragoman.core.effects import Effect
from dragoman.core.events import Event
from dragoman.core.events.linear import Prompted, SessionOpened, StopRequested
from dragoman.core.events.opencode import Answered, Broke, PermissionAsked, RunSettled, Usage
from dragoman.core.events.runs import RunAborted, RunStarted
from dragoman.core.session import Resting, Session, Starting, Turn, live_turn
from dragoman.ids import AgentThread, AskId, SessionId
from dragoman.ledger import cleanup, effects, migrations, numbers, queries, turns
from dragoman.ledger.cleanup import DAY_S
from dragoman.ledger.codec import encode
from dragoman.ledger.numbers import TurnLine
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.sqlite_file import open_memory
from tests.builders import (
    HOST,
    ORGANIZATION,
    SESSION,
    a_final_post,
    a_post,
    a_prompt,
    a_run,
    a_session,
    a_step_to,
    a_tick,
)
from tests.ledger.conftest import OpenLedger
from tests.ledger_clock import HeldClock

THREAD = AgentThread("ses_1")
ISSUELESS = replace(a_session(), issue=None)


class Telling:
    """A session that hears one event a second and shows at once what it is asked to."""

    def __init__(self, ledger: SqliteLedger, clock: HeldClock) -> None:
        self.ledger = ledger
        self.clock = clock

    async def hear(self, *events: Event) -> None:
        for event in events:
            self.clock.now += 1
            await self.ledger.turn(turns.receive, SESSION, event, new=lambda: ISSUELESS)

    async def show(self) -> None:
        while claimed := await self.ledger.turn(effects.claim, "linear", host=HOST, limit=9, lease_s=60):
            for one in claimed:
                await self.ledger.turn(effects.finish, one)

    async def settle(self, turn: int, outcome: Answered | Broke) -> None:
        session = await self.ledger.read(turns.load, SESSION)
        assert session is not None
        live = live_turn(session)
        assert live is not None
        await self.hear(RunSettled(run=a_run(turn=turn), newest=live.messages[-1], outcome=outcome))

    async def rows(self) -> list[TurnLine]:
        return sorted(await self.ledger.read(numbers.turns_since, 0.0), key=lambda row: row.begun_at)


@pytest.fixture
def telling(ledger: SqliteLedger, clock: HeldClock) -> Telling:
    return Telling(ledger, clock)


def started(turn: int = 1) -> RunStarted:
    return RunStarted(
        run=a_run(turn=turn), thread=THREAD, repository="acme/shop", directory="/w", branch="b", model="acme/wanted"
    )


OPENED = SessionOpened(issue=None, prompt=a_prompt())


async def test_a_turn_is_timed_from_its_prompt_to_the_first_thing_shown_and_to_its_end(telling: Telling) -> None:
    await telling.hear(OPENED)
    begun_at = telling.clock.now
    telling.clock.now += 2
    await telling.show()
    await telling.hear(started())
    await telling.show()
    assert [row.model for row in await telling.rows()] == ["acme/wanted"]
    used = Usage(input_tokens=100, output_tokens=20, cost=0.5, model="acme/took-over")
    await telling.settle(1, Answered(text="Done.", usage=used))
    [row] = await telling.rows()
    assert (row.begun_at, row.first_shown_at, row.ended_at) == (begun_at, begun_at + 2, telling.clock.now)
    assert (row.outcome, row.tokens, row.cost, row.asks) == ("answered", 120, 0.5, 0)
    assert (row.repository, row.user, row.model) == ("acme/shop", "Ann", "acme/took-over")
    counted = await telling.ledger.read(numbers.counts)
    assert (counted.turns, counted.tokens, counted.cost) == ({"answered": 1}, 120, 0.5)


async def test_a_turn_that_waited_begins_when_the_one_before_it_ends(telling: Telling) -> None:
    await telling.hear(OPENED, started(), Prompted(prompt=a_prompt("/queue and that")))
    await telling.settle(1, Broke(cause="server", message="no"))
    await telling.show()
    first, second = await telling.rows()
    assert (first.outcome, second.outcome, second.begun_at) == ("failed", None, first.ended_at)
    assert second.first_shown_at is not None
    assert (await telling.ledger.read(numbers.live_turns)) == {SESSION: 2}


async def test_a_turn_that_needs_no_agent_counts_as_answered(telling: Telling) -> None:
    await telling.hear(Prompted(prompt=a_prompt("help")))
    (guided,) = await telling.rows()
    assert (guided.outcome, guided.begun_at) == ("answered", guided.ended_at)
    assert (await telling.ledger.read(numbers.counts)).turns == {"answered": 1}


async def test_stopped_and_refused_turns_are_told_apart(telling: Telling) -> None:
    await telling.hear(StopRequested(sent_at=0.0), OPENED, started(2), StopRequested(sent_at=0.0))
    await telling.hear(RunAborted(run=a_run(turn=2), verified=True))
    await telling.show()
    refused, stopped = await telling.rows()
    assert (refused.outcome, refused.begun_at) == ("refused", refused.ended_at)
    assert stopped.outcome == "stopped"
    assert refused.first_shown_at == stopped.first_shown_at == telling.clock.now


async def test_open_asks_are_counted_while_they_are_open_and_in_their_turn_for_ever(telling: Telling) -> None:
    ask = PermissionAsked(run=a_run(), ask=AskId("per_1"), thread=THREAD, permission="bash", subject="git push")
    await telling.hear(OPENED, started(), ask, replace(ask, ask=AskId("per_2")))
    assert (await telling.ledger.read(numbers.counts)).open_asks == 2
    await telling.settle(1, Answered(text="Done."))
    assert (await telling.ledger.read(numbers.counts)).open_asks == 0
    assert [row.asks for row in await telling.rows()] == [2]
    assert (await telling.ledger.read(numbers.counts)).asks == 2


async def test_a_session_that_cannot_be_read_hides_no_numbers(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.turn(turns.receive, SESSION, OPENED, new=a_session)
    await ledger.turn(lambda tx: tx.execute("UPDATE sessions SET body = 'half a ro'").rowcount)
    [row] = await ledger.read(numbers.turns_since, 0.0)
    assert (row.session, row.repository, row.team) == (SESSION, None, "ENG")
    assert (await ledger.read(numbers.counts)).sessions == {"creating": 1}


async def test_activities_are_counted_by_their_end_also_when_they_are_forgotten(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    fleeting = Action(verb="Running", subject="x", fleeting=True)
    wanted = [a_post("1"), a_post("2"), a_post("3", fleeting), a_post("4", Response(body="Done."))]
    for post in wanted:
        await ledger.turn(turns.receive, SESSION, a_tick(), new=a_session, turn_of=a_step_to(post))
    [one] = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
    await ledger.turn(effects.finish, one)
    [two] = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
    await ledger.turn(effects.park, two, "no")
    expected = {("thought", "done"): 1, ("thought", "parked"): 1, ("action", "dropped"): 1}
    assert (await ledger.read(numbers.counts)).activities == expected
    clock.now += 8 * DAY_S
    while await ledger.turn(cleanup.cleanup):
        pass
    assert (await ledger.read(numbers.counts)).activities == expected


async def test_what_waits_ages_from_when_it_could_have_been_done(ledger: SqliteLedger, clock: HeldClock) -> None:
    assert (await ledger.read(numbers.counts)).ages_s == {}
    await Telling(ledger, clock).hear(OPENED)
    clock.now += 5
    counted = await ledger.read(numbers.counts)
    assert counted.ages_s == {"linear": 5.0, "issue": 5.0, "start": 5.0, "timers": 0.0}
    assert counted.starts_waiting == 1
    [claimed] = await ledger.turn(effects.claim, "start", host=HOST, limit=1, lease_s=60)
    assert (await ledger.read(numbers.counts)).starts_waiting == 0
    await ledger.turn(effects.retry, claimed, 60.0, "no")
    counted = await ledger.read(numbers.counts)
    assert (counted.starts_waiting, counted.ages_s["start"]) == (1, 5.0)


async def test_an_older_ledger_gets_its_turns_and_counts(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ledger.db"
    old = [one for one in migrations._migrations() if one[0][0] == 1]
    with monkeypatch.context() as patch, sqlite3.connect(file, isolation_level=None) as connection:
        patch.setattr(migrations, "_migrations", lambda: iter(old))
        assert migrations.migrate(connection) == 1
        _fill(connection)
    connection.close()

    ledger = await open_ledger(f"sqlite:///{file}")
    rows = sorted(await ledger.read(numbers.turns_since, 0.0), key=lambda row: row.begun_at)
    assert [(row.session, row.begun_at, row.ended_at, row.outcome, row.tokens, row.cost) for row in rows] == [
        (SessionId("rests"), 10.0, 12.0, "unknown", 7, 0.25),
        (SessionId("rests"), 20.0, 23.0, "unknown", 5, 0.5),
        (SessionId("works"), 30.0, None, None, 0, 0.0),
    ]
    counted = await ledger.read(numbers.counts)
    assert counted.turns == {"unknown": 2}
    assert (counted.tokens, counted.cost) == (12, 0.75)
    assert counted.activities == {("thought", "done"): 2, ("error", "parked"): 1}
    assert counted.deliveries == {"accepted": 2, "duplicate": 1}
    # What was under way ends as every turn does.
    done = replace(_session("works", live=False), phase=Resting(after="answered"), turns=1)
    step = a_step_to(a_final_post(), change=lambda _: done)
    await ledger.turn(turns.receive, SessionId("works"), a_tick(), turn_of=step)
    assert (await ledger.read(numbers.counts)).turns == {"unknown": 2, "answered": 1}


def _session(name: str, *, live: bool) -> Session:
    phase = Starting(turn=Turn(run=a_run(SessionId(name), 1), number=1)) if live else Resting(after="answered")
    return replace(a_session(SessionId(name)), phase=phase, turns=1 if live else 2)


def _fill(connection: sqlite3.Connection) -> None:
    """Two sessions as the first schema held them: one rests after two turns, one is in its first."""
    for name, live in (("rests", False), ("works", True)):
        session = _session(name, live=live)
        columns = (name, ORGANIZATION, HOST, "i", "ENG-1", "active", type(session.phase).__name__, int(live), 1.0, 1.0)
        connection.execute(
            "INSERT INTO sessions (id, organization, host, issue, issue_key, status, phase, live, created_at, updated_at, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*columns, encode(session)),
        )
    said = [
        ("rests", 1, 10.0, "user", 0, 0.0),
        ("rests", 1, 12.0, "assistant", 7, 0.25),
        ("rests", 2, 20.0, "user", 0, 0.0),
        ("rests", 2, 21.0, "user", 0, 0.0),
        ("rests", 2, 23.0, "assistant", 5, 0.5),
        ("works", 1, 30.0, "user", 0, 0.0),
    ]
    connection.executemany(
        "INSERT INTO messages (session, turn, at, role, text, tokens, cost) VALUES (?, ?, ?, ?, '', ?, ?)", said
    )
    posts: list[tuple[Effect, str | None]] = [
        (a_post("a"), "done"),
        (a_post("b"), "done"),
        (a_post("c", Failure(body="no")), "parked"),
        (a_post("d"), None),
    ]
    for post, outcome in posts:
        connection.execute(
            "INSERT INTO effects (session, lane, host, pool, kind, created_at, due_at, head, done_at, outcome, body) "
            "VALUES ('rests', 'linear', '', 'linear', 'Post', 1, 1, 0, ?, ?, ?)",
            (None if outcome is None else 2.0, outcome, encode(post)),
        )
    for verdict in ("accepted", "accepted", "duplicate"):
        connection.execute(
            "INSERT INTO deliveries (at, key, type, action, organization, verdict) VALUES (1, 'k', 't', 'a', 'o', ?)",
            (verdict,),
        )


# ── figures ──────────────────────────────────────────────────────────────
def a_line(session: str = "one", begun_at: float = 0.0, **fields: object) -> TurnLine:
    whole = {"first_shown_at": None, "ended_at": None, "outcome": None, "asks": 0, "tokens": 0, "cost": 0.0}
    whole |= {"pull_request": None}
    whole |= dict.fromkeys(("team", "repository", "user", "model", "template"))
    return TurnLine(session=SessionId(session), begun_at=begun_at, **{**whole, **fields})  # type: ignore[arg-type]


def test_figures_leave_refused_turns_out_of_the_times_and_count_a_session_once() -> None:
    lines = [
        a_line(ended_at=10.0, first_shown_at=1.0, outcome="answered", tokens=3, cost=0.5, asks=1, pull_request="pr"),
        a_line(ended_at=30.0, first_shown_at=2.0, outcome="failed", pull_request="pr"),
        a_line("two", ended_at=0.0, first_shown_at=0.0, outcome="refused"),
        a_line("two"),
    ]
    found = numbers.together("all", lines)
    assert (found.sessions, found.turns, found.under_way) == (2, 4, 1)
    assert (found.answered, found.failed, found.refused, found.stopped, found.unknown) == (1, 1, 1, 0, 0)
    assert (found.first_p50_s, found.first_p95_s, found.turn_p50_s, found.turn_p95_s) == (1.0, 2.0, 10.0, 30.0)
    assert (found.tokens, found.cost, found.asks, found.pull_requests) == (3, 0.5, 1, 1)


def test_groups_come_busiest_first_and_days_in_their_order() -> None:
    lines = [
        a_line(team="OPS", begun_at=0.0),
        a_line(team="ENG", begun_at=DAY_S),
        a_line(team="ENG", begun_at=DAY_S + 1),
        a_line(begun_at=3 * DAY_S),
    ]
    assert [(one.group, one.turns) for one in numbers.grouped(lines, "team")] == [("ENG", 2), ("-", 1), ("OPS", 1)]
    days = [("1970-01-01", 1), ("1970-01-02", 2), ("1970-01-04", 1)]
    assert [(one.group, one.turns) for one in numbers.grouped(lines, "day")] == days


@pytest.mark.parametrize(
    "values,share,expected", [([], 0.5, None), ([1.0], 0.95, 1.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0], 0.95, 2.0)]
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float | None) -> None:
    assert numbers.percentile(values, share) == expected


@pytest.mark.parametrize("text,seconds", [("30min", 1_800), ("12h", 43_200), (" 7D ", 604_800), ("1w", 604_800)])
def test_a_span_is_read(text: str, seconds: float) -> None:
    assert numbers.span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "1.5h", "9999999d"])
def test_what_is_no_span_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="write 7d, 12h or 30min"):
        numbers.span_s(text)


@pytest.mark.parametrize(
    "name", ["begin_turn", "end_turn", "ask", "tallies", "open_asks", "starts_waiting", "live_turns"]
)
def test_what_runs_often_looks_at_no_more_than_it_counts(name: str) -> None:
    sql = queries.load("numbers")[name]
    with open_memory() as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?")).fetchall()
    plan = [row[3] for row in rows if "SCAN" in row[3]]
    connection.close()
    # The partial indexes hold only sessions with a turn under way, and tallies are a handful.
    assert all("tallies" in step or "sessions_live" in step for step in plan), plan
