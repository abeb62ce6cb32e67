"""Waiting for something without guessing how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

DEADLINE_S = 60.0  # longer than any machine is busy with something else
LOOK_S = 0.005


async def until(happened: Callable[[], Any], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait until `happened()` is true; it may be a coroutine function."""
    async with asyncio.timeout(deadline_s):
        while True:
            value = happened()
            if isinstance(value, Awaitable):
                value = await value
            if value:
                return
            await asyncio.sleep(LOOK_S)
