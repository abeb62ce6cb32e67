"""Reads what an agent left in its workspace without ever running git on it.

A workspace belongs to the agent, `.git` included. Any git command that opens it obeys its configuration and runs what
that names: `core.fsmonitor`, hooks, `alias`, filters, `core.sshCommand`, `uploadpack.packObjectsHook`, a credential
helper, a promisor remote. Overriding each with `-c` or GIT_CONFIG_COUNT is a list that is never complete, and of no use
with fetch: the `git upload-pack` it starts for the other side gets neither (git clears them for the child). Git refuses
a repository's own packObjectsHook by itself (it must come from protected configuration) and since 2.39.4 fetches no
missing objects from promisors there; that is git's promise about one version, not ours.

So the workspace is never opened as a repository. What we need of it is two things that no configuration can change:
where HEAD and the branch point, which are small text files and read here; and the objects, which are content, checked
by their ids. A *reader* is a bare repository of ours, in our own folder, whose only link to the workspace is that its
`objects/info/alternates` names the workspace's objects. Every git command runs in the reader or the trusted repository.

What would lead out of the workspace is refused: links in place of `.git` or anything in `objects`, a `commondir`, and an
alternates file of the agent's, which would make another repository's objects part of this one.
Doubt: a process of the agent that is still alive could put such a link there between check and use; it could then
smuggle out an object of a repository that it cannot see, if it knew that object's id. Inside the sandbox it cannot.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from dragoman.errors import GitError
from dragoman.repositories.naming import is_branch_name

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HEADS = "refs/heads/"
_STASH = "refs/stash"
_MAX_REF_FILE = 4096
MOST_TIPS = 100
_MAX_PACKED_REFS = 32 * 1024 * 1024


class Tips:
    """Where a workspace's HEAD and its branch point; None for what does not exist."""

    def __init__(self, head: str | None, branch: str | None) -> None:
        self.head = head
        self.branch = branch


def read_tips(workspace: Path, branch: str) -> Tips:
    """Read where HEAD and the branch of a workspace point.

    Raises  GitError (not retryable) when `.git` is not the plain directory that we made
    """
    store = _plain_git_directory(workspace)
    head = (_read_small(store / "HEAD", _MAX_REF_FILE) or "").strip()
    if _COMMIT.fullmatch(head):
        at_head: str | None = head
    else:
        checked_out = head.removeprefix("ref: ").strip().removeprefix(_HEADS)
        at_head = _branch_tip(store, checked_out) if head.startswith("ref: refs/heads/") else None
    return Tips(at_head, _branch_tip(store, branch))


def all_tips(workspace: Path) -> list[str]:
    """What the local branches and the stash of a workspace point to, the stash first; MOST_TIPS at most.

    Raises  GitError (not retryable) when `.git` is not the plain directory that we made
    """
    store = _plain_git_directory(workspace)
    tips: dict[str, str] = {}
    for line in (_read_small(store / "packed-refs", _MAX_PACKED_REFS) or "").splitlines():
        commit, _, name = line.partition(" ")
        if name.startswith((_HEADS, _STASH)) and _COMMIT.fullmatch(commit):
            tips[name] = commit
    pending = [store / "refs" / "heads"]
    while pending and len(tips) < MOST_TIPS:
        here = pending.pop()
        if not _is_directory(here):
            continue
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif _COMMIT.fullmatch(commit := (_read_small(Path(entry.path), _MAX_REF_FILE) or "").strip()):
                    tips[os.path.relpath(entry.path, store)] = commit
    if _COMMIT.fullmatch(stash := (_read_small(store / _STASH, _MAX_REF_FILE) or "").strip()):
        tips[_STASH] = stash
    return [tips[name] for name in sorted(tips, reverse=True)][:MOST_TIPS]  # the stash first


def checked_objects(workspace: Path) -> Path:
    """The directory of a workspace's objects, after a look that nothing in it leads elsewhere.

    Raises  GitError (not retryable) when something does
    """
    objects = _plain_git_directory(workspace) / "objects"
    if not _is_directory(objects):
        raise _replaced(workspace, ".git/objects")
    pending = [objects]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) or entry.name in {"alternates", "http-alternates"}:
                    raise _replaced(workspace, os.path.relpath(entry.path, workspace))
    return objects


def is_intact(workspace: Path) -> bool:
    """Whether `.git` is still a plain directory that is its own: git follows a `commondir` to another one."""
    store = workspace / ".git"
    return _is_directory(store) and not os.path.lexists(store / "commondir")


def make_reader(directory: Path, objects: Path, tips: Tips) -> None:
    """Make a bare repository of ours in `directory` that holds nothing but a view of `objects`."""
    directory.mkdir(mode=0o700)
    (directory / "refs" / "heads").mkdir(parents=True)
    (directory / "objects" / "info").mkdir(parents=True)
    (directory / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    (directory / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n"
    )
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    for name, tip in (("head", tips.head), ("branch", tips.branch)):
        if tip is not None:
            (directory / "refs" / "heads" / name).write_text(f"{tip}\n")


def _plain_git_directory(workspace: Path) -> Path:
    if not _is_directory(workspace):
        raise _replaced(workspace, "the workspace")
    if not is_intact(workspace):
        raise _replaced(workspace, ".git")
    return workspace / ".git"


def _branch_tip(store: Path, branch: str) -> str | None:
    # The name may come out of the agent's HEAD: a valid one cannot leave refs/heads.
    if not is_branch_name(branch):
        return None
    loose = (_read_small(store / _HEADS / branch, _MAX_REF_FILE) or "").strip()
    if _COMMIT.fullmatch(loose):
        return loose
    for line in (_read_small(store / "packed-refs", _MAX_PACKED_REFS) or "").splitlines():
        commit, _, name = line.partition(" ")
        if name == _HEADS + branch and _COMMIT.fullmatch(commit):
            return commit
    return None


def _read_small(path: Path, limit: int) -> str | None:
    """The text of a plain file; None for anything else: a link, a pipe, something huge."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            return None
        return file.read(limit).decode("utf-8", "replace")


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _replaced(workspace: Path, what: str) -> GitError:
    return GitError(
        f"{what} of {workspace.name} was replaced or leads out of the workspace, so its commits cannot be read; "
        "the files are untouched",
        retryable=False,
    )
