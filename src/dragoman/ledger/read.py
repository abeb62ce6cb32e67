"""What people look at. All of it is for `ledger.read`; it also works inside a turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec

from dragoman.core.effects import Remind
from dragoman.core.session import Session, live_turn
from dragoman.core.status import Status
from dragoman.errors import LedgerError
from dragoman.ids import HostId, OrganizationId, SessionId
from dragoman.ledger import queries
from dragoman.ledger.codec import decode_effect, decode_session
from dragoman.ledger.pools import Pool
from dragoman.ledger.tx import Tx
from dragoman.record import Record

LINES = 1_000  # of a journal, of a conversation, of effects that are shown at once

_SQL = queries.load("read")


class Summary(Record):
    """A session in a list. Times are seconds since the epoch; `live`: a turn is under way."""

    id: SessionId
    organization: OrganizationId
    host: HostId
    issue_key: str | None
    status: Status
    phase: str
    live: bool
    created_at: float
    updated_at: float


class JournalLine(Record):
    """What was heard; `body` is JSON text, long texts in it cut."""

    n: int
    at: float
    kind: str
    body: str


class StatusChange(Record):
    """A session got a status at a moment, in seconds since the epoch."""

    at: float
    status: Status


class Line(Record):
    """A line of a conversation; see core.session.Message."""

    turn: int
    at: float
    role: Literal["user", "assistant", "system"]
    text: str
    author: str | None
    linear_id: str | None
    opencode_id: str | None
    tokens: int
    cost: float


class EffectLine(Record):
    """An effect as people see it. `error` is that of the last attempt; `outcome` is None while it is unfinished."""

    n: int
    lane: str | None
    pool: Pool
    kind: str
    created_at: float
    due_at: float
    head: bool
    attempts: int
    claimed: bool
    outcome: str | None
    error: str | None


class Details(Record):
    """All that the ledger knows of a session."""

    summary: Summary
    session: Session
    journal: tuple[JournalLine, ...]
    messages: tuple[Line, ...]
    effects: tuple[EffectLine, ...]
    statuses: tuple[StatusChange, ...] = ()


class Stats(Record, omit_defaults=False):
    """How many sessions there are; `active` counts those that are being created, too."""

    total: int = 0
    active: int = 0
    completed: int = 0
    error: int = 0
    timeout: int = 0


class Backlog(Record):
    """What waits in a pool.

    heads     effects that are due, claimed or waiting for their time
    overdue   those that are due and that nobody has claimed
    oldest_s  how long ago the oldest was queued
    """

    pool: Pool
    heads: int
    overdue: int
    oldest_s: float


class DeliveryLine(Record):
    """A webhook delivery and what became of it."""

    at: float
    key: str
    kind: str
    action: str
    organization: str
    session: SessionId | None
    verdict: str


def sessions(tx: Tx, *, status: Status | None = None, issue_key: str | None = None, limit: int = 50) -> list[Summary]:
    """Sessions, newest first."""
    return [_summary(row) for row in tx.execute(_SQL["sessions"], (status, issue_key, limit)).fetchall()]


def ids_beginning(tx: Tx, prefix: str, limit: int = 10) -> list[SessionId]:
    """The newest sessions whose id begins with `prefix`."""
    return [SessionId(id_) for (id_,) in tx.execute(_SQL["ids_beginning"], (prefix, prefix, limit)).fetchall()]


def status_changes(tx: Tx, session: SessionId) -> list[StatusChange]:
    """When a session got each of its statuses, oldest first."""
    rows = tx.execute(_SQL["status_changes"], (session, session)).fetchall()
    return [StatusChange(at=at, status=status) for at, status in rows]


def details(tx: Tx, session: SessionId) -> Details | None:
    """One session with its newest LINES of everything; unfinished effects only."""
    row = tx.execute(_SQL["session"], (session,)).fetchone()
    if row is None:
        return None
    known = decode_session(row[-1])
    return Details(
        summary=_summary(row[:-1]),
        session=known,
        journal=tuple(journal(tx, session)),
        messages=tuple(conversation(tx, session)),
        effects=tuple(_waiting(tx, known)),
        statuses=tuple(status_changes(tx, session)),
    )


def as_json(details: Details) -> dict[str, Any]:
    """The same for programs: plain values, the journal's bodies opened."""
    whole: dict[str, Any] = msgspec.to_builtins(details)
    whole["journal"] = [
        {"n": line.n, "at": line.at, "kind": line.kind, "event": body_of(line).get("value")} for line in details.journal
    ]
    return whole


def body_of(line: JournalLine) -> dict[str, Any]:
    """The stored body of a line; empty when it is none."""
    try:
        body = json.loads(line.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def journal(tx: Tx, session: SessionId, limit: int = LINES) -> list[JournalLine]:
    """The newest lines of the journal, oldest first."""
    rows = tx.execute(_SQL["journal"], (session, limit)).fetchall()
    return [JournalLine(n=n, at=at, kind=kind, body=body) for n, at, kind, body in rows]


def journal_after(tx: Tx, session: SessionId, after: int = 0, limit: int = LINES) -> list[JournalLine]:
    """The lines of the journal that come after number `after`, oldest first."""
    rows = tx.execute(_SQL["journal_after"], (session, after, limit)).fetchall()
    return [JournalLine(n=n, at=at, kind=kind, body=body) for n, at, kind, body in rows]


def conversation(tx: Tx, session: SessionId, limit: int = LINES) -> list[Line]:
    """The newest lines of the conversation, oldest first."""
    rows = tx.execute(_SQL["conversation"], (session, limit)).fetchall()
    return [line_of(row) for row in rows]


def line_of(row: Sequence[Any]) -> Line:
    """A line of a conversation from its columns, which have the names of its fields."""
    return Line(**dict(zip(Line.__struct_fields__, row, strict=True)))


def stats(tx: Tx) -> Stats:
    """How many sessions have which status."""
    count = {str(status): int(number) for status, number in tx.execute(_SQL["statuses"]).fetchall()}
    return Stats(
        total=sum(count.values()),
        active=count.get("creating", 0) + count.get("active", 0),
        completed=count.get("completed", 0),
        error=count.get("error", 0),
        timeout=count.get("timeout", 0),
    )


def backlog(tx: Tx) -> list[Backlog]:
    """What waits, pool by pool; pools without anything are left out."""
    rows = tx.execute(_SQL["backlog"], (tx.now,)).fetchall()
    return [
        Backlog(pool=pool, heads=heads, overdue=overdue, oldest_s=max(0.0, tx.now - oldest))
        for pool, heads, overdue, oldest in rows
    ]


def parked(tx: Tx, limit: int = 50) -> list[EffectLine]:
    """Effects that were given up, newest first."""
    return [_effect_line(row) for row in tx.execute(_SQL["parked_effects"], (limit,)).fetchall()]


def deliveries(tx: Tx, limit: int = 50) -> list[DeliveryLine]:
    """The newest webhook deliveries, newest first."""
    rows = tx.execute(_SQL["deliveries"], (limit,)).fetchall()
    return [
        DeliveryLine(
            at=at, key=key, kind=kind, action=action, organization=organization, session=session, verdict=verdict
        )
        for at, key, kind, action, organization, session, verdict in rows
    ]


def _waiting(tx: Tx, session: Session) -> Iterator[EffectLine]:
    """What is still to be done, without reminders of turns that have ended: when they come, they change nothing."""
    turn = live_turn(session)
    for *row, body in tx.execute(_SQL["waiting_effects"], (session.id, session.id, LINES)).fetchall():
        line = _effect_line(row)
        with suppress(LedgerError):
            effect = decode_effect(body)
            if isinstance(effect, Remind) and (turn is None or effect.event.run != turn.run):
                continue
        yield line


def _summary(row: Any) -> Summary:
    id_, organization, host, issue_key, status, phase, live, created_at, updated_at = row
    return Summary(
        id=id_,
        organization=organization,
        host=host,
        issue_key=issue_key,
        status=status,
        phase=phase,
        live=bool(live),
        created_at=created_at,
        updated_at=updated_at,
    )


def _effect_line(row: Any) -> EffectLine:
    n, lane, pool, kind, created_at, due_at, head, attempts, claimed, outcome, error = row
    return EffectLine(
        n=n,
        lane=lane,
        pool=pool,
        kind=kind,
        created_at=created_at,
        due_at=due_at,
        head=bool(head),
        attempts=attempts,
        claimed=bool(claimed),
        outcome=outcome,
        error=error,
    )
