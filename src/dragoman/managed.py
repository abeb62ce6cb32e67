"""What SessionManager takes and hands out: sessions, messages and options as a program sees them, and its own errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from dragoman.core.context import LinearContext
from dragoman.core.status import Status, next_statuses
from dragoman.errors import Refusal, Told
from dragoman.ledger.read import Line, StatusChange
from dragoman.record import Record, whole

Role = Literal["user", "assistant", "system"]
T = TypeVar("T", bound=Record)


class UnknownSession(Told):
    """No session has this id."""


class IllegalStatusChange(Told):
    """The session has a status from which the wanted one cannot be reached. `before`, `wanted`: the two."""

    def __init__(self, session: str, before: Status, wanted: Status) -> None:
        legal = one_of(next_statuses(before))
        super().__init__(f"The session {session} is {before}; from there it cannot become {wanted}, only {legal}.")
        self.before = before
        self.wanted = wanted


class SessionOptions(Record):
    """What one session shall have instead of the settings.

    timeout_minutes  without a message or a change after which it is over; more than 0; None = the setting's
    max_messages     after so many `is_full` is true; more than 0; None = the setting's
    issue_key        "ENG-12" where it is known: people find the session by it
    """

    timeout_minutes: float | None = None
    max_messages: int | None = None
    issue_key: str = ""


class MessageMetadata(Record, tag=False, forbid_unknown_fields=True):
    """What is known of a message besides its words.

    author               a name for people
    linear_comment_id    Linear's id of the comment, or of the activity
    opencode_message_id  OpenCode's id
    tokens, cost         what the model used for it; cost in US dollars
    """

    author: str | None = None
    linear_comment_id: str | None = None
    opencode_message_id: str | None = None
    tokens: int = 0
    cost: float = 0.0


class SessionMessage(Record):
    """A message of a session. `at`: when it was added, seconds since the epoch."""

    role: Role
    text: str
    at: float
    metadata: MessageMetadata


class ManagedSession(Record):
    """A session as it stood when it was asked for; it does not change afterwards.

    id                   `session_<issue>_<user>_<ms>_<random>`, or Linear's id of its own sessions
    status               creating → active → completed, error or timeout
    context              what a program made it from; None for a session that Linear made
    issue_id, user_id    Linear's ids; empty where unknown
    opencode_session_id  the linked session of OpenCode, "ses_…"
    timeout_minutes      after which it is over when nothing happens
    max_messages         after so many `is_full` is true; none is refused
    message_count        how many there are; `messages` holds the newest 1,000, oldest first
    error_count          failed attempts in a row; three make its status "error"
    created_at, last_activity_at  seconds since the epoch
    changes              when it got each of its statuses, oldest first
    """

    id: str
    status: Status
    context: LinearContext | None
    issue_id: str
    user_id: str
    opencode_session_id: str | None
    timeout_minutes: float
    max_messages: int
    message_count: int
    error_count: int
    created_at: float
    last_activity_at: float
    messages: tuple[SessionMessage, ...] = ()
    changes: tuple[StatusChange, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether it has all the messages that it may: the agent should go on from a summary, in a new session of its own."""
        return self.message_count >= self.max_messages


def one_of(words: Sequence[str]) -> str:
    """What there is to choose from: "active, completed or error"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def sound(given: T) -> T:
    """What a program gave, as it can be kept: of the right kinds, and with U+FFFD for each half of a character.

    Raises  Refusal
    """
    try:
        return msgspec.convert(_whole(msgspec.to_builtins(given)), type(given))
    except (msgspec.ValidationError, TypeError) as error:
        raise Refusal(f"This cannot be kept: {error}.") from error


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return whole(value) if isinstance(value, str) else value


def message_of(line: Line) -> SessionMessage:
    """A line of the ledger as a program sees it."""
    about = MessageMetadata(
        author=line.author,
        linear_comment_id=line.linear_id,
        opencode_message_id=line.opencode_id,
        tokens=line.tokens,
        cost=line.cost,
    )
    return SessionMessage(role=line.role, text=line.text, at=line.at, metadata=about)


def metadata_of(given: Mapping[str, object]) -> MessageMetadata:
    """A mapping with the names of MessageMetadata. Raises Refusal for another name or kind."""
    try:
        return msgspec.convert(_whole(dict(given)), MessageMetadata)
    except msgspec.ValidationError as error:
        known = ", ".join(MessageMetadata.__struct_fields__)
        raise Refusal(f"The metadata of a message cannot be used: {error}. It may hold {known}.") from error
