"""The operator's verify commands, run by us: in a clean clone of the branch, inside the sandbox, with a deadline.

A clean clone, because what the agent's workspace holds beside its commits (installed packages, caches, files that were
never added) would make tests pass that fail for everybody else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from dragoman.record import Record
from dragoman.repositories.git import LOCAL_ONLY, git
from dragoman.repositories.leftovers import Confine
from dragoman.repositories.locks import Deadline
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import ASIDE, make_private

OUTPUT_KEPT: Final = 4_000  # bytes of the end of what a command printed
TESTS_MOST: Final = 200  # files
_GRACE_S: Final = 2.0


class Ran(Record):
    """How a command ended; `exit_code` is None when it was ended at the deadline."""

    command: str
    exit_code: int | None
    took_s: float
    output: str = ""


async def run_clean(
    trusted: TrustedRepository,
    commit: str,
    commands: Sequence[str],
    confine: Confine,
    *,
    environment: Mapping[str, str],
    deadline_s: float,
    tests_from: tuple[str, Sequence[str]] | None = None,
) -> list[Ran]:
    """Run `commands` one after another in a clone of `commit`, until one does not end in time.

    environment  all that they get
    deadline_s   for all together, the clone included
    tests_from   (commit, paths): these files are taken from there
    Raises       GitError when the clone cannot be made
    """
    deadline = Deadline(deadline_s)
    folder = Path(tempfile.mkdtemp(prefix="verify-", dir=trusted.root / ASIDE))
    try:
        clone = folder / "clone"
        await make_private(clone, trusted, [commit], deadline)
        await git("checkout", "--quiet", "--detach", commit, "--", cwd=clone, deadline_s=deadline.left())
        if tests_from is not None:
            other, paths = tests_from
            await _take_files(trusted, clone, other, paths, deadline)
        ran = []
        for command in commands:
            ran.append(await run_confined(command, clone, confine, environment, deadline.left()))
            if ran[-1].exit_code is None:
                break
        return ran
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _take_files(
    trusted: TrustedRepository, clone: Path, commit: str, paths: Sequence[str], deadline: Deadline
) -> None:
    """Bring files of another commit into a fresh clone; what was deleted there stays as it is."""
    await git(
        "fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules", "--", str(trusted.path), commit,
        cwd=clone, deadline_s=deadline.left(), env_extra=LOCAL_ONLY,
    )  # fmt: skip
    wanted = [f":(literal){path}" for path in paths[:TESTS_MOST]]
    there = await git(
        "ls-tree", "-r", "--name-only", "-z", commit, "--", *paths[:TESTS_MOST], cwd=clone, deadline_s=deadline.left()
    )
    known = set(there.decode("utf-8", "surrogateescape").split("\0"))
    taken = [path for path in wanted if path.removeprefix(":(literal)") in known]
    if taken:
        await git("checkout", "--quiet", commit, "--", *taken, cwd=clone, deadline_s=deadline.left())


async def run_confined(
    command: str, folder: Path, confine: Confine, environment: Mapping[str, str], deadline_s: float
) -> Ran:
    """Run one shell command of the operator's in a folder; what it leaves running is ended."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *confine(folder, True), "/bin/sh", "-c", command,
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    kept = bytearray()
    ended = True
    try:
        async with asyncio.timeout(deadline_s):
            while chunk := await process.stdout.read(65_536):
                kept = (kept + chunk)[-OUTPUT_KEPT:]
            await process.wait()
    except TimeoutError:
        ended = False
    finally:
        await _end(process)
    code = process.returncode if ended else None
    text = kept.decode("utf-8", "replace").replace(str(folder), ".")
    return Ran(command=command, exit_code=code, took_s=time.monotonic() - began, output=text)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and what it left running."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
