"""Values as they are stored: JSON text in an envelope that names the version, so that an older row is known as one."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from dragoman.core.effects import Effect
from dragoman.core.events import Event
from dragoman.core.events.linear import SessionOpened
from dragoman.core.session import Session
from dragoman.errors import LedgerError
from dragoman.ledger.pools import Job

VERSION = 1
JOURNAL_LIMIT = 8_192  # bytes of one journal body

T = TypeVar("T")


class _Stored(msgspec.Struct, Generic[T]):
    v: int
    value: T


class _Version(msgspec.Struct):
    v: int = 0


_encode = msgspec.json.Encoder().encode
_session = msgspec.json.Decoder(_Stored[Session])
_effect: msgspec.json.Decoder[_Stored[Effect | Job]] = msgspec.json.Decoder(_Stored[Effect | Job])
_event: msgspec.json.Decoder[_Stored[Event]] = msgspec.json.Decoder(_Stored[Event])
_version = msgspec.json.Decoder(_Version)

_OPEN = f'{{"v":{VERSION},"value":'
_OPEN_CUT = f'{{"v":{VERSION},"cut":true,"value":'


def encode(value: Session | Effect | Event | Job) -> str:
    """The stored form of a value."""
    return f"{_OPEN}{_encode(value).decode()}}}"


def decode_session(text: str) -> Session:
    """Raises LedgerError, as the other two do, when this program cannot read the row."""
    return _decode(_session, text)


def decode_effect(text: str) -> Effect | Job:
    return _decode(_effect, text)


def decode_event(text: str) -> Event:
    return _decode(_event, text)


def encode_for_journal(event: Event) -> str:
    """Like `encode`, with long texts cut (then `"cut": true` is beside them) so that it stays within JOURNAL_LIMIT.

    Linear's promptContext is left out always. It decides nothing, Linear keeps it, and it is most of what a mention
    writes to disk (measured: a quarter of the acknowledgements a second).
    """
    if isinstance(event, SessionOpened) and event.prompt.context:
        event = replace(event, prompt=replace(event.prompt, context=""))
    body = _encode(event)
    if len(body) + len(_OPEN) < JOURNAL_LIMIT:
        return f"{_OPEN}{body.decode()}}}"
    whole = msgspec.to_builtins(event)
    for longest in (2_000, 400, 80):
        body = _encode(_cut(whole, longest))
        if len(body) + len(_OPEN_CUT) < JOURNAL_LIMIT:
            return f"{_OPEN_CUT}{body.decode()}}}"
    return f"{_OPEN_CUT}{_encode({'type': whole['type']}).decode()}}}"


def _decode(decoder: msgspec.json.Decoder[_Stored[T]], text: str) -> T:
    try:
        stored = decoder.decode(text)
    except msgspec.DecodeError as error:
        raise LedgerError(_unreadable(text, str(error)), retryable=False) from error
    if stored.v != VERSION:
        raise LedgerError(_unreadable(text, "unknown version"), retryable=False)
    return stored.value


def _unreadable(text: str, why: str) -> str:
    try:
        version = _version.decode(text).v
    except msgspec.DecodeError:
        return f"a stored row is not what we wrote: {why}"
    return f"a stored row of version {version} cannot be read (this program writes version {VERSION}): {why}"


def _cut(value: Any, longest: int) -> Any:
    match value:
        case str() if len(value) > longest:
            return value[:longest] + "…"
        case list():
            return [_cut(item, longest) for item in value]
        case dict():
            return {key: _cut(item, longest) for key, item in value.items()}
        case _:
            return value
