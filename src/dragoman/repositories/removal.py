"""What goes for good: the workspace of a session, what we wrote down about it, all that was saved of it, and then, from
our copies of repositories, the commits that nothing names any more.

Nothing is kept here, other than in rescue.py.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from dragoman.errors import GitError
from dragoman.ids import SessionId
from dragoman.repositories.git import git
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import ref_file, session_ref
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import ASIDE, Places

COLLECT_S = 600.0
TIDY_S = 300.0  # for one copy; a larger one stays as it is until somebody collects it at leisure
_LEFT_BEHIND_S = 86_400.0  # longer than anything of ours is under way
_LEFT_BEHIND = ("reader-*", "snapshot-*", "verify-*", "bundle-*")
# As git itself would ask by default, if it were let to in the middle of a fetch: see git.py.
_IF_NEEDED = ("-c", "gc.auto=6700", "-c", "gc.autoPackLimit=50", "-c", "gc.autoDetach=false", "gc", "--auto")


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
    async with _alone(trusted, deadline) as held:
        await _collect(trusted, ("gc",), deadline.left(), held)


async def tidy(trusted: TrustedRepository, *, all_of_it: bool = False, deadline_s: float = TIDY_S) -> bool:
    """Have git pack a trusted repository, when nobody uses it: False when somebody does, or comes meanwhile.

    all_of_it  also when git finds too little to do: something was dropped
    Raises     GitError, after the deadline, too; what git had begun is no harm, and is removed by the next time
    """
    if not trusted.path.is_dir():
        return True
    await asyncio.to_thread(_remove_left_behind, trusted.root)
    async with AsyncExitStack() as stack:
        try:
            held = await stack.enter_async_context(_alone(trusted, Deadline(0)))
        except GitError:
            return False
        how = ("gc",) if all_of_it else _IF_NEEDED
        return await trusted.unless_wanted(_collect(trusted, how, deadline_s, held))


async def saved_sessions(trusted: TrustedRepository, *, deadline_s: float = 60.0) -> set[SessionId]:
    """The sessions of which something is kept in a trusted repository. Raises GitError."""
    if not trusted.path.is_dir():
        return set()
    return {
        SessionId(ref.rpartition("/")[2]) for ref in await _refs(trusted, Deadline(deadline_s)) if ref.count("/") > 2
    }


async def drop_saved(
    trusted: TrustedRepository, *, root: Path, session: SessionId, issue_key: str | None, deadline_s: float = 60.0
) -> bool:
    """Drop all that was saved of a session; False when its workspace is on disk, where it may go on. Raises GitError."""
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline):
        known = places.read_record()
        stands = [places.final, *([Path(known.directory)] if known is not None else [])]
        if any([await asyncio.to_thread(place.exists) for place in stands]):
            return False
        await _remove_refs(trusted, session_ref(session).rpartition("/")[2], deadline)
        places.record.unlink(missing_ok=True)
        return True


@asynccontextmanager
async def _alone(trusted: TrustedRepository, deadline: Deadline) -> AsyncIterator[tuple[int, int]]:
    """Hold a trusted repository alone: nobody fetches into it, and nobody brings objects that nothing names yet."""
    async with (
        file_lock(trusted.path.with_suffix(".lock"), deadline) as fetching,
        file_lock(trusted.objects_lock, deadline) as saving,
    ):
        yield fetching, saving


async def _collect(trusted: TrustedRepository, how: Sequence[str], deadline_s: float, held: tuple[int, int]) -> None:
    await git(*how, "--quiet", "--prune=now", cwd=trusted.path, deadline_s=deadline_s, keep_open=held)


def _remove_left_behind(root: Path) -> None:
    """What was aside when we were killed."""
    long_ago = time.time() - _LEFT_BEHIND_S
    for pattern in _LEFT_BEHIND:
        for folder in (*root.glob(pattern), *(root / ASIDE).glob(pattern)):
            with suppress(FileNotFoundError, GitError):
                if folder.lstat().st_mtime < long_ago:
                    remove_folder(folder)


async def _refs(trusted: TrustedRepository, deadline: Deadline) -> list[str]:
    """All refs of ours."""
    listed = await git(
        "for-each-ref", "--format=%(refname)", "refs/dragoman/", cwd=trusted.path, deadline_s=deadline.left()
    )
    return listed.decode("utf-8", "surrogateescape").splitlines()


async def _remove_refs(trusted: TrustedRepository, name: str, deadline: Deadline) -> None:
    for ref in await _refs(trusted, deadline):
        if name in ref.split("/"):
            await drop_ref(trusted, ref, deadline)


async def drop_ref(trusted: TrustedRepository, ref: str, deadline: Deadline) -> None:
    """Remove a ref of ours, if it is there, with what was written down of the files it names. Raises GitError."""
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
