"""A lock is held until the last git that works under it has ended."""

import os
import signal
from pathlib import Path

import pytest

from dragoman.errors import GitError
from dragoman.repositories.git import git
from dragoman.repositories.locks import Deadline, file_lock


async def test_a_git_that_outlives_us_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    linger = "!sleep 600 >/dev/null 2>&1 & echo $!"
    async with file_lock(path, Deadline(5)) as lock:
        child = int(await git("-c", f"alias.linger={linger}", "linger", cwd=tmp_path, deadline_s=60, keep_open=(lock,)))
    try:
        with pytest.raises(GitError, match="in use") as caught:
            async with file_lock(path, Deadline(0.2)):
                pytest.fail("the lock was given twice")
        assert caught.value.retryable
    finally:
        os.kill(child, signal.SIGKILL)
    async with file_lock(path, Deadline(60)):
        assert path.exists()
