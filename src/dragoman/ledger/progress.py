"""What the comment says that shows a turn's progress; see runtime/performers/outlets.py."""

from __future__ import annotations

from dragoman.ids import SessionId
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx
from dragoman.record import Record

_SQL = queries.load("progress")


class Kept(Record):
    """`body` as it was stored, JSON text; `shown_s` seconds since it was last shown, by the database's clock."""

    body: str
    shown_s: float


def load(tx: Tx, session: SessionId) -> Kept | None:
    """What is kept for the turn under way; None when nothing was shown of it yet."""
    row = tx.execute(_SQL["load"], (session,)).fetchone()
    return None if row is None else Kept(body=row[0], shown_s=max(0.0, tx.now - row[1]))


def store(tx: Tx, session: SessionId, body: str) -> None:
    """Keep what was shown just now."""
    tx.execute(_SQL["store"], (session, body, tx.now))


def drop(tx: Tx, session: SessionId) -> None:
    """The turn has ended."""
    tx.execute(_SQL["drop"], (session,))


def claim_key(tx: Tx, key: str) -> None:
    """Note the dedupe key of a comment that we are about to write, so that its webhook is none of somebody else's."""
    tx.execute(_SQL["claim_key"], (key, tx.now))
