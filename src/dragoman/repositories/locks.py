"""One at a time, across processes: a lock that its holder's git children hold on to."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dragoman.errors import GitError

_POLL_S = 0.02


class Deadline:
    """A point in time that several steps share."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds that are left, at least a few milliseconds: the step that gets them fails by itself."""
        return max(self._ends_at - asyncio.get_running_loop().time(), 0.005)

    def passed(self) -> bool:
        return asyncio.get_running_loop().time() >= self._ends_at


@asynccontextmanager
async def file_lock(path: Path, deadline: Deadline, *, shared: bool = False) -> AsyncIterator[int]:
    """Hold the lock at `path` and give its descriptor.

    shared  with others that hold it so; without it alone
    A git that inherits the descriptor (`keep_open`) keeps the lock when we are killed, and the next holder waits for it.
    Raises  GitError (retryable) when somebody else holds it until the deadline
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # A blocking flock in a thread could not be given up: it is asked for again and again instead.
        while not _taken(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if deadline.passed():
                raise GitError(f"{path.stem} is in use by another process of ours")
            await asyncio.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
