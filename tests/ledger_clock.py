"""The clock of a ledger, in the hands of a test."""

from __future__ import annotations


class HeldClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
