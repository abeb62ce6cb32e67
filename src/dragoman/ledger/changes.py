"""What has changed since a moment, for those who keep a copy of the ledger. All of it is for `ledger.read`.

A turn pays nothing for it: each adds a line to the journal anyway, and the lines are numbered. A copy that knows the
newest number it has seen reads the lines after it, and copies their sessions as they stand by now. What is forgotten
leaves a row in `departures`, written by triggers, since numbers at the cut end of a table may be given out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from dragoman.core.session import Session
from dragoman.core.status import Status
from dragoman.errors import LedgerError
from dragoman.ids import HostId, IssueId, OrganizationId, SessionId
from dragoman.ledger import hosts, queries, read
from dragoman.ledger.codec import decode_session
from dragoman.ledger.read import Line, Stats
from dragoman.ledger.tx import Tx
from dragoman.record import Record

AT_ONCE = 100  # lines of the journal that are followed in one step
FAR = 5_000  # a copy that is more lines behind is made anew: that reads each session once
ROOM = 500  # lines of conversations in one step of a sweep
SESSIONS = 50  # sessions in one step of a sweep
ALL = 1_000_000_000

_ID = "ledger_id"
_SQL = queries.load("changes")


class Cursor(Record):
    """How far a copy has come: the newest numbers it has seen."""

    journal: int = 0
    messages: int = 0
    departures: int = 0

    @classmethod
    def of(cls, text: str) -> Self | None:
        """The cursor that was written so; None when it is none."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
            return None
        return cls(journal=int(parts[0]), messages=int(parts[1]), departures=int(parts[2]))

    def __str__(self) -> str:
        return f"{self.journal}.{self.messages}.{self.departures}"


class NumberedLine(Record):
    """A line of a conversation and its number in the ledger."""

    n: int
    line: Line


class SessionCopy(Record):
    """A session to be copied, as it stands.

    status_at  since when it has its status
    session    None when this program cannot read its row
    lines      those of its conversation numbered above `after`, up to `upto` (None: all that follow)
    first      the number of its oldest line; None when it has none
    """

    id: SessionId
    organization: OrganizationId
    host: HostId
    issue: IssueId | None
    issue_key: str | None
    status: Status
    status_at: float
    phase: str
    live: bool
    created_at: float
    updated_at: float
    session: Session | None
    lines: tuple[NumberedLine, ...]
    after: int
    upto: int | None
    first: int | None


class Changes(Record):
    """What a copy has to do next.

    copies   sessions that changed
    gone     sessions that were forgotten; first these, then the copies
    cursor   where it stands afterwards
    stats    at the end only: when nothing more is to be done at the moment
    at       the moment, by the database's clock
    """

    copies: tuple[SessionCopy, ...]
    gone: tuple[SessionId, ...]
    cursor: Cursor
    stats: Stats | None
    at: float


class Place(Record):
    """Where a sweep goes on: with the sessions after number `session`; of `within`, if it is still there, with the lines
    after number `line`."""

    session: int = 0
    within: SessionId | None = None
    line: int = 0


class Swept(Record):
    """One step of a sweep; `place` is None after the last."""

    copies: tuple[SessionCopy, ...]
    place: Place | None
    at: float


def ledger_id(tx: Tx) -> str | None:
    """The name of this ledger among others; None until `name_ledger` gave it one."""
    return hosts.get_value(tx, _ID)


def name_ledger(tx: Tx, name: str) -> str:
    """Give the ledger a name, in a turn, unless it has one; return the one it has."""
    known = ledger_id(tx)
    if known is None:
        hosts.put_value(tx, _ID, name)
    return known or name


def head(tx: Tx) -> Cursor:
    """The newest numbers."""
    journal, messages, departures = tx.execute(_SQL["heads"]).fetchone()
    return Cursor(journal=journal, messages=messages, departures=departures)


def since(tx: Tx, cursor: Cursor, limit: int = AT_ONCE) -> Changes | None:
    """What changed after `cursor`, at most `limit` turns at a time.

    Returns None when that cannot be told, or would take longer than a sweep: the ledger does not know the cursor, has
    forgotten what left since then, or is too far ahead.
    """
    newest = head(tx)
    oldest = int(tx.execute(_SQL["oldest_departure"]).fetchone()[0])
    if cursor.departures > newest.departures or cursor.departures < oldest - 1:
        return None
    departed = tx.execute(_SQL["departures"], (cursor.departures, limit)).fetchall()
    journal = min([cursor.journal, *(cut for _, _, cut, _ in departed if cut is not None)])
    messages = min([cursor.messages, *(cut for _, _, _, cut in departed if cut is not None)])
    if journal > newest.journal or messages > newest.messages or newest.journal - journal > FAR:
        return None
    heard = tx.execute(_SQL["heard"], (journal, limit)).fetchall()
    at_end = len(heard) < limit and len(departed) < limit
    copies = [_copy_changed(tx, SessionId(id_), messages) for id_ in dict.fromkeys(id_ for _, id_ in heard)]
    return Changes(
        copies=tuple(one for one in copies if one is not None),
        gone=tuple(SessionId(id_) for _, id_, _, _ in departed if id_ is not None),
        cursor=Cursor(
            journal=heard[-1][0] if heard else journal,
            # Lines of sessions that come later would be passed over otherwise; to copy a line twice is harmless.
            messages=newest.messages if at_end else messages,
            departures=departed[-1][0] if departed else cursor.departures,
        ),
        stats=read.stats(tx) if at_end else None,
        at=tx.now,
    )


def sweep(tx: Tx, place: Place) -> Swept:
    """The next sessions, each whole or, when its conversation is long, a part of it."""
    rows = tx.execute(_SQL["sessions_after"], (place.session, SESSIONS)).fetchall()
    copies: list[SessionCopy] = []
    room = ROOM
    for row in rows:
        id_ = SessionId(row[1])
        after = place.line if id_ == place.within else 0
        lines = _lines(tx, id_, after, room + 1)
        if len(lines) > room:
            upto = lines[room - 1].n
            copies.append(_copy(tx, row, lines[:room], after, upto))
            return Swept(copies=tuple(copies), place=Place(session=place.session, within=id_, line=upto), at=tx.now)
        room -= len(lines)
        copies.append(_copy(tx, row, lines, after, None))
        place = Place(session=row[0])
        if room <= 0:
            return Swept(copies=tuple(copies), place=place, at=tx.now)
    return Swept(copies=tuple(copies), place=place if len(rows) == SESSIONS else None, at=tx.now)


def unknown(tx: Tx, sessions: Sequence[SessionId]) -> tuple[SessionId, ...]:
    """Those of `sessions` that the ledger does not have."""
    return tuple(id_ for id_ in sessions if tx.execute(_SQL["is_known"], (id_,)).fetchone() is None)


def _copy_changed(tx: Tx, session: SessionId, after: int) -> SessionCopy | None:
    row = tx.execute(_SQL["session"], (session,)).fetchone()
    return None if row is None else _copy(tx, row, _lines(tx, session, after, ALL), after, None)


def _copy(tx: Tx, row: Any, lines: Sequence[NumberedLine], after: int, upto: int | None) -> SessionCopy:
    _, id_, organization, host, issue, issue_key, status, status_at, phase, live, created_at, updated_at, body = row
    session = None
    with suppress(LedgerError):
        session = decode_session(body)
    return SessionCopy(
        id=id_,
        organization=organization,
        host=host,
        issue=issue,
        issue_key=issue_key,
        status=status,
        status_at=status_at,
        phase=phase,
        live=bool(live),
        created_at=created_at,
        updated_at=updated_at,
        session=session,
        lines=tuple(lines),
        after=after,
        upto=upto,
        first=tx.execute(_SQL["first_line"], (id_,)).fetchone()[0],
    )


def _lines(tx: Tx, session: SessionId, after: int, limit: int) -> list[NumberedLine]:
    rows = tx.execute(_SQL["lines_after"], (session, after, limit)).fetchall()
    return [NumberedLine(n=n, line=read.line_of(values)) for n, *values in rows]
