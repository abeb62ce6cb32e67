"""A workspace is removed only after all it holds was saved, and can be had back.

What was saved is a snapshot (snapshots.py) under refs/dragoman/rescue/; its message says, for us and for people, which
branch the workspace had and where that and HEAD stood. A workspace that cannot be saved stays where it is.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress
from pathlib import Path

from dragoman.errors import GitError, Refusal
from dragoman.ids import SessionId
from dragoman.record import Record
from dragoman.repositories.git import git
from dragoman.repositories.hostile import read_tips
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import checkpoint_ref, is_branch_name, rescue_ref
from dragoman.repositories.reading import made_folder
from dragoman.repositories.removal import drop_ref, remove_folder
from dragoman.repositories.snapshots import save_snapshot
from dragoman.repositories.staging import STAGED
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import (
    Places,
    Workspace,
    find,
    make_private,
    move_into_place,
    write_record,
)

# While we check out: byte for byte, whatever line ends or filters the repository's own attributes ask for.
_RAW = "* -text -filter -ident -working-tree-encoding\n"
_FACT = re.compile(rf"^(branch|branch-commit|head-commit|base-commit|{STAGED}): (\S+)$", re.MULTILINE)


def saved_refs(session: SessionId, issue_key: str | None) -> tuple[str, str]:
    """Where a session's work may have been saved, the newer one first: a rescue takes the checkpoint's place."""
    return checkpoint_ref(session), rescue_ref(session, issue_key)


class Removed(Record):
    """A workspace that is gone. `commit` under `ref` holds what was in it."""

    directory: str
    ref: str
    commit: str


async def checkpoint(
    trusted: TrustedRepository, *, root: Path, session: SessionId, issue_key: str | None, deadline_s: float = 300.0
) -> str | None:
    """Save the present state of a workspace, and give the commit; None when there is no workspace.

    Raises  GitError when it cannot be saved; Refusal
    """
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline):
        known = find(places, trusted.name, session)
        if known is None:
            return None
        return await _save(trusted, known, checkpoint_ref(session), "Checkpoint", issue_key, deadline)


async def remove_workspace(
    trusted: TrustedRepository, *, root: Path, session: SessionId, issue_key: str | None, deadline_s: float = 300.0
) -> Removed | None:
    """Save a workspace and remove it; None when there is none.

    Raises  GitError when it cannot be saved: then it is left as it is; Refusal when it is not ours
    """
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline):
        await asyncio.to_thread(remove_folder, places.gone)  # of a removal that was cut off
        known = find(places, trusted.name, session)
        if known is None:
            return None
        ref = rescue_ref(session, issue_key)
        commit = await _save(trusted, known, ref, "Rescue", issue_key, deadline)
        # It holds all that the last checkpoint held. One that is found beside it later was made after a restore.
        await drop_ref(trusted, checkpoint_ref(session), deadline)
        # Out of the agent's reach in one step; what is cut off after it is finished by the next call.
        await asyncio.to_thread(_move_away, places, known)
        await asyncio.to_thread(remove_folder, places.gone)
        return Removed(directory=known.directory, ref=ref, commit=commit)


async def restore_workspace(
    trusted: TrustedRepository,
    *,
    root: Path,
    session: SessionId,
    issue_key: str | None,
    deadline_s: float = 300.0,
) -> Workspace:
    """Put a removed workspace back: branch, HEAD, what was staged, and every file as it was, committed or not.

    Commits of its other branches and its stash come back as branches rescued/1, rescued/2, …
    Raises  Refusal when nothing was saved or a workspace stands there; GitError
    """
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline) as lock:
        if (known := find(places, trusted.name, session)) is not None:
            raise Refusal(
                f"The workspace {known.directory} is there. Remove it first if you want the saved state instead."
            )
        ref, snapshot = await _newest(trusted, session, issue_key, deadline)
        saved = await _facts(trusted, ref, snapshot, deadline)
        branch, head = saved.branch, saved.head
        await asyncio.to_thread(shutil.rmtree, places.fresh, ignore_errors=True)
        await make_private(places.fresh, trusted, [snapshot], deadline, lock)
        info = places.fresh / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_RAW)

        async def here(*args: str) -> None:
            await git(*args, cwd=places.fresh, deadline_s=deadline.left(), keep_open=(lock,))

        if saved.branch_commit is not None:
            await here("update-ref", f"refs/heads/{branch}", saved.branch_commit)
        for number, other in enumerate(saved.others, 1):
            await here("update-ref", f"refs/heads/rescued/{number}", other)
        if head is not None and head != saved.branch_commit:
            await here("update-ref", "--no-deref", "HEAD", head)
        else:
            await here("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        await here("read-tree", "--reset", "-u", snapshot)
        await here("read-tree", saved.staged or head or saved.branch_commit or "--empty")
        (info / "attributes").unlink()
        if head is not None:
            await _make_submodule_folders(places.fresh, head, deadline)
        workspace = Workspace(
            repository=trusted.name,
            session=session,
            directory=str(places.final),
            branch=branch,
            base_commit=saved.base or snapshot,
        )
        write_record(places.record, workspace)
        move_into_place(places)
        return workspace


async def _save(
    trusted: TrustedRepository, workspace: Workspace, ref: str, what: str, issue_key: str | None, deadline: Deadline
) -> str:
    tips = await asyncio.to_thread(read_tips, Path(workspace.directory), workspace.branch)
    facts = {
        "branch": workspace.branch,
        "branch-commit": tips.branch,
        "head-commit": tips.head,
        "base-commit": workspace.base_commit,
    }
    told = "\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None)
    message = f"{what} of {issue_key or 'a session'}\n\n{told}\nsession: {workspace.session}\n"
    return await save_snapshot(
        trusted, workspace, ref, message=message, leave_out=workspace.copied, deadline_s=deadline.left()
    )


async def _newest(
    trusted: TrustedRepository, session: SessionId, issue_key: str | None, deadline: Deadline
) -> tuple[str, str]:
    """Where the newest state of a session was saved, and the commit."""
    for ref in saved_refs(session, issue_key):
        if (commit := await trusted.resolve(ref, deadline_s=deadline.left())) is not None:
            return ref, commit
    raise Refusal(f"Nothing was saved of session {session} in {trusted.name}.")


class _Saved(Record):
    """What a snapshot says of its workspace: commits, None for what there was not; `others` of further branches."""

    branch: str
    branch_commit: str | None
    head: str | None
    base: str | None
    staged: str | None
    others: tuple[str, ...]


async def _facts(trusted: TrustedRepository, ref: str, snapshot: str, deadline: Deadline) -> _Saved:
    told = await git("show", "--no-patch", "--format=%P%n%B", snapshot, cwd=trusted.path, deadline_s=deadline.left())
    parents, _, message = told.decode("utf-8", "replace").partition("\n")
    facts = dict(_FACT.findall(message))
    branch = facts.get("branch", "")
    if not is_branch_name(branch):
        raise GitError(f"{ref} is no snapshot of ours", retryable=False)
    branch_commit, head, staged = facts.get("branch-commit"), facts.get("head-commit"), facts.get(STAGED)
    return _Saved(
        branch=branch,
        branch_commit=branch_commit,
        head=head,
        base=facts.get("base-commit"),
        staged=staged,
        others=tuple(parent for parent in parents.split() if parent not in {branch_commit, head, staged}),
    )


async def _make_submodule_folders(fresh: Path, head: str, deadline: Deadline) -> None:
    """Make the empty folders that stand for submodules: one that is missing would look removed, and be committed so."""
    told = await git("ls-tree", "-r", "-z", "--full-tree", head, cwd=fresh, deadline_s=deadline.left())
    for line in told.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if facts.split(b" ")[1:2] == [b"commit"]:
            # Never through a link that the agent left there; and what else bears that name stays.
            with suppress(OSError), made_folder(fresh, path.split(b"/")):
                pass


def _move_away(places: Places, workspace: Workspace) -> None:
    Path(workspace.directory).rename(places.gone)
    places.record.unlink(missing_ok=True)
