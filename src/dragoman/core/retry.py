"""When to try again: a value, decided here and carried out elsewhere."""

from __future__ import annotations

FIRST_S = 0.5
CAP_S = 15.0
SLOW_CAP_S = 600.0
ASKED_MOST_S = 3_600.0
TOO_OLD_S = 86_400.0  # after a day of trying an effect is parked


def backoff(attempts: int, asked_s: float | None = None) -> float:
    """Seconds until the next attempt, after `attempts` failed ones.

    asked_s  what the other side asked for. A longer wait than the cap is kept by whoever counts its quota (it refuses
             without asking again); here we come back in time, for something more urgent may stand behind.
    """
    if asked_s is not None:
        return min(CAP_S, max(FIRST_S, asked_s))
    return min(CAP_S, FIRST_S * 2.0 ** min(attempts - 1, 10))


def slow_backoff(attempts: int, asked_s: float | None = None) -> float:
    """The same for what nobody stands behind, and where nobody else keeps to what the other side asked for.

    asked_s  kept in full, up to an hour: a forge that limits us takes every request before its time amiss
    """
    doubled = min(SLOW_CAP_S, FIRST_S * 2.0 ** min(attempts - 1, 20))
    return min(ASKED_MOST_S, max(doubled, asked_s or 0.0))
