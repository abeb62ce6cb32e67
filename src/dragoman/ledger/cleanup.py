"""What may be forgotten, in batches small enough not to keep turns waiting."""

from __future__ import annotations

from dragoman.ledger import queries
from dragoman.ledger.tx import Tx

DAY_S = 86_400.0
SEEN_S = 9 * DAY_S  # Linear repeats a delivery for 8 h, people replay one for a week; a day of margin
EFFECTS_S = 7 * DAY_S
DELIVERIES_S = 30 * DAY_S
BATCH = 500  # rows of each kind in one call

_SQL = queries.load("cleanup")


def cleanup(tx: Tx, at: float | None = None) -> int:
    """Forget what is old as of `at` (the database's clock when None); return how many rows went.

    Call it again, in a transaction of its own, until it returns 0.
    """
    now = tx.now if at is None else at
    removed = tx.execute(_SQL["forget_seen"], (now - SEEN_S, BATCH)).rowcount
    removed += tx.execute(_SQL["forget_effects"], (now - EFFECTS_S, BATCH)).rowcount
    removed += tx.execute(_SQL["forget_deliveries"], (now - DELIVERIES_S, BATCH)).rowcount
    return removed
