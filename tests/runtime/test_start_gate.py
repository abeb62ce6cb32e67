"""The gate before runs: who may begin, who waits and is told, and how little it costs that thousands wait."""

from __future__ import annotations

from functools import partial

import pytest

from dragoman.core.effects import Post
from dragoman.core.events.linear import IssueRead, SessionOpened
from dragoman.core.events.runs import RunFailed
from dragoman.core.session import Session
from dragoman.ids import SessionId, run_id
from dragoman.ledger import turns
from dragoman.ledger.codec import decode_effect
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.runtime.engine import Engine
from dragoman.runtime.start_gate import TOLD_AT_ONCE, StartGate
from dragoman.runtime.workers import Taken
from tests.builders import ORGANIZATION, a_prompt, an_issue
from tests.runtime.conftest import HOST
from tests.runtime.room import PretendHost

AWAY = "OpenCode is starting"
MANY = 2_000


@pytest.fixture
def host() -> PretendHost:
    return PretendHost("http://127.0.0.1:1")


@pytest.fixture
def gate(engine: Engine, host: PretendHost) -> StartGate:
    return StartGate(engine, host, 2)


async def want(engine: Engine, *names: str) -> None:
    for name in names:
        id_ = SessionId(name)
        await engine.receive(id_, ORGANIZATION, SessionOpened(issue=an_issue(f"ENG-{name}"), prompt=a_prompt()))
        await engine.tell(id_, IssueRead(run=run_id(id_, 1)))


async def look(ledger: SqliteLedger, gate: StartGate, limit: int = 8) -> Taken:
    take = gate.look()
    return await ledger.turn(lambda tx: take(tx, limit, 30.0))


def _bare(id_: SessionId) -> Session:
    return Session(id=id_, organization=ORGANIZATION, host=HOST)


def sessions(taken: Taken) -> list[str | None]:
    return [one.session for one in taken.claimed]


async def said(ledger: SqliteLedger, name: str) -> list[str]:
    """The thoughts of a session that wait to be shown."""
    sql = "SELECT body FROM effects WHERE session = ? AND kind = 'Post' ORDER BY n"
    rows = await ledger.read(lambda tx: tx.execute(sql, (name,)).fetchall())
    found = [decode_effect(body) for (body,) in rows]
    return [str(getattr(one.activity, "body", "")) for one in found if isinstance(one, Post)][1:]


async def test_as_many_begin_as_there_are_places_and_the_others_hear_where_they_stand(
    ledger: SqliteLedger, engine: Engine, gate: StartGate
) -> None:
    await want(engine, "a", "b", "c", "d")
    assert sessions(await look(ledger, gate)) == ["a", "b"]
    assert await said(ledger, "a") == []
    assert await said(ledger, "c") == [
        "All places are taken by running work. Yours is number 1 in the queue and starts by itself."
    ]
    assert "number 2 in the queue" in (await said(ledger, "d"))[0]
    await look(ledger, gate)
    assert len(await said(ledger, "d")) == 1


async def test_who_waits_for_a_worker_alone_is_told_nothing(
    ledger: SqliteLedger, engine: Engine, gate: StartGate
) -> None:
    gate.places = 100
    await want(engine, "a", "b")
    assert sessions(await look(ledger, gate, limit=1)) == ["a"]
    assert await said(ledger, "b") == []


async def test_without_memory_to_spare_a_run_waits(
    ledger: SqliteLedger, engine: Engine, gate: StartGate, host: PretendHost
) -> None:
    await want(engine, "a")
    host.roomy = False
    assert sessions(await look(ledger, gate)) == []
    assert "number 1 in the queue" in (await said(ledger, "a"))[0]
    host.roomy = True
    assert sessions(await look(ledger, gate)) == ["a"]


async def test_while_opencode_is_away_nothing_is_taken_and_those_hear_of_it_whose_turn_it_would_be(
    ledger: SqliteLedger, engine: Engine, gate: StartGate, host: PretendHost
) -> None:
    await want(engine, "a", "b", "c")
    host.down = True
    for _ in range(3):
        assert sessions(await look(ledger, gate)) == []
    assert [len(await said(ledger, name)) for name in "abc"] == [1, 1, 1]
    assert "OpenCode is not answering" in (await said(ledger, "a"))[0]
    assert "number 3 in the queue" in (await said(ledger, "c"))[0]
    await engine.tell(SessionId("a"), RunFailed(run=run_id(SessionId("a"), 1), reason="gave up"))
    assert sessions(await look(ledger, gate)) == ["a"], "what was given up is only tidied away"
    host.down = False
    assert sessions(await look(ledger, gate)) == ["b"]


async def test_before_anybody_knows_how_opencode_is_nothing_is_taken_and_nothing_said(
    ledger: SqliteLedger, engine: Engine, gate: StartGate, host: PretendHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await want(engine, "a")
    monkeypatch.setattr(host, "away", lambda: "")
    assert sessions(await look(ledger, gate)) == []
    assert await said(ledger, "a") == []


@pytest.mark.deep
async def test_however_many_wait_a_look_tells_a_few_and_touches_no_row_twice(
    ledger: SqliteLedger, engine: Engine, gate: StartGate, host: PretendHost
) -> None:
    def fill(tx: Tx) -> None:
        for number in range(MANY):
            id_ = SessionId(f"s{number:05}")
            turns.receive(tx, id_, SessionOpened(issue=None, prompt=a_prompt()), new=partial(_bare, id_))

    await ledger.turn(fill)
    host.down = True
    gate.places = MANY
    looks = 0
    while (await look(ledger, gate)).told:
        looks += 1
    assert looks == MANY / TOLD_AT_ONCE
    claims = "SELECT sum(attempts), count(told) FROM effects WHERE kind = 'StartRun'"
    assert await ledger.read(lambda tx: tx.execute(claims).fetchone()) == (0, MANY)
    waited = (await look(ledger, gate)).due
    assert waited is None, "only a commit or OpenCode itself brings it back to work"
