"""From whoever runs us: by command, by the library, by the clean-up."""

from __future__ import annotations

from typing import Literal

from dragoman.core.context import LinearContext
from dragoman.ids import AgentThread
from dragoman.record import Record


class SessionExpired(Record):
    """The time without a message or agent activity may be over; the machine looks whether it is."""


class CompletionRequested(Record):
    """Somebody says that the session has served its purpose. `reason` is kept in the conversation."""

    reason: str = ""


class ReactivationRequested(Record):
    """Somebody wants a session that is over to be active again, without a message yet."""


class StatusRequested(Record):
    """Somebody sets the status by hand; one that `status.may_change` does not allow changes nothing."""

    status: Literal["active", "completed", "error", "timeout"]
    reason: str = ""


class MessageAdded(Record):
    """A line for the history that did not come through Linear: it begins no turn. Fields as in session.Message."""

    role: Literal["user", "assistant", "system"]
    text: str
    author: str | None = None
    linear_id: str | None = None
    opencode_id: str | None = None
    tokens: int = 0
    cost: float = 0.0


class SessionMade(Record):
    """A program made a session through the library. Fields as in session.Session; `issue_key` "" when unknown."""

    context: LinearContext
    issue_key: str = ""
    timeout_s: float = 0.0
    max_messages: int = 0


class ThreadLinked(Record):
    """A program works on the session in this OpenCode session of its own."""

    thread: AgentThread


class ErrorCounted(Record):
    """A program's attempt to answer failed."""

    reason: str = ""


OperatorEvent = SessionExpired | CompletionRequested | ReactivationRequested | StatusRequested | MessageAdded
LibraryEvent = SessionMade | ThreadLinked | ErrorCounted
