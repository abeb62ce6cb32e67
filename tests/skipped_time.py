"""Deadlines that pass because a test says so, and not because the machine is slow."""

from __future__ import annotations

import asyncio


def skip(seconds: float) -> None:
    """Put the clock of the running loop forward: whatever waits in it until then is due at once.

    For a loop that the test has for itself; `time.monotonic()` goes on as it did.
    """
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]  # a clock is all that it replaces
