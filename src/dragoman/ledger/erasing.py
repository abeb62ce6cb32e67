"""Removing a session with all that was said and done in it."""

from __future__ import annotations

from dragoman.ids import SessionId
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx

_SQL = queries.load("erasing")


def erase(tx: Tx, session: SessionId) -> bool:
    """Remove every row of a session. What was counted stays, and the keys by which a repeated delivery is known.

    returns  whether there was one
    """
    erased = [tx.execute(statement, (session,)).rowcount for statement in _SQL.values()]
    return erased[-1] > 0  # the session itself goes last
