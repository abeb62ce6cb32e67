"""What may be forgotten, in batches small enough not to keep turns waiting."""

from __future__ import annotations

from math import inf

from dragoman.ledger import queries
from dragoman.ledger.tx import Tx

DAY_S = 86_400.0
SEEN_S = 9 * DAY_S  # Linear repeats a delivery for 8 h, people replay one for a week; a day of margin
EFFECTS_S = 7 * DAY_S
DELIVERIES_S = 30 * DAY_S
DEPARTURES_S = 30 * DAY_S  # a copy that was away longer is made anew
BATCH = 500  # rows of each kind in one call

_SQL = queries.load("cleanup")


def cleanup(tx: Tx, retention_days: int = 0, *, at: float | None = None) -> int:
    """Forget what is old as of `at` (the database's clock when None); return how many rows went.

    retention_days  how long people's words may be kept: messages, journals, deliveries, effects that ended; 0 = for
                    ever, as far as they have no shorter time of their own. The keys by which a repeated delivery is
                    known hold no words and stay SEEN_S whatever is set: without them old work would be done again
    Call it again, in a transaction of its own, until it returns 0.
    """
    now = tx.now if at is None else at
    kept_s = retention_days * DAY_S or inf
    removed = 0
    for name, longest_s in (
        ("forget_seen", SEEN_S),
        ("forget_effects", min(EFFECTS_S, kept_s)),
        ("forget_paces", DAY_S),
        ("forget_departures", DEPARTURES_S),
    ):
        removed += tx.execute(_SQL[name], (now - longest_s, BATCH)).rowcount
    for name, longest_s in (
        ("forget_deliveries", min(DELIVERIES_S, kept_s)),
        ("forget_messages", kept_s),
        ("forget_journal", kept_s),
    ):
        removed += tx.execute(_SQL[name], (BATCH, now - longest_s)).rowcount
    return removed
