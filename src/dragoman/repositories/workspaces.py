"""A session's workspace: a private repository on disk, with its branch, where the agent works.

It shares nothing with the trusted repository: no hard links, no alternates, no address. It is made aside, in a folder
that no agent sees, and moved into its place when it is complete. So a directory that stands there is whole, a crash in
the middle leaves only something aside that the next call clears away, and no git command ever runs in a directory
that an agent has touched. What a workspace is (branch, first commit) is written down on our side of the wall just
before the move: its own `.git` is the agent's to change, and is never asked.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from dragoman.errors import GitError, Refusal
from dragoman.ids import SessionId
from dragoman.record import Record
from dragoman.repositories.git import IDENTITY_EMAIL, LOCAL_ONLY, git
from dragoman.repositories.hostile import checked_objects, is_intact, make_reader, read_tips
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import is_branch_name, session_file, workspace_path
from dragoman.repositories.trusted import TrustedRepository

# Commits of the agent carry this; people see them in the history of the branch.
AGENT_NAME = "OpenCode via Dragoman"

# What `git push` by the agent answers with: "fatal: '…' does not appear to be a git repository".
_ORIGIN_URL = "pushing-is-done-by-dragoman-after-the-turn"

_LOCAL_CONFIG = f"""\
[user]
\tname = {AGENT_NAME}
\temail = {IDENTITY_EMAIL}
[remote "origin"]
\turl = {_ORIGIN_URL}
"""

# What passes between us and the agent lies there, and is no part of any change.
_EXCLUDED = "/.dragoman/\n"

ASIDE = "aside"  # under the trusted root: what is being made, locks, and the records of what was made


class Workspace(Record):
    """Facts about a workspace.

    repository   name of the repository, "owner/repo"
    session      whose it is
    directory    absolute path
    branch       the agent's branch
    base_commit  the commit that the branch began at
    notes        what the agent and people should know: submodules, large files, a damaged `.git`
    copied       files of the operator that were brought along; they are in no commit and in no snapshot
    prepared     they were brought, and the repository's `setup` was run
    """

    repository: str
    session: SessionId
    directory: str
    branch: str
    base_commit: str
    notes: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    prepared: bool = False


class WorkingCopy(Protocol):
    """What has to be known of a workspace to read its commits."""

    @property
    def directory(self) -> str: ...
    @property
    def branch(self) -> str: ...


async def ensure_workspace(
    trusted: TrustedRepository,
    *,
    root: Path,
    session: SessionId,
    issue_key: str | None,
    branch: str,
    base: str | None = None,
    start_from: str | None = None,
    deadline_s: float = 300.0,
) -> Workspace:
    """Make the workspace of a session, or find the one that is there; that one is left as it is.

    root        the folder of all workspaces, on one file system with the trusted repositories
    branch      see `naming.branch_name`; of no effect on a workspace that is there
    base        branch of the remote to start from; None: the default branch
    start_from  a commit or ref of the trusted repository to start from instead, such as another session's saved branch
    Raises      Refusal when the branch to start from is not there or the directory is somebody else's; GitError
    """
    if not is_branch_name(branch):
        raise Refusal(f"{branch!r} is no name for a branch.")
    deadline = Deadline(deadline_s)
    places = Places(trusted, root, session, issue_key)
    async with file_lock(places.lock, deadline) as lock:
        if (known := find(places, trusted.name, session)) is not None:
            return known
        start = await _start(trusted, base, start_from, deadline)
        await asyncio.to_thread(shutil.rmtree, places.fresh, ignore_errors=True)
        await make_private(places.fresh, trusted, [start], deadline, lock)
        await git(
            "checkout", "--quiet", "--no-track", "-b", branch, start, "--",
            cwd=places.fresh, deadline_s=deadline.left(), keep_open=(lock,),
        )  # fmt: skip
        workspace = Workspace(
            repository=trusted.name,
            session=session,
            directory=str(places.final),
            branch=branch,
            base_commit=start,
            notes=await _notes(trusted, start, deadline),
        )
        write_record(places.record, workspace)
        move_into_place(places)
        return workspace


def recorded_base(trusted: TrustedRepository, session: SessionId) -> str | None:
    """The commit that the branch of a session's workspace began at; None when none was made here."""
    record = trusted.root / ASIDE / trusted.path.stem / f"{session_file(session)}.json"
    try:
        return msgspec.json.decode(record.read_bytes(), type=Workspace).base_commit
    except (FileNotFoundError, msgspec.DecodeError):
        return None


async def save_branch(
    trusted: TrustedRepository, workspace: WorkingCopy, ref: str, *, deadline_s: float = 120.0
) -> str | None:
    """Copy what the agent committed into the trusted repository, under a ref of ours, and give the commit.

    Saved is the workspace's branch, or HEAD when that contains the branch: an agent that made a branch of its own is
    followed there, one in the middle of a rebase or looking at an old commit is not. What is not committed is not saved.
    ref      under refs/dragoman/; see `naming.session_ref`. Replaced if it exists
    Returns  None when nothing was ever committed there
    Raises   GitError; not retryable when the workspace's `.git` was replaced. See hostile.py for why that matters
    """
    if not ref.startswith("refs/dragoman/") or not is_branch_name(ref.removeprefix("refs/")):
        raise ValueError(f"{ref!r} is not a ref of ours")
    deadline = Deadline(deadline_s)
    directory = Path(workspace.directory)
    tips = await asyncio.to_thread(read_tips, directory, workspace.branch)
    if tips.head is None and tips.branch is None:
        return None
    objects = await asyncio.to_thread(checked_objects, directory)
    readers = trusted.root / ASIDE
    readers.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reader-", dir=readers, ignore_cleanup_errors=True) as temporary:
        reader = Path(temporary) / "reader.git"
        make_reader(reader, objects, tips)
        chosen = "branch" if tips.branch is not None else "head"
        if tips.head is not None and tips.branch is not None and tips.head != tips.branch:
            ahead = await git(
                "rev-list", "--max-count=1", "refs/heads/branch", "^refs/heads/head",
                cwd=reader, deadline_s=deadline.left(),
            )  # fmt: skip
            chosen = "branch" if ahead.strip() else "head"
        async with file_lock(trusted.objects_lock, deadline, shared=True):
            await git(
                # Objects that another git would stumble over, such as a file named .git, are refused.
                "-c", "fetch.fsckObjects=true",
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                "--", str(reader), f"+refs/heads/{chosen}:{ref}",
                cwd=trusted.path, deadline_s=deadline.left(), env_extra=LOCAL_ONLY,
            )  # fmt: skip
    return tips.head if chosen == "head" else tips.branch


def standing_workspaces(trusted: TrustedRepository) -> list[Workspace]:
    """The workspaces of a repository that are on disk, by what we wrote down of them."""
    found = []
    for record in sorted((trusted.root / ASIDE / trusted.path.stem).glob("*.json")):
        with suppress(FileNotFoundError, msgspec.DecodeError):
            workspace = msgspec.json.decode(record.read_bytes(), type=Workspace)
            if Path(workspace.directory).is_dir():
                found.append(workspace)
    return found


class Places:
    """Where things of one session lie: the workspace itself, and what we keep about it where no agent looks."""

    def __init__(self, trusted: TrustedRepository, root: Path, session: SessionId, issue_key: str | None) -> None:
        self.root = root.absolute()
        aside = trusted.root / ASIDE / trusted.path.stem
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = session_file(session)
        self.lock = aside / f"{own}.lock"
        self.record = aside / f"{own}.json"
        self.fresh = aside / f"{own}.new"
        self.gone = aside / f"{own}.gone"
        self.final = workspace_path(self.root, trusted.name, session, issue_key)

    def read_record(self) -> Workspace | None:
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=Workspace)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def find(places: Places, repository: str, session: SessionId) -> Workspace | None:
    """The workspace that stands at its place; None when there is none, or an empty directory."""
    known = places.read_record()
    # The issue may have got another key since (moved to another team): the record knows the name it was made under.
    final = places.final if known is None else places.final.with_name(Path(known.directory).name)
    if known is not None and not _holds_something(final):
        known, final = None, places.final
    if not _holds_something(final):
        return None
    if known is None or known.session != session or known.repository != repository:
        raise Refusal(
            f"{final} is there but was not made for this session, and may hold somebody's work. "
            "Move it away; a new workspace is made then."
        )
    damaged = () if is_intact(final) else (".git was removed or replaced: commits cannot be saved from here.",)
    return msgspec.structs.replace(known, directory=str(final), notes=known.notes + damaged)


def _holds_something(place: Path) -> bool:
    if place.is_symlink() or place.parent.is_symlink():
        raise Refusal(f"{place} leads elsewhere through a link. Remove the link; a new workspace is made then.")
    try:
        with os.scandir(place) as entries:
            return any(entries)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise Refusal(f"{place} is not a directory. Move it away; a new workspace is made then.") from None


async def _start(trusted: TrustedRepository, base: str | None, start_from: str | None, deadline: Deadline) -> str:
    if start_from is not None:
        if (commit := await trusted.resolve(start_from, deadline_s=deadline.left())) is None:
            raise Refusal(f"The repository {trusted.name} has no {start_from} to start from.")
        return commit
    branch = base or trusted.default_branch()
    if (commit := await trusted.branch_tip(branch, deadline_s=deadline.left())) is None:
        raise Refusal(f"The repository {trusted.name} has no branch {branch!r} to start from.")
    return commit


async def make_private(
    fresh: Path, trusted: TrustedRepository, commits: Sequence[str], deadline: Deadline, lock: int | None = None
) -> None:
    """Make a repository that holds the remote's branches and `commits`, and nothing that leads back to ours."""
    held = () if lock is None else (lock,)
    # An empty template: no sample hooks, no info/exclude of this machine.
    await git(
        "init", "--quiet", "--template=", "--", str(fresh),
        cwd=trusted.root, deadline_s=deadline.left(), keep_open=held,
    )  # fmt: skip
    with (fresh / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(_LOCAL_CONFIG)
    (fresh / ".git" / "info").mkdir(exist_ok=True)
    (fresh / ".git" / "info" / "exclude").write_text(_EXCLUDED, encoding="utf-8")
    # A plain clone would be empty: the trusted repository has no refs/heads. A fetch by path copies, it never links,
    # and with neither FETCH_HEAD nor (see git.py) reflogs that name it, the path stays unknown to the agent.
    await git(
        "-c", "fetch.unpackLimit=1", "-c", "core.logAllRefUpdates=false",
        "fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules",
        "--", str(trusted.path), "+refs/remotes/origin/*:refs/remotes/origin/*", *commits,
        cwd=fresh, deadline_s=deadline.left(), env_extra=LOCAL_ONLY, keep_open=held,
    )  # fmt: skip
    # In one file: two for each branch of the remote, which gets one by each session, soon outweigh what is worked on.
    await git("pack-refs", "--all", cwd=fresh, deadline_s=deadline.left(), keep_open=held)


async def _notes(trusted: TrustedRepository, start: str, deadline: Deadline) -> tuple[str, ...]:
    notes = []
    tree = await git("ls-tree", "--name-only", start, "--", ".gitmodules", cwd=trusted.path, deadline_s=deadline.left())
    if tree.strip():
        notes.append(
            "This repository has submodules. They are not fetched: their directories are empty, and stay as they are in commits."
        )
    large = await git(
        "grep", "--files-with-matches", "--fixed-strings", "-e", "filter=lfs", start, "--", ".gitattributes",
        "*/.gitattributes", cwd=trusted.path, deadline_s=deadline.left(), ok_codes=(0, 1),
    )  # fmt: skip
    if large.strip():
        notes.append(
            "This repository keeps large files with Git LFS. They are not fetched: small pointer files stand in. New or "
            "changed ones would be committed as ordinary files, so leave them as they are."
        )
    return tuple(notes)


def write_record(record: Path, workspace: Workspace) -> None:
    unfinished = record.with_suffix(".json.part")
    unfinished.write_bytes(msgspec.json.encode(workspace))
    unfinished.replace(record)


def move_into_place(places: Places) -> None:
    """Put a finished workspace in its place, which is empty or not there; nothing is ever overwritten."""
    folder = places.final.parent
    places.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    # Agents can write beside their workspaces: the folder is held open, so that it is not swapped for a link meanwhile.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.rename(places.fresh, places.final.name, dst_dir_fd=descriptor)
    except OSError as error:
        raise GitError(
            f"the workspace could not be put at {places.final}: {error.strerror}; "
            "workspaces and trusted repositories must lie on one file system"
        ) from error
    finally:
        os.close(descriptor)
