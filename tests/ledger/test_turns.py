from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core.events import Event
from dragoman.core.events.linear import Prompted, SessionOpened
from dragoman.core.session import Message, Resting, Session, Starting, Step, Turn
from dragoman.errors import LedgerError
from dragoman.ids import SessionId
from dragoman.ledger import effects, find, read, turns
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import HOST, SESSION, a_post, a_prompt, a_run, a_session, a_start, a_step_to, a_tick, an_issue
from tests.ledger_clock import HeldClock

DELIVERY = turns.Delivery(key="d-1", kind="AgentSessionEvent", action="prompted", organization="org", session=SESSION)
ALL = 100


async def heard(ledger: SqliteLedger, *keys: str, event: Event | None = None, **how: object) -> turns.Outcome:
    """Hear an event in the session, which is opened if need be."""
    options = {"new": a_session, "turn_of": a_step_to(a_post("told")), **how}
    return await ledger.turn(turns.receive, SESSION, event or a_tick(), keys=keys, **options)  # type: ignore[arg-type]


async def test_an_event_opens_the_session_and_stores_all_that_follows(ledger: SqliteLedger, clock: HeldClock) -> None:
    said = Message(role="user", text="please fix it", author="Ann", tokens=3, cost=0.5)
    step = a_step_to(a_post("told"), a_start(), messages=[said], change=lambda s: replace(s, turns=1))
    outcome = await heard(ledger, event=Prompted(prompt=a_prompt()), turn_of=step)

    details = await ledger.read(read.details, SESSION)
    assert details is not None
    assert outcome == turns.Outcome(session=details.session, effects=2)
    assert details.session == replace(a_session(), turns=1)
    assert (details.summary.created_at, details.summary.status, details.summary.issue_key) == (
        clock.now,
        "creating",
        "ENG-12",
    )
    assert [(line.kind, line.at) for line in details.journal] == [("Prompted", clock.now)]
    assert [(line.text, line.turn, line.author, line.tokens, line.cost) for line in details.messages] == [
        ("please fix it", 1, "Ann", 3, 0.5)
    ]
    assert [(line.kind, line.lane, line.head) for line in details.effects] == [
        ("Post", "linear", True),
        ("StartRun", "agent", True),
    ]


async def test_the_machine_gets_the_stored_session_and_the_time_of_the_event(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    met: list[tuple[int, float]] = []

    def count(session: Session, _event: Event, at: float) -> Step:
        met.append((session.turns, at))
        return Step(session=replace(session, turns=session.turns + 1))

    await heard(ledger, turn_of=count)
    await heard(ledger, turn_of=count, at=77.0)
    assert met == [(0, clock.now), (1, 77.0)]


@pytest.mark.parametrize("again", [("a",), ("b",), ("a", "b"), ("c", "b")])
async def test_an_event_with_a_known_key_changes_nothing(ledger: SqliteLedger, again: tuple[str, ...]) -> None:
    await heard(ledger, "a", "b")
    before = await ledger.read(read.details, SESSION)
    assert await heard(ledger, *again) == turns.Outcome(duplicate=True)
    assert await ledger.read(read.details, SESSION) == before


async def test_the_other_keys_of_a_duplicate_are_remembered(ledger: SqliteLedger) -> None:
    await heard(ledger, "content")
    assert (await heard(ledger, "second delivery", "content")).duplicate
    assert (await heard(ledger, "second delivery")).duplicate


async def test_a_key_given_twice_with_one_event_is_no_duplicate(ledger: SqliteLedger) -> None:
    assert not (await heard(ledger, "same", "same")).duplicate


async def test_events_without_keys_are_never_duplicates(ledger: SqliteLedger) -> None:
    await heard(ledger)
    assert (await heard(ledger)).effects == 1


async def test_an_event_of_an_unknown_session_is_ignored(ledger: SqliteLedger) -> None:
    assert await heard(ledger, new=None, delivery=DELIVERY) == turns.Outcome()
    assert await ledger.read(read.sessions) == []
    assert [line.verdict for line in await ledger.read(read.deliveries)] == ["ignored: unknown session"]


async def test_deliveries_are_logged_with_what_became_of_them(ledger: SqliteLedger) -> None:
    await heard(ledger, "k", delivery=DELIVERY)
    await heard(ledger, "k", delivery=DELIVERY)
    await ledger.turn(turns.log_delivery, DELIVERY, "ignored: foreign organization")
    lines = await ledger.read(read.deliveries)
    assert [line.verdict for line in lines] == ["ignored: foreign organization", "duplicate", "accepted"]
    assert (lines[0].key, lines[0].kind, lines[0].session) == ("d-1", "AgentSessionEvent", SESSION)


async def test_what_only_the_ledger_knows_is_gathered_in_the_same_transaction(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    issue = an_issue()

    def crowd(tx: Tx, _session: Session, event: Event) -> Event:
        assert isinstance(event, SessionOpened)
        return replace(event, crowd=1 + find.count_sessions(tx, issue.id, tx.now - 3600))

    met: list[int] = []

    def note(session: Session, event: Event, _at: float) -> Step:
        assert isinstance(event, SessionOpened)
        met.append(event.crowd)
        return Step(session=session)

    for moment, name in ((0, "one"), (10, "two"), (3605, "three")):
        clock.now = 1_000_000.0 + moment
        session = a_session(SessionId(name), issue=issue)
        opened = SessionOpened(issue=issue, prompt=a_prompt())
        await ledger.turn(turns.receive, session.id, opened, new=lambda s=session: s, gather=crowd, turn_of=note)  # type: ignore[misc]
    assert met == [1, 2, 2]


async def test_a_turn_that_fails_leaves_nothing_not_even_its_keys(ledger: SqliteLedger) -> None:
    def broken(_session: Session, _event: Event, _at: float) -> Step:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await heard(ledger, "k", turn_of=broken)
    assert await ledger.read(read.sessions) == []
    assert not (await heard(ledger, "k")).duplicate


async def test_what_is_searched_for_follows_the_session(ledger: SqliteLedger) -> None:
    working = Starting(turn=Turn(run=a_run(), number=1))
    await heard(ledger, turn_of=a_step_to(change=lambda s: replace(s, phase=working)))
    assert [(s.status, s.phase, s.live) for s in await ledger.read(read.sessions)] == [("creating", "Starting", True)]
    await heard(ledger, turn_of=a_step_to(change=lambda s: replace(s, phase=Resting(after="failed"), failures=3)))
    assert [(s.status, s.phase, s.live) for s in await ledger.read(read.sessions)] == [("error", "Resting", False)]
    await heard(ledger, turn_of=a_step_to(change=lambda s: replace(s, posted_at=5.0)))
    details = await ledger.read(read.details, SESSION)
    assert details is not None
    assert (details.session.posted_at, details.summary.status) == (5.0, "error")


async def test_the_outcome_of_an_effect_and_its_end_are_one_transaction(ledger: SqliteLedger) -> None:
    await heard(ledger)
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=ALL, lease_s=60)

    def broken(_session: Session, _event: Event, _at: float) -> Step:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ledger.turn(turns.finish_with, claimed, a_tick(), turn_of=broken)
    outcome = await ledger.turn(turns.finish_with, claimed, a_tick(), turn_of=a_step_to(a_post("next")))
    assert outcome is not None
    assert outcome.effects == 1
    details = await ledger.read(read.details, SESSION)
    assert details is not None
    assert len(details.journal) == 2
    assert [(line.kind, line.head) for line in details.effects] == [("Post", True)]


async def test_the_outcome_of_a_lost_claim_is_not_heard(ledger: SqliteLedger) -> None:
    await heard(ledger)
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=ALL, lease_s=60)
    assert await ledger.turn(effects.finish, claimed)
    assert await ledger.turn(turns.finish_with, claimed, a_tick(), turn_of=a_step_to(a_post("next"))) is None
    details = await ledger.read(read.details, SESSION)
    assert details is not None
    assert len(details.journal) == 1


async def test_an_effect_that_can_never_be_done_is_parked_with_the_event_that_tells_it(ledger: SqliteLedger) -> None:
    await heard(ledger)
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=ALL, lease_s=60)
    assert await ledger.turn(turns.finish_with, claimed, a_tick(), error="forbidden", turn_of=a_step_to())
    assert [(line.n, line.outcome, line.error) for line in await ledger.read(read.parked)] == [
        (claimed.n, "parked", "forbidden")
    ]


async def test_a_session_of_a_newer_program_is_an_error_that_says_so(ledger: SqliteLedger) -> None:
    await heard(ledger)
    await ledger.turn(lambda tx: tx.execute("UPDATE sessions SET body = replace(body, '\"v\":1', '\"v\":2')").rowcount)
    with pytest.raises(LedgerError, match="version 2"):
        await heard(ledger)
