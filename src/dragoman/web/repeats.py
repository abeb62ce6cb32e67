"""A warning that may come a thousand times a second, told at once and then once a minute with how often."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import structlog

EVERY_S = 60.0


class Repeats:
    """One kind of warning; each reason is told by itself.

    log    where to; `event` is what is logged, with `reason`, `times`, and the fields of the first of them
    every_s  seconds between two lines of a reason
    """

    def __init__(self, log: structlog.typing.FilteringBoundLogger, event: str, *, every_s: float = EVERY_S) -> None:
        self._log = log
        self._event = event
        self._every_s = every_s
        self._since: Counter[str] = Counter()  # those not told yet, for each reason told less than `every_s` ago

    @property
    def waiting(self) -> bool:
        """Whether a line of now would be counted rather than told."""
        return bool(self._since)

    def note(self, reason: str, **fields: Any) -> None:
        """It has happened once more. To be called in the event loop."""
        if reason in self._since:
            self._since[reason] += 1
            return
        self._since[reason] = 0
        self._log.warning(self._event, reason=reason, times=1, **fields)
        asyncio.get_running_loop().call_later(self._every_s, self._told_again, reason)

    def _told_again(self, reason: str) -> None:
        if not (times := self._since.pop(reason)):
            return
        self._since[reason] = 0
        self._log.warning(self._event, reason=reason, times=times, within_s=self._every_s)
        asyncio.get_running_loop().call_later(self._every_s, self._told_again, reason)
