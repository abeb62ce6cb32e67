"""What we read of the events of `/global/event`, spelled as on the wire, as `wire` has the rest.

Source  the OpenAPI document that `GET /doc` of 1.18.33 serves
"""

from __future__ import annotations

from typing import Final, get_args

from msgspec import Raw, Struct, json

from dragoman.opencode.wire import (
    MessageError,
    MessageInfo,
    Part,
    Permission,
    QuestionRequest,
    SessionInfo,
    Status,
    lenient,
)


class PartProperties(Struct, frozen=True):
    part: Part


class MessageProperties(Struct, frozen=True):
    info: MessageInfo


class SessionProperties(Struct, frozen=True):
    info: SessionInfo


class StatusProperties(Struct, frozen=True):
    sessionID: str
    status: Status


class ThreadProperties(Struct, frozen=True):
    sessionID: str


class ErrorProperties(Struct, frozen=True):
    sessionID: str = ""
    error: MessageError = MessageError("UnknownError")


class ReplyProperties(Struct, frozen=True):
    sessionID: str
    requestID: str


class PartUpdated(Struct, frozen=True, tag_field="type", tag="message.part.updated"):
    properties: PartProperties


class MessageUpdated(Struct, frozen=True, tag_field="type", tag="message.updated"):
    properties: MessageProperties


class SessionCreated(Struct, frozen=True, tag_field="type", tag="session.created"):
    properties: SessionProperties


class SessionStatus(Struct, frozen=True, tag_field="type", tag="session.status"):
    properties: StatusProperties


class SessionIdle(Struct, frozen=True, tag_field="type", tag="session.idle"):
    properties: ThreadProperties


class SessionError(Struct, frozen=True, tag_field="type", tag="session.error"):
    properties: ErrorProperties


class PermissionAsked(Struct, frozen=True, tag_field="type", tag="permission.asked"):
    properties: Permission


class PermissionReplied(Struct, frozen=True, tag_field="type", tag="permission.replied"):
    properties: ReplyProperties


class QuestionAsked(Struct, frozen=True, tag_field="type", tag="question.asked"):
    properties: QuestionRequest


class QuestionReplied(Struct, frozen=True, tag_field="type", tag="question.replied"):
    properties: ReplyProperties


class QuestionRejected(Struct, frozen=True, tag_field="type", tag="question.rejected"):
    properties: ReplyProperties


class Disposed(Struct, frozen=True, tag_field="type", tag="server.instance.disposed"):
    """An instance was freed: whatever ran in its directory is over, and no event says so."""

    properties: Raw = Raw(b"{}")


WireEvent = (
    PartUpdated
    | MessageUpdated
    | SessionCreated
    | SessionStatus
    | SessionIdle
    | SessionError
    | PermissionAsked
    | PermissionReplied
    | QuestionAsked
    | QuestionReplied
    | QuestionRejected
    | Disposed
)


class Envelope(Struct, frozen=True):
    """One event of the global stream; `directory` says which instance it belongs to ("" = the server itself)."""

    payload: WireEvent
    directory: str = ""


class DeltaProperties(Struct, frozen=True):
    """A piece of what is being written; of reasoning as well as of text, `field` is "text" for both."""

    sessionID: str
    messageID: str
    partID: str
    field: str = ""
    delta: str = ""


class DeltaPayload(Struct, frozen=True):
    properties: DeltaProperties


class Delta(Struct, frozen=True):
    """The envelope of a `message.part.delta`, which stands apart: there are thousands, and few want to read them."""

    payload: DeltaPayload


# The kinds that are decoded. A name that is not here is dropped unread: OpenCode adds new ones in every release.
KINDS: Final = frozenset(str(kind.__struct_config__.tag).encode() for kind in get_args(WireEvent))
DELTA: Final = b"message.part.delta"

decode_envelope = lenient(json.Decoder(Envelope).decode)
decode_delta = lenient(json.Decoder(Delta).decode)


def peek(payload: bytes) -> tuple[bytes, bytes]:
    """The kind and the session of an event, without decoding it: (b"message.updated", b"ses_…"); b"" = not there.

    A streaming answer is thousands of deltas that tell us nothing: this costs less than a microsecond, decoding ten.
    The kind is the first `type` in `payload`; `{"payload":{` cannot occur inside a JSON string unescaped.
    """
    start = payload.find(b'"payload":{')
    if start < 0:
        return b"", b""
    kind = _string_after(payload, b'"type":"', start)
    return kind, _string_after(payload, b'"sessionID":"', start)


def _string_after(payload: bytes, key: bytes, start: int) -> bytes:
    at = payload.find(key, start)
    if at < 0:
        return b""
    at += len(key)
    return payload[at : payload.find(b'"', at)]
