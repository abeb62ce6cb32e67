"""How a session is closed, and reopened without a message: by withdrawal, by command, by time. Called by `step` alone.

What closes a session with a turn under way ends that turn first, with its one final activity. At rest nothing is shown
in Linear: people there have read an answer, and a line in the conversation tells the rest to whoever looks.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.draft import Draft
from dragoman.core.effects import ClearWorkspace, DisposeInstance
from dragoman.core.events.operators import (
    CompletionRequested,
    MessageAdded,
    OperatorEvent,
    ReactivationRequested,
    SessionExpired,
    StatusRequested,
)
from dragoman.core.limits import FAILED_TURNS
from dragoman.core.session import Choosing, Closed, Message, Resting, Session, Shipping, Starting, Stopping, Working
from dragoman.core.status import Status, may_change, status
from dragoman.core.turns import abort, give_up

# What ends the work on an issue. A session that was only left alone, or completed by a program, keeps its files.
CLEARS = frozenset({"issue_completed", "issue_canceled", "unassigned", "app_revoked", "merged"})


def on_operator(draft: Draft, event: OperatorEvent) -> None:
    """What whoever runs us asks for. What may not be done changes nothing: callers look beforehand and tell people."""
    match event:
        case SessionExpired():
            if isinstance(draft.session.phase, Resting) and 0 < draft.session.expires_at <= draft.now:
                change_status(draft, "timeout", "")
        case CompletionRequested(reason=reason):
            change_status(draft, "completed", reason)
        case ReactivationRequested():
            change_status(draft, "active", "")
        case StatusRequested(status=wanted, reason=reason):
            change_status(draft, wanted, reason)
        case MessageAdded():
            draft.remember(
                Message(
                    role=event.role,
                    text=event.text,
                    author=event.author,
                    linear_id=event.linear_id,
                    opencode_id=event.opencode_id,
                    tokens=event.tokens,
                    cost=event.cost,
                )
            )
        case _:
            assert_never(event)


def change_status(draft: Draft, wanted: Status, reason: str) -> None:
    """Bring about what has that status; nothing when it has it already or may not get it."""
    known = status(draft.session)
    if known == wanted or not may_change(known, wanted):
        return
    match wanted:
        case "active":
            reactivate(draft)
        case "completed":
            draft.remember(Message(role="system", text=wording.ending.completed_line(reason)))
            close(draft, "requested")
        case "timeout":
            minutes = (draft.session.timeout_s or draft.rules.timeout_s) / 60
            draft.remember(Message(role="system", text=wording.ending.timed_out_line(minutes)))
            close(draft, "timeout")
            if isinstance(draft.session.phase, Closed) and draft.directory:
                draft.do(DisposeInstance(directory=draft.directory))
        case "error":
            fail(draft, reason)
        case "creating":
            pass  # nothing goes back to the beginning
        case _:
            assert_never(wanted)


def close(draft: Draft, reason: str) -> None:
    """What runs is ended, what waits is not begun, and the session is over.

    reason  as Closed has it
    """
    phase = draft.session.phase
    waiting = len(draft.session.queued)
    draft.change(queued=())
    match phase:
        case Resting() | Closed():
            draft.enter(Closed(reason=reason))
        case Starting() | Choosing() | Working() | Shipping():
            draft.turn_with(giving_up=reason)
            abort(draft, "withdrawn", dropped=waiting)
        case Stopping(turn=turn):
            ended = replace(turn, giving_up=reason)
            draft.enter(replace(phase, turn=ended, by="withdrawn", dropped=phase.dropped + waiting))
        case _:
            assert_never(phase)


def reactivate(draft: Draft) -> None:
    """A session that is over, or has failed, rests again and waits for a message."""
    draft.change(begun=True, failures=0)
    if isinstance(draft.session.phase, Closed):
        draft.enter(Resting(after="reactivated"))


def fail(draft: Draft, reason: str) -> None:
    """By hand: as if the turns so far had failed too often; a turn under way is ended with the reason."""
    phase = draft.session.phase
    if isinstance(phase, Stopping):
        return  # it ends already
    draft.remember(Message(role="system", text=wording.ending.failed_line(reason)))
    if isinstance(phase, Starting | Choosing | Working | Shipping):
        draft.turn_with(kept=None)  # no answer stands against this
        draft.change(failures=max(draft.session.failures, FAILED_TURNS - 1))
        give_up(draft, wording.ending.failed_by_hand(reason))
    elif isinstance(phase, Resting):
        draft.change(failures=max(draft.session.failures, FAILED_TURNS))
        draft.enter(Resting(after="failed"))


def clear_up(draft: Draft, before: Session) -> None:
    """After each step: a session that is over for good needs its workspace no more."""
    session = draft.session
    if session is before or not isinstance(session.phase, Closed) or session.phase == before.phase:
        return
    if session.phase.reason in CLEARS and draft.directory:
        draft.do(ClearWorkspace())


def keep_time(draft: Draft, before: Session) -> None:
    """After each step: when the session times out, and whether it has left its beginning for good.

    Time runs only at rest. A turn under way has deadlines of its own, and an ask may stay open for days.
    """
    session = draft.session
    if session is before:
        return
    now_is = status(session)
    waits = isinstance(session.phase, Resting) and now_is in {"creating", "active"}
    expires_at = draft.now + (session.timeout_s or draft.rules.timeout_s) if waits else 0.0
    draft.change(expires_at=expires_at, begun=session.begun or now_is != "creating")
