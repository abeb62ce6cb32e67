"""What an operator or a program asks of a session: looked at, heard and written into the audit trail at once."""

from __future__ import annotations

from typing import Literal, assert_never

from dragoman.core.events import Event
from dragoman.core.events.linear import StopRequested
from dragoman.core.events.operators import CompletionRequested, ReactivationRequested
from dragoman.core.session import Session, live_turn
from dragoman.core.status import Status, may_change, status
from dragoman.ids import SessionId
from dragoman.ledger import audit, turns
from dragoman.ledger.audit import ALLOWED, Decision, Source
from dragoman.ledger.turns import Outcome, StepFunction
from dragoman.ledger.tx import Tx
from dragoman.record import Record

Command = Literal["complete", "reactivate", "stop"]

UNFIT = "status"  # the verdict about what the session's status does not allow


class Answer(Record):
    """What became of it.

    refused  why nothing was changed, one sentence; empty when it was heard
    event    what the session heard, with its outcome; both None when it was refused
    """

    refused: str = ""
    event: Event | None = None
    outcome: Outcome | None = None


def ask(
    tx: Tx, session: SessionId, command: Command, *, source: Source, turn_of: StepFunction, reason: str = ""
) -> Answer | None:
    """Have a session completed, reactivated or its turn stopped; None when nobody knows the session.

    reason  why it is completed; kept in its conversation
    """
    before = turns.load(tx, session)
    if before is None:
        return None
    refused = _refusal(before, command)
    note(tx, before, command, source, UNFIT if refused else ALLOWED)
    if refused:
        return Answer(refused=refused)
    event = _event(command, reason, tx.now)
    return Answer(event=event, outcome=turns.receive(tx, session, event, turn_of=turn_of))


def _refusal(session: Session, command: Command) -> str:
    known = status(session)
    match command:
        case "complete":
            wanted: Status = "completed"
        case "reactivate":
            wanted = "active"
        case "stop":
            nothing = f"Session {session.id} is {known} and no turn is under way; there is nothing to stop."
            return nothing if live_turn(session) is None else ""
        case _:
            assert_never(command)
    if known != wanted and may_change(known, wanted):
        return ""
    return f"Session {session.id} is {known}; it cannot become {wanted}."


def _event(command: Command, reason: str, now: float) -> Event:
    match command:
        case "complete":
            return CompletionRequested(reason=reason)
        case "reactivate":
            return ReactivationRequested()
        case "stop":
            return StopRequested(sent_at=now)
        case _:
            assert_never(command)


def note(tx: Tx, session: Session, action: str, source: Source, verdict: str = ALLOWED) -> None:
    """Write into the audit trail what was asked of a session by somebody whom no door has named."""
    issue = session.issue
    decision = Decision(
        source=source,
        organization=session.organization,
        session=session.id,
        team=(issue.team_key or issue.team_id) if issue else "",
        person="",
        name="",
        action=action,
        verdict=verdict,
    )
    audit.append(tx, decision)
