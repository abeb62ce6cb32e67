"""What an agent staged in its workspace and did not commit, as a commit: content may lie there that is in no file.

The index is a file of the agent's. A copy of it is read by git in a reader (hostile.py), so nothing that the workspace
names is obeyed; what git does not understand, such as files in the middle of a merge, is passed over.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

from dragoman.errors import GitError
from dragoman.repositories.git import IDENTITY_EMAIL, IDENTITY_NAME, git
from dragoman.repositories.locks import Deadline

STAGED: Final = "staged-commit"  # what the message of a snapshot calls it
_MOST: Final = 256 * 1024 * 1024  # bytes of an index
# Always the same: what was staged and did not change is the same commit.
_AT_NO_TIME: Final = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", IDENTITY_NAME), ("EMAIL", IDENTITY_EMAIL), ("DATE", "@0 +0000"))
}


async def commit_staged(reader: Path, workspace: Path, head: str, deadline: Deadline) -> str | None:
    """Commit the index of a workspace in a reader, on top of `head`; None when it holds what `head` holds.

    Raises  GitError when `head` cannot be read
    """
    index = reader / "staged"
    if not await asyncio.to_thread(_copy_index, workspace, index):
        return None
    try:
        told = await git("write-tree", cwd=reader, deadline_s=deadline.left(), env_extra={"GIT_INDEX_FILE": str(index)})
    except GitError:
        return None
    tree = told.decode().strip()
    known = await git("rev-parse", "--verify", f"{head}^{{tree}}", cwd=reader, deadline_s=deadline.left())
    if tree == known.decode().strip():
        return None
    made = await git(
        "commit-tree", "-p", head, "-m", "What was staged", tree,
        cwd=reader, deadline_s=deadline.left(), env_extra=_AT_NO_TIME,
    )  # fmt: skip
    return made.decode().strip()


def _copy_index(workspace: Path, copy: Path) -> bool:
    """Copy a plain index of ordinary size; whether there is one."""
    try:
        descriptor = os.open(workspace / ".git" / "index", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            return False
        copy.write_bytes(file.read(_MOST))
        return True
