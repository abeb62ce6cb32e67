"""When to try again: a value, decided here and carried out elsewhere."""

from __future__ import annotations

FIRST_S = 0.5
CAP_S = 15.0
TOO_OLD_S = 86_400.0  # after a day of trying an effect is parked


def backoff(attempts: int, asked_s: float | None = None) -> float:
    """Seconds until the next attempt, after `attempts` failed ones; what the other side asked for goes first."""
    if asked_s is not None:
        return max(FIRST_S, asked_s)
    return min(CAP_S, FIRST_S * 2.0 ** min(attempts - 1, 10))
