"""The one road in: an event is heard, and all that follows from it is decided in one transaction.

Nobody owns a session. The row is the lock, and the machine is total: a late or repeated event changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dragoman.core.events import Event
from dragoman.core.events.linear import RequestRefused
from dragoman.core.events.operators import SessionExpired
from dragoman.core.review import watched
from dragoman.core.session import Session, Step, live_turn
from dragoman.core.status import status
from dragoman.core.step import step
from dragoman.ids import SessionId
from dragoman.ledger import effects, forgetting, queries, queue
from dragoman.ledger.codec import encode, encode_for_journal
from dragoman.ledger.effects import Claimed
from dragoman.ledger.turn_rows import keep_turns
from dragoman.ledger.tx import Tx, Value
from dragoman.record import Record

_SQL = queries.load("turns")
_REMEMBER, _LOAD, _OPEN, _STORE = _SQL["remember"], _SQL["load"], _SQL["open"], _SQL["store"]
_CHANGE_STATUS, _EXPIRED = _SQL["change_status"], _SQL["expired"]
_STORE_BODY, _NOTE, _SAY, _LOG_DELIVERY = _SQL["store_body"], _SQL["note"], _SQL["say"], _SQL["log_delivery"]

StepFunction = Callable[[Session, Event, float], Step]
Gather = Callable[[Tx, Session, Event], Event]


class Delivery(Record):
    """A webhook delivery, for the log that people read.

    key   Linear's delivery id
    kind  Linear's type: "AgentSessionEvent"
    """

    key: str
    kind: str
    action: str
    organization: str
    session: SessionId | None = None


class Outcome(Record):
    """What became of an event.

    duplicate  one of its keys was known: nothing changed
    session    as it stands after the turn; None for a duplicate, and for an event of a session that nobody knows
    effects    how many were queued
    refused    why somebody might not do this, a stable word; empty when nobody was refused
    """

    duplicate: bool = False
    session: Session | None = None
    effects: int = 0
    refused: str = ""


def receive(
    tx: Tx,
    session_id: SessionId,
    event: Event,
    *,
    keys: Sequence[str] = (),
    at: float | None = None,
    new: Callable[[], Session] | None = None,
    gather: Gather | None = None,
    delivery: Delivery | None = None,
    turn_of: StepFunction = step,
) -> Outcome:
    """Hear `event`: dedupe, step, store.

    keys      when one of them was seen, the event is a duplicate; the others are remembered all the same
    at        when it happened, as the machine shall know it; the database's clock when None
    new       makes the session when it is not there yet; without it an unknown session's event is ignored
    gather    adds to the event what only the ledger knows, or puts a refusal in its place, inside this transaction
    delivery  logged with its verdict: accepted, refused, duplicate or ignored
    """
    outcome = _turn(tx, session_id, event, keys, tx.now if at is None else at, new, gather, turn_of)
    if delivery is not None:
        log_delivery(tx, delivery, _verdict(outcome))
    return outcome


def finish_with(
    tx: Tx,
    claimed: Claimed,
    event: Event,
    *,
    keys: Sequence[str] = (),
    at: float | None = None,
    error: str | None = None,
    turn_of: StepFunction = step,
) -> Outcome | None:
    """End a claimed effect and hear the event that tells its outcome; None when the claim was lost: then neither.

    error  why it can never be done: the effect is parked instead of finished
    """
    if claimed.session is None:
        raise ValueError("a job belongs to no session that could hear of it")
    ended = effects.finish(tx, claimed) if error is None else effects.park(tx, claimed, error)
    if not ended:
        return None
    return receive(tx, claimed.session, event, keys=keys, at=at, turn_of=turn_of)


def expire(tx: Tx, limit: int, *, turn_of: StepFunction = step) -> list[Outcome]:
    """Tell sessions that their time is over, at most `limit` of them; what became of those that changed."""
    rows = tx.execute(_EXPIRED, (tx.now, limit)).fetchall()
    told = [receive(tx, SessionId(id_), SessionExpired(), turn_of=turn_of) for (id_,) in rows]
    return [outcome for outcome in told if outcome.session is not None and not outcome.session.expires_at]


def log_delivery(tx: Tx, delivery: Delivery, verdict: str) -> None:
    """Note what became of a delivery: also of those that never became an event."""
    row = (delivery.key, delivery.kind, delivery.action, delivery.organization, delivery.session, verdict)
    tx.execute(_LOG_DELIVERY, (tx.now, *row))


def _turn(
    tx: Tx,
    session_id: SessionId,
    event: Event,
    keys: Sequence[str],
    at: float,
    new: Callable[[], Session] | None,
    gather: Gather | None,
    turn_of: StepFunction,
) -> Outcome:
    if keys and was_seen(tx, keys):
        return Outcome(duplicate=True)
    before = load(tx, session_id)
    if before is not None:
        session = before
    elif new is not None:
        session = forgetting.resumed(tx, new())
    else:
        return Outcome()
    if gather is not None:
        event = gather(tx, session, event)
    decided = turn_of(session, event, at)
    after = decided.session
    if before is None:
        _open(tx, after)
    else:
        _store(tx, before, after)
        queue.moved(tx, before, after)
    tx.execute(_NOTE, (after.id, tx.now, type(event).__name__, encode_for_journal(event)))
    keep_turns(tx, session, event, decided)
    if decided.messages:
        tx.executemany(
            _SAY,
            [
                (
                    *(after.id, m.turn or after.turns, tx.now, m.role, m.text),
                    *(m.author, m.linear_id, m.opencode_id, m.tokens, m.cost),
                )
                for m in decided.messages
            ],
        )
    queued = effects.insert(tx, after, decided.effects)
    if after.runs > session.runs:
        queue.prioritise(tx, after)
    refused = event.reason if isinstance(event, RequestRefused) else ""
    return Outcome(session=after, effects=queued, refused=refused)


def _verdict(outcome: Outcome) -> str:
    if outcome.duplicate:
        return "duplicate"
    if outcome.session is None:
        return "ignored: unknown session"
    return f"refused: {outcome.refused}" if outcome.refused else "accepted"


def load(tx: Tx, session_id: SessionId) -> Session | None:
    """The session as it stands."""
    row = tx.execute(_LOAD, (session_id,)).fetchone()
    return None if row is None else tx.cache.decode(session_id, row[0])


def was_seen(tx: Tx, keys: Sequence[str]) -> bool:
    """Whether one of the keys was heard before; from now on all of them were."""
    distinct = dict.fromkeys(keys)
    return tx.executemany(_REMEMBER, [(key, tx.now) for key in distinct]).rowcount < len(distinct)


def _open(tx: Tx, session: Session) -> None:
    body = encode(session)
    tx.cache.keep(session, body)
    tx.execute(_OPEN, (session.id, session.organization, *_searched(session), tx.now, tx.now, body))
    if (now_is := status(session)) != "creating":
        tx.execute(_CHANGE_STATUS, (session.id, tx.now, now_is, session.id))


def _store(tx: Tx, before: Session, after: Session) -> None:
    if after is before:
        return
    searched, body = _searched(after), encode(after)
    tx.cache.keep(after, body)
    if searched == _searched(before):
        tx.execute(_STORE_BODY, (tx.now, body, after.id))
    else:
        tx.execute(_STORE, (*searched, tx.now, body, after.id))
        if (now_is := status(after)) != status(before):
            tx.execute(_CHANGE_STATUS, (after.id, tx.now, now_is, after.id))


def _searched(session: Session) -> tuple[Value, ...]:
    issue = session.issue
    return (
        session.host,
        issue.id if issue else None,
        issue.key if issue else None,
        status(session),
        type(session.phase).__name__,
        int(live_turn(session) is not None),
        session.expires_at or None,
        watched(session) or None,
    )
