"""Threads that Python did not start: those of the web server's runtime, which outlive its stop by a moment.

One that comes back to Python while the interpreter ends takes the whole process down (exit code 134, seen in one of
five ends right after a stop). So whoever stops such a server waits until its threads are gone.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

_TASKS = Path("/proc/self/task")  # Linux; elsewhere none are known, and we wait a moment instead
_LOOK_EVERY_S = 0.005
_BLIND_WAIT_S = 0.3


def foreign() -> frozenset[int]:
    """The ids of the threads that run now and that Python did not start; empty where the system does not tell."""
    known = {thread.native_id for thread in threading.enumerate()}
    try:
        return frozenset({int(entry.name) for entry in _TASKS.iterdir()} - known)
    except OSError:
        return frozenset()


async def gone(threads: frozenset[int], within_s: float = 2.0) -> bool:
    """Wait until none of these runs, or a moment if none are known; whether that was so within the time."""
    if not threads:
        await asyncio.sleep(_BLIND_WAIT_S)
        return True
    until = asyncio.get_running_loop().time() + within_s
    while threads & foreign():
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True
