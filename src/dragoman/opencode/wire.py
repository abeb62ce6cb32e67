"""What we read of OpenCode's JSON, spelled as on the wire.

Only what we use is named; unknown fields are skipped, unknown kinds of parts and events are harmless. A field whose
type is a tool's own business (`metadata`) is `object` and looked at with isinstance.

Source  the OpenAPI document that `GET /doc` of 1.18.33 serves
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError, field, json
from msgspec import ValidationError as WireError

from dragoman.record import without_halves

__all__ = ["WireError"]

T = TypeVar("T")


# ── messages and their parts ─────────────────────────────────────────────
class Span(Struct, frozen=True):
    """Milliseconds since the epoch. Parts have start and end, messages created and completed."""

    start: float | None = None
    end: float | None = None
    created: float | None = None
    completed: float | None = None


class ToolMetadata(Struct, frozen=True):
    """What tools add on the side: running output (bash), a diff (edit, write, patch), a child session (task)."""

    output: object = None
    diff: object = None
    sessionId: object = None


class ToolState(Struct, frozen=True):
    """status: pending, running, completed, error."""

    status: str
    input: Raw = Raw(b"{}")
    output: str | None = None
    title: str | None = None
    error: str | None = None
    metadata: ToolMetadata | None = None


class Part(Struct, frozen=True):
    """A part of a message. type: text, reasoning, tool, compaction, step-start, step-finish, patch, file, …"""

    id: str
    messageID: str
    type: str
    sessionID: str = ""
    text: str = ""
    synthetic: bool = False
    ignored: bool = False
    time: Span | None = None
    tool: str = ""
    state: ToolState | None = None


class ErrorData(Struct, frozen=True):
    message: str = ""
    statusCode: int | None = None


class MessageError(Struct, frozen=True):
    """Why an assistant message, or a whole prompt, failed."""

    name: str
    data: ErrorData = ErrorData()


class Cache(Struct, frozen=True):
    read: float = 0
    write: float = 0


class Tokens(Struct, frozen=True):
    input: float = 0
    output: float = 0
    reasoning: float = 0
    cache: Cache = Cache()


class MessageInfo(Struct, frozen=True):
    """role user or assistant. `summary` is true on compaction's own messages (and an object on user messages)."""

    id: str
    role: str
    sessionID: str = ""
    parentID: str | None = None
    time: Span = Span()
    finish: str | None = None
    error: MessageError | None = None
    summary: object = None
    cost: float = 0
    tokens: Tokens = Tokens()
    providerID: str = ""
    modelID: str = ""


class Message(Struct, frozen=True):
    info: MessageInfo
    parts: list[Part] = []


# ── sessions, status, asks ───────────────────────────────────────────────
class SessionInfo(Struct, frozen=True):
    id: str
    title: str = ""
    directory: str = ""
    parentID: str | None = None
    metadata: dict[str, object] | None = None


class Status(Struct, frozen=True):
    """type: idle, busy, retry. `next` is when it tries again, milliseconds since the epoch."""

    type: str
    attempt: int = 0
    message: str = ""
    next: float = 0


class Permission(Struct, frozen=True):
    id: str
    sessionID: str
    permission: str = ""
    patterns: list[str] = []
    metadata: dict[str, object] = {}
    always: list[str] = []


class Option(Struct, frozen=True):
    label: str
    description: str = ""


class AgentInfo(Struct, frozen=True):
    """An agent that the server knows in a directory."""

    name: str


class QuestionInfo(Struct, frozen=True):
    question: str
    header: str = ""
    options: list[Option] = []
    multiple: bool = False


class QuestionRequest(Struct, frozen=True):
    id: str
    sessionID: str
    questions: list[QuestionInfo] = []


class TodoItem(Struct, frozen=True):
    content: str
    status: str = "pending"


class TodoInput(Struct, frozen=True):
    """The arguments of the `todowrite` tool: the whole plan each time."""

    todos: list[TodoItem]


class Health(Struct, frozen=True):
    healthy: bool
    version: str = ""


class Refusal(Struct, frozen=True):
    """Both shapes of an error body: {name, data: {message}} and {_tag, message}."""

    name: str = ""
    data: ErrorData = ErrorData()
    tag: str = field(default="", name="_tag")
    message: str = ""


_messages = json.Decoder(list[Message])
_message = json.Decoder(Message)
_statuses = json.Decoder(dict[str, Status])
_permissions = json.Decoder(list[Permission])
_questions = json.Decoder(list[QuestionRequest])
_agents = json.Decoder(list[AgentInfo])
_sessions = json.Decoder(list[SessionInfo])
_session = json.Decoder(SessionInfo)


def lenient(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """A decoder that reads also what holds half a character: OpenCode cuts outputs and titles wherever the limit falls."""

    def read(content: bytes) -> T:
        try:
            return decode(content)
        except ValidationError:
            raise
        except DecodeError:
            return decode(without_halves(content))

    return read


decode_messages = lenient(_messages.decode)
decode_message = lenient(_message.decode)
decode_statuses = lenient(_statuses.decode)
decode_permissions = lenient(_permissions.decode)
decode_questions = lenient(_questions.decode)
decode_agents = lenient(_agents.decode)
decode_sessions = lenient(_sessions.decode)
decode_session = lenient(_session.decode)
