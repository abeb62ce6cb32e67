"""The road in: one transaction for what was heard, and everybody who listens hears how the session stands."""

from __future__ import annotations

import pytest

from dragoman.core import step as machine
from dragoman.core.activities import Response
from dragoman.core.effects import Post
from dragoman.core.events.linear import IssueRead, SessionOpened, Withdrawn
from dragoman.core.events.opencode import Said
from dragoman.core.limits import Rules
from dragoman.core.session import Closed, Resting, Session, Starting
from dragoman.ids import PartId, SessionId
from dragoman.ledger import effects, read
from dragoman.ledger.codec import decode_effect
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.runtime.engine import Engine
from tests.builders import ORGANIZATION, SESSION, a_prompt, a_run, a_tick, an_issue
from tests.ledger_clock import HeldClock
from tests.runtime.conftest import HOST


def opened(key: str = "ENG-12") -> SessionOpened:
    return SessionOpened(issue=an_issue(key), prompt=a_prompt())


async def test_a_session_that_nobody_knows_is_made_on_this_host(engine: Engine) -> None:
    outcome = await engine.receive(SESSION, ORGANIZATION, opened(), keys=["created:1"])
    assert outcome.session is not None
    assert (outcome.session.host, outcome.session.organization) == (HOST, ORGANIZATION)
    assert isinstance(outcome.session.phase, Starting)
    assert await engine.session(SESSION) == outcome.session


async def test_what_was_heard_before_changes_nothing_and_is_not_listened_to(engine: Engine) -> None:
    heard: list[Session] = []
    engine.listen(heard.append)
    await engine.receive(SESSION, ORGANIZATION, opened(), keys=["delivery:1", "created:1"])
    again = await engine.receive(SESSION, ORGANIZATION, opened(), keys=["delivery:2", "created:1"])
    assert again.duplicate
    assert len(heard) == 1
    assert (await engine.receive(SESSION, ORGANIZATION, opened(), keys=["delivery:2"])).duplicate


async def test_every_listener_hears_how_the_session_stands_after_it(engine: Engine) -> None:
    first: list[Session] = []
    second: list[Session] = []
    engine.listen(first.append)
    engine.listen(second.append)
    await engine.receive(SESSION, ORGANIZATION, opened())
    await engine.tell(SESSION, Withdrawn(reason="unassigned"))
    assert first == second
    assert [type(session.phase).__name__ for session in first] == ["Starting", "Stopping"]
    assert first[-1] == await engine.session(SESSION)


async def test_news_of_an_unknown_session_change_nothing(engine: Engine, ledger: SqliteLedger) -> None:
    outcome = await engine.tell(SessionId("nobody"), Withdrawn(reason="unassigned"))
    assert outcome.session is None
    assert await ledger.read(read.sessions) == []


async def test_facts_are_told_together_or_not_at_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.receive(SESSION, ORGANIZATION, opened())
    await engine.tell(SESSION, IssueRead(run=a_run()))
    facts = [(f"part:{n}", Said(run=a_run(), part=PartId(f"p{n}"), text=f"word {n}")) for n in range(3)]
    step = machine.step

    def broken(session: Session, event: object, *more: object) -> object:
        if event is facts[2][1]:
            raise ZeroDivisionError("a bug")
        return step(session, event, *more)  # type: ignore[arg-type]  # passed on as they are

    with monkeypatch.context() as patch:
        patch.setattr(machine, "step", broken)
        with pytest.raises(ZeroDivisionError):
            await engine.tell_all(SESSION, facts)
    assert await thoughts(engine) == ["begin"]
    await engine.tell_all(SESSION, facts)
    await engine.tell_all(SESSION, facts)  # each of them once
    assert await thoughts(engine) == ["begin", "word 0", "word 1", "word 2"]


async def thoughts(engine: Engine) -> list[str]:
    """What was decided to be posted, the first thought by the name of its stage."""
    rows = await engine.ledger.read(
        lambda tx: tx.execute("SELECT body FROM effects WHERE kind = 'Post' ORDER BY n").fetchall()
    )
    found = []
    for (body,) in rows:
        post = decode_effect(body)
        assert isinstance(post, Post)
        said = getattr(post.activity, "body", "")
        found.append(said if said.startswith("word") else "begin")
    return found


# ── a crowded issue ──────────────────────────────────────────────────────
async def test_beyond_the_cap_one_reply_then_silence_until_the_hour_is_over(engine: Engine, clock: HeldClock) -> None:
    """The cap of this engine is three."""

    async def open_one(number: int, key: str = "ENG-12") -> tuple[type, list[str]]:
        session = SessionId(f"session-{number}")
        outcome = await engine.receive(session, ORGANIZATION, opened(key))
        assert outcome.session is not None
        return type(outcome.session.phase), await posts_of(engine, session)

    for number in range(3):
        phase, _ = await open_one(number)
        assert phase is Starting
    phase, said = await open_one(3)
    assert phase is Resting
    assert len(said) == 1
    assert "3" in said[0]
    assert await open_one(4) == (Resting, [])
    assert (await open_one(5, "OPS-1"))[0] is Starting  # another issue
    clock.now += 3_601.0
    assert (await open_one(6))[0] is Starting


async def test_without_a_cap_nobody_is_counted(ledger: SqliteLedger) -> None:
    engine = Engine(ledger, host=HOST, rules=Rules(), crowd=0)
    for number in range(30):
        outcome = await engine.receive(SessionId(f"session-{number}"), ORGANIZATION, opened())
        assert outcome.session is not None
        assert isinstance(outcome.session.phase, Starting)


async def posts_of(engine: Engine, session: SessionId) -> list[str]:
    claimed = await engine.ledger.turn(lambda tx: effects.claim(tx, "linear", host=HOST, limit=50, lease_s=1e6))
    posts = [one.effect for one in claimed if one.session == session and isinstance(one.effect, Post)]
    return [post.activity.body for post in posts if isinstance(post.activity, Response)]


async def test_a_session_that_was_withdrawn_stays_closed(engine: Engine) -> None:
    await engine.receive(SESSION, ORGANIZATION, Withdrawn(reason="unassigned"))
    outcome = await engine.tell(SESSION, a_tick())
    assert outcome.session is not None
    assert isinstance(outcome.session.phase, Closed)
