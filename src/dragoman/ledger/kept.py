"""Sessions as the library shows them: with their conversation, and when something last happened."""

from __future__ import annotations

from typing import Any

from dragoman.core.session import Session
from dragoman.ids import SessionId
from dragoman.ledger import queries
from dragoman.ledger.codec import decode_session
from dragoman.ledger.read import Line, StatusChange, conversation, status_changes
from dragoman.ledger.tx import Tx
from dragoman.record import Record

_SQL = queries.load("kept")


class Kept(Record):
    """A session, its newest messages, and when it was made, got its statuses and last changed; epoch seconds."""

    session: Session
    messages: tuple[Line, ...]
    changes: tuple[StatusChange, ...]
    created_at: float
    updated_at: float


def session(tx: Tx, id_: SessionId) -> Kept | None:
    """One session."""
    row = tx.execute(_SQL["session"], (id_,)).fetchone()
    return None if row is None else _kept(tx, row)


def sessions_of(tx: Tx, issue: str, user: str) -> list[Kept]:
    """The sessions that a person opened on an issue, newest first."""
    found = [_kept(tx, row) for row in tx.execute(_SQL["of_issue"], (issue,)).fetchall()]
    return [each for each in found if each.session.creator is not None and each.session.creator.id == user]


def active(tx: Tx) -> list[Kept]:
    """The sessions that are being created or active, newest first."""
    return [_kept(tx, row) for row in tx.execute(_SQL["active"]).fetchall()]


def _kept(tx: Tx, row: Any) -> Kept:
    created_at, updated_at, body = row
    found = decode_session(body)
    return Kept(
        session=found,
        messages=tuple(conversation(tx, found.id)),
        changes=tuple(status_changes(tx, found.id)),
        created_at=created_at,
        updated_at=updated_at,
    )
