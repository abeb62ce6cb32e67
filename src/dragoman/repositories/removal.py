"""Forgetting what was made for a session: its workspace, what we wrote down about it, all that was saved of it.

Nothing is kept here, other than in rescue.py: this is for good.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from dragoman.errors import GitError
from dragoman.ids import SessionId
from dragoman.repositories.git import git
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import ref_file, session_ref
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import ASIDE, Places

COLLECT_S = 600.0


async def erase_workspace(
    trusted: TrustedRepository, *, root: Path, session: SessionId, issue_key: str | None, deadline_s: float = 120.0
) -> bool:
    """Remove the workspace of a session and its saved branches; whether there was a workspace. May be repeated.

    The commits themselves leave the trusted repository with `collect`.
    Raises  GitError when it cannot be removed
    """
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline):
        known = places.read_record()
        final = places.final if known is None else places.final.with_name(Path(known.directory).name)
        was_there = final.is_symlink() or final.exists()
        for folder in (places.fresh, places.gone, final, final.with_name(f".{final.name}.gone")):
            await asyncio.to_thread(remove_folder, folder)
        if trusted.path.is_dir():
            await _remove_refs(trusted, session_ref(session).rpartition("/")[2], deadline)
        places.record.unlink(missing_ok=True)
    return was_there


async def collect(trusted: TrustedRepository) -> None:
    """Remove objects that nothing names any more from a trusted repository, at once. Raises GitError."""
    if not trusted.path.is_dir():
        return
    deadline = Deadline(COLLECT_S)
    async with (
        file_lock(trusted.path.with_suffix(".lock"), deadline) as fetching,
        file_lock(trusted.objects_lock, deadline) as saving,
    ):
        await git(
            "gc", "--quiet", "--prune=now", cwd=trusted.path, deadline_s=deadline.left(), keep_open=(fetching, saving)
        )


async def _remove_refs(trusted: TrustedRepository, name: str, deadline: Deadline) -> None:
    listed = await git(
        "for-each-ref", "--format=%(refname)", "refs/dragoman/", cwd=trusted.path, deadline_s=deadline.left()
    )
    for ref in listed.decode("utf-8", "surrogateescape").splitlines():
        if name in ref.split("/"):
            # What stood where, by name.
            (trusted.root / ASIDE / f"{ref_file(ref)}.snapshot").unlink(missing_ok=True)
            await git("update-ref", "-d", ref, cwd=trusted.path, deadline_s=deadline.left())


def remove_folder(folder: Path) -> None:
    """Remove a folder, also one whose owner took the rights to it away; a link is removed, not followed.

    Raises  GitError
    """
    if folder.is_symlink():
        folder.unlink()
        return
    if folder.parent.is_symlink():
        raise GitError(f"{folder.parent} leads elsewhere through a link: nothing is removed there", retryable=False)
    try:
        try:
            shutil.rmtree(folder)
        except PermissionError:
            _open_up(folder)
            shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise GitError(f"the workspace {folder} could not be removed: {error.strerror}") from error


def _open_up(folder: Path) -> None:
    closed = [folder]
    while closed:
        one = closed.pop()
        one.chmod(0o700)
        with os.scandir(one) as entries:
            closed += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
