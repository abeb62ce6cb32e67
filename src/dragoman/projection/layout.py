"""The keys and what lies under them. Readers rely on it: a change of it is a new FORMAT, and everything is written anew.

All keys of a session share a hash tag, the part in braces, so that they lie in one slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from dragoman.ids import SessionId
from dragoman.record import Record

FORMAT = "1"
PREFIX = "dragoman:"
ABOUT = "dragoman:projection"  # hash: what this is a copy of, and how far it has come
WRITER = "dragoman:writer"  # string with a TTL: the ledger that is being copied at this time
STATS = "dragoman:stats"  # hash: how many sessions have which status
INDEX = "dragoman:sessions"  # sorted set: ids by the time of their last change

_encode_line = msgspec.json.Encoder().encode


class SessionRow(Record):
    """A session as readers see it. Times are seconds since the epoch.

    status_at  since when it has its status
    phase      where it stands inside the machine
    live       a turn is under way
    turns      how many were begun
    thread     the OpenCode session
    creator    the name of whoever began it
    """

    id: SessionId
    organization: str
    host: str
    status: str
    status_at: float
    phase: str
    live: bool
    created_at: float
    updated_at: float
    issue: str | None = None
    issue_key: str | None = None
    issue_title: str | None = None
    team: str | None = None
    creator: str | None = None
    thread: str | None = None
    repository: str | None = None
    branch: str | None = None
    turns: int = 0


class MessageRow(Record, omit_defaults=False, tag=False):
    """A line of a conversation, as JSON. `n` orders the lines, with gaps; `at` is ISO 8601; cost in US dollars."""

    n: int
    turn: int
    at: str
    role: str
    text: str
    author: str | None
    linear_id: str | None
    opencode_id: str | None
    tokens: int
    cost: float


class Entry(Record):
    """What is to stand under the keys of a session.

    lines       those numbered above `after`, up to `upto` (None: all that follow); others in that range go
    first       the lowest number there still is: lines below it were forgotten; None when there is no line at all
    expires_at  when readers lose it, seconds since the epoch; None = never
    """

    row: SessionRow
    lines: tuple[MessageRow, ...] = ()
    after: int = 0
    upto: int | None = None
    first: int | None = None
    expires_at: float | None = None


def session_key(session: SessionId) -> str:
    """Hash: the fields of SessionRow."""
    return f"{PREFIX}{{{session}}}:session"


def messages_key(session: SessionId) -> str:
    """Sorted set: the lines of the conversation, scored by their number."""
    return f"{PREFIX}{{{session}}}:messages"


def fields(row: SessionRow) -> Mapping[str, str]:
    """The hash of a session: every field is there, an empty string where nothing is known."""
    return {name: _text(name, getattr(row, name)) for name in SessionRow.__struct_fields__}


def line(row: MessageRow) -> bytes:
    """A line of the conversation as it is stored."""
    return _encode_line(row)


def moment(at: float) -> str:
    """A time as readers get it: "2026-11-23T10:15:00.123Z"."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and name.endswith("_at"):
        return moment(value)
    return str(value)
