"""Runs that wait to be started: their order, the places, and who needs none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core.effects import StartRun
from dragoman.core.events import Event
from dragoman.core.events.linear import IssueRead, SessionOpened, StopRequested
from dragoman.core.events.runs import RunAborted, RunStarted
from dragoman.core.step import step
from dragoman.ids import AgentThread, HostId, RunId, SessionId, run_id
from dragoman.ledger import effects, queue, turns
from dragoman.ledger.effects import Claimed
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import HOST, a_prompt, a_session, an_issue
from tests.ledger_clock import HeldClock

LEASE_S = 30.0
OTHER_HOST = HostId("host-b")


async def tell(ledger: SqliteLedger, name: str, event: Event, host: HostId = HOST) -> None:
    id_ = SessionId(name)
    await ledger.turn(turns.receive, id_, event, new=lambda: a_session(id_, host=host), turn_of=step)


async def wants(ledger: SqliteLedger, name: str, priority: int = 0, host: HostId = HOST) -> RunId:
    """Somebody asks for work on an issue of that priority: its start waits in the queue."""
    run = run_id(SessionId(name), 1)
    issue = replace(an_issue(f"ENG-{name}"), priority=priority)
    await tell(ledger, name, SessionOpened(issue=issue, prompt=a_prompt()), host)
    await tell(ledger, name, IssueRead(run=run, issue=issue), host)
    return run


def started(name: str) -> RunStarted:
    return RunStarted(
        run=run_id(SessionId(name), 1), thread=AgentThread("ses"), repository="app", directory="/w", branch="b"
    )


async def taken(ledger: SqliteLedger, limit: int = 50, host: HostId = HOST) -> list[Claimed]:
    return await ledger.turn(queue.claim_starts, host, limit, LEASE_S)


def names(claimed: list[Claimed]) -> list[str]:
    return [str(one.session) for one in claimed]


async def test_starts_are_taken_by_priority_and_then_in_the_order_of_coming(ledger: SqliteLedger) -> None:
    for name, priority in (("low", 4), ("none", 0), ("medium", 3), ("urgent", 1), ("high", 2), ("urgent too", 1)):
        await wants(ledger, name, priority)
    order = [name for _ in range(6) for name in names(await taken(ledger, 1))]
    assert order == ["urgent", "urgent too", "high", "none", "medium", "low"]


async def test_places_are_what_works_and_what_is_being_started_on_this_host(ledger: SqliteLedger) -> None:
    for name in ("one", "two", "three", "four"):
        await wants(ledger, name)
    await wants(ledger, "elsewhere", host=OTHER_HOST)
    assert await ledger.read(queue.free_places, HOST, 3) == 3
    [first] = await taken(ledger, 1)
    assert await ledger.read(queue.free_places, HOST, 3) == 2
    await ledger.turn(turns.finish_with, first, started("one"), turn_of=step)
    assert await ledger.read(queue.free_places, HOST, 3) == 2
    await tell(ledger, "one", StopRequested(sent_at=1.0))
    assert await ledger.read(queue.free_places, HOST, 3) == 2, "until its end is seen it keeps its place"
    await taken(ledger, 1)
    await taken(ledger, 1, OTHER_HOST)
    assert await ledger.read(queue.free_places, HOST, 3) == 1
    assert await ledger.read(queue.free_places, HOST, 1) == 0


async def test_a_claim_that_has_ended_gives_its_place_back(ledger: SqliteLedger, clock: HeldClock) -> None:
    await wants(ledger, "one")
    await taken(ledger)
    clock.now += LEASE_S + 1
    assert await ledger.read(queue.free_places, HOST, 1) == 1
    assert names(await taken(ledger)) == ["one"]


async def test_a_start_that_was_put_off_is_passed_by_others_until_its_time(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await wants(ledger, "one")
    await wants(ledger, "two")
    [first] = await taken(ledger, 1)
    await ledger.turn(effects.retry, first, 15.0, "the repository is away")
    assert await ledger.read(queue.next_start, HOST) == clock.now + 15.0
    assert names(await taken(ledger)) == ["two"]
    clock.now += 15.0
    assert names(await taken(ledger)) == ["one"]


async def test_everybody_is_told_once_where_it_stands(ledger: SqliteLedger) -> None:
    for name in ("one", "two", "three"):
        await wants(ledger, name)
    await wants(ledger, "urgent", 1)
    waiting = await ledger.read(queue.untold, HOST, 50)
    assert [(one.session, place) for one, place in waiting] == [("urgent", 1), ("one", 2), ("two", 3), ("three", 4)]
    for one, _ in waiting[:2]:
        await ledger.turn(queue.note_told, one, "capacity")
    assert [one.session for one, _ in await ledger.read(queue.untold, HOST, 50)] == ["two", "three"]
    told = [(one.session, one.told) for one in await ledger.read(queue.first_in_queue, HOST, 3)]
    assert told == [("urgent", "capacity"), ("one", "capacity"), ("two", "")]


async def test_the_place_of_a_run_counts_those_before_it_that_wait(ledger: SqliteLedger) -> None:
    runs = [await wants(ledger, name) for name in ("one", "two", "three")]
    await taken(ledger, 1)
    found = [
        await ledger.read(queue.place_of, SessionId(name), run)
        for name, run in zip(("one", "two", "three"), runs, strict=True)
    ]
    assert found == [None, 1, 2]
    assert await ledger.read(queue.place_of, SessionId("two"), runs[2]) is None
    assert await ledger.read(queue.place_of, SessionId("nobody"), runs[2]) is None


async def test_who_is_tried_and_waits_again_is_told_again(ledger: SqliteLedger) -> None:
    await wants(ledger, "one")
    [(waiting, _)] = await ledger.read(queue.untold, HOST, 50)
    await ledger.turn(queue.note_told, waiting, "capacity")
    [claimed] = await taken(ledger)
    await ledger.turn(effects.retry, claimed, 0.0, "busy")
    assert [one.session for one, _ in await ledger.read(queue.untold, HOST, 50)] == ["one"]


async def test_a_start_that_its_session_has_left_needs_no_place_and_is_in_nobodys_way(ledger: SqliteLedger) -> None:
    left = await wants(ledger, "left")
    stays = await wants(ledger, "stays")
    await tell(ledger, "left", StopRequested(sent_at=1.0))
    assert await ledger.read(queue.place_of, SessionId("left"), left) is None
    assert await ledger.read(queue.place_of, SessionId("stays"), stays) == 1
    claimed = await ledger.turn(queue.claim_left, HOST, 50, LEASE_S)
    assert names(claimed) == ["left"]
    assert isinstance(claimed[0].effect, StartRun)
    assert names(await taken(ledger)) == ["stays"]


@pytest.mark.parametrize("word,expected", [("urgent", ["by word", "first"]), ("low", ["first", "by word"])])
async def test_the_priority_that_was_chosen_overrides_that_of_the_issue(
    ledger: SqliteLedger, word: str, expected: list[str]
) -> None:
    await wants(ledger, "first")
    issue = replace(an_issue("ENG-9"), priority=2)
    opened = SessionOpened(issue=issue, prompt=a_prompt(f"fix it [priority={word}]"))
    await tell(ledger, "by word", opened)
    await tell(ledger, "by word", IssueRead(run=run_id(SessionId("by word"), 1), issue=issue))
    assert names(await taken(ledger, 1)) + names(await taken(ledger, 1)) == expected


async def test_a_place_that_is_left_wakes_who_starts_runs(ledger: SqliteLedger) -> None:
    woken: list[frozenset[str]] = []
    await wants(ledger, "one")
    await tell(ledger, "one", started("one"))
    ledger.on_commit(woken.append)
    await tell(ledger, "one", StopRequested(sent_at=1.0))
    assert not any("start" in pools for pools in woken)
    await tell(ledger, "one", RunAborted(run=run_id(SessionId("one"), 1), verified=True))
    assert any("start" in pools for pools in woken)
