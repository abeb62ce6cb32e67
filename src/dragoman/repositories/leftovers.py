"""What an agent left uncommitted in its workspace: seen, and committed when the agent did not.

Here git does open the workspace, and obeys whatever the agent wrote into its configuration: filters, hooks, monitors.
So it runs inside the sandbox of the agent's own commands, without network, and nothing that it prints is believed
beyond the workspace itself. How commits leave the workspace is another matter: see hostile.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dragoman.errors import GitError
from dragoman.record import Record
from dragoman.repositories.git import IDENTITY_EMAIL, git
from dragoman.repositories.hostile import is_intact
from dragoman.repositories.locks import Deadline
from dragoman.repositories.workspaces import AGENT_NAME

# The beginning of a command line that holds what follows in: only that folder is writable. `network`: whether it has one.
Confine = Callable[[Path, bool], Sequence[str]]

LOOK_S: Final = 60.0
_SHOWN: Final = 50  # paths
# What the agent keeps for us and people is no part of its change.
_NOT_OURS: Final = (":(exclude,top).dragoman",)
_IN_PROGRESS: Final = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
_AGENT: Final = {
    "GIT_AUTHOR_NAME": AGENT_NAME,
    "GIT_AUTHOR_EMAIL": IDENTITY_EMAIL,
    "GIT_COMMITTER_NAME": AGENT_NAME,
    "GIT_COMMITTER_EMAIL": IDENTITY_EMAIL,
}


class Left(Record):
    """What is not committed.

    paths     the first ones, at most 50; `count` of all
    underway  "a rebase", "a merge": what the agent had begun and not ended; then nothing can be committed for it
    """

    paths: tuple[str, ...] = ()
    count: int = 0
    underway: str = ""


async def look(workspace: Path, confine: Confine, *, deadline_s: float = LOOK_S) -> Left:
    """See what is not committed; changes nothing.

    Raises  GitError when git cannot read the workspace
    """
    if not is_intact(workspace):
        raise GitError(f".git of {workspace.name} was removed or replaced", retryable=False)
    told = await git(
        *_here(workspace), "--no-optional-locks", "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal",
        "--ignore-submodules=all", "--", ".", *_NOT_OURS,
        cwd=workspace, deadline_s=deadline_s, within=confine(workspace, False),
    )  # fmt: skip
    rows = [row for row in told.decode("utf-8", "replace").split("\0") if len(row) > 3]
    store = workspace / ".git"
    underway = next((what for name, what in _IN_PROGRESS.items() if (store / name).exists()), "")
    if any("U" in row[:2] or row[:2] in {"AA", "DD"} for row in rows):
        underway = underway or "a merge"
    return Left(paths=tuple(row[3:] for row in rows[:_SHOWN]), count=len(rows), underway=underway)


async def commit_left(workspace: Path, confine: Confine, message: str, *, deadline_s: float = LOOK_S) -> None:
    """Commit everything that is not committed, on whatever is checked out.

    Raises  GitError
    """
    deadline = Deadline(deadline_s)
    await git(
        *_here(workspace), "add", "--all", "--", ".", *_NOT_OURS,
        cwd=workspace, deadline_s=deadline.left(), within=confine(workspace, False),
        # 1: what is left out is ignored anyway; the rest was added
        ok_codes=(0, 1),
    )  # fmt: skip
    with tempfile.TemporaryFile() as said:  # arguments of a program can be read by every user of the machine
        said.write(message.encode("utf-8", "replace"))
        said.seek(0)
        await git(
            *_here(workspace), "commit", "--quiet", "--no-verify", "--cleanup=whitespace", "--file=-",
            cwd=workspace, deadline_s=deadline.left(), stdin=said.fileno(), env_extra=_AGENT, within=confine(workspace, False),
            # 1: nothing was left to commit after all
            ok_codes=(0, 1),
        )  # fmt: skip


def _here(workspace: Path) -> tuple[str, str]:
    """What `core.worktree` and a `.git` further up cannot change: a look elsewhere would find nothing to commit."""
    return f"--git-dir={workspace / '.git'}", f"--work-tree={workspace}"
