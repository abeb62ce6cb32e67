"""The status of a session as people see it, and which may follow which. It is derived; nothing stores it but for searching."""

from __future__ import annotations

from typing import Literal, get_args

from dragoman.core.limits import FAILED_TURNS
from dragoman.core.session import Choosing, Closed, Resting, Session, Shipping, Starting, Stopping, Working

Status = Literal["creating", "active", "completed", "error", "timeout"]
STATUSES: tuple[Status, ...] = get_args(Status)

# Which status may follow which. What the machine does by itself keeps to it, and so do commands.
_CHANGES: dict[Status, frozenset[Status]] = {
    "creating": frozenset({"active", "completed", "error", "timeout"}),
    "active": frozenset({"completed", "error", "timeout"}),
    "completed": frozenset({"active"}),
    "error": frozenset({"active", "completed"}),
    "timeout": frozenset({"active", "completed"}),
}


def may_change(before: Status, after: Status) -> bool:
    """Whether a status may follow another; staying is no change and always allowed."""
    return before == after or after in _CHANGES[before]


def next_statuses(before: Status) -> tuple[Status, ...]:
    """The statuses that may follow one."""
    return tuple(after for after in STATUSES if after in _CHANGES[before])


def status(session: Session) -> Status:
    """The status as people see it, derived from phase and reason."""
    match session.phase:
        case Closed(reason="timeout"):
            return "timeout"
        case Closed():
            return "completed"
        case Resting() if session.failures >= FAILED_TURNS:
            return "error"
        case Starting() | Choosing() | Resting(after="new") if not session.begun and session.thread is None:
            return "creating"
        case Resting() | Starting() | Choosing() | Working() | Shipping() | Stopping():
            return "active"
