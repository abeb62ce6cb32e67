"""Saves all that lies in a workspace, committed or not, as one commit in the trusted repository.

The tree of the commit is the files as they lie there, byte for byte, without what the repository ignores. Its parents
are HEAD, the workspace's branch, its other branches and the stash, so that every commit which only exists there is
kept; and what was staged, as a commit of its own (staging.py), unless that is HEAD again.

As in hostile.py, git never opens the workspace as a repository. It lists the files that are not ignored, with a git
directory of ours; their content is read here (reading.py) and handed to `git fast-import`, which looks at no file and
knows no filters. A file that did not change since the last snapshot is not read again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from dragoman.errors import GitError
from dragoman.record import Record
from dragoman.repositories import reading
from dragoman.repositories.git import IDENTITY_EMAIL, IDENTITY_NAME, LOCAL_ONLY, git
from dragoman.repositories.hostile import all_tips, checked_objects, make_reader, read_tips
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import is_branch_name, ref_file
from dragoman.repositories.reading import Changed, Entry
from dragoman.repositories.staging import STAGED, commit_staged
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import ASIDE, WorkingCopy

MOST_FILES = 500_000
MOST_BYTES = 8 << 30
TRIES = 3  # while the agent works, a file may change under our eyes
_SETTLED_NS = 2_000_000_000  # a file changed so lately may change again within the same tick of the disk's clock


class _Known(Record):
    """What the last snapshot read: path to (stamp, mode, blob), and the commit that holds those blobs."""

    commit: str
    read_at: int
    files: dict[str, tuple[tuple[int, ...], str, str]]

    def blobs(self) -> set[str]:
        return {blob for _, _, blob in self.files.values()}

    def tree(self) -> dict[str, tuple[str, str]]:
        return {path: (mode, blob) for path, (_, mode, blob) in self.files.items()}


async def save_snapshot(
    trusted: TrustedRepository,
    workspace: WorkingCopy,
    ref: str,
    *,
    message: str,
    leave_out: Sequence[str] = (),
    deadline_s: float = 300.0,
) -> str:
    """Save the workspace under a ref of ours and give the commit; the same one when nothing changed since.

    ref        under refs/dragoman/; see `naming`. Replaced if it exists
    leave_out  files that are not saved while nobody has committed them
    Raises     GitError; not retryable when `.git` was replaced or there is too much
    """
    if not ref.startswith("refs/dragoman/") or not is_branch_name(ref.removeprefix("refs/")):
        raise ValueError(f"{ref!r} is not a ref of ours")
    deadline = Deadline(deadline_s)
    aside = trusted.root / ASIDE
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=aside, ignore_cleanup_errors=True) as temporary:
        async with file_lock(trusted.objects_lock, deadline, shared=True):
            return await _Snapshot(trusted, workspace, ref, Path(temporary), deadline, leave_out).save(message)


class _Snapshot:
    def __init__(
        self,
        trusted: TrustedRepository,
        workspace: WorkingCopy,
        ref: str,
        temporary: Path,
        deadline: Deadline,
        leave_out: Sequence[str],
    ) -> None:
        self._trusted = trusted
        self._directory = Path(workspace.directory)
        self._branch = workspace.branch
        self._ref = ref
        self._temporary = temporary
        self._deadline = deadline
        self._leave_out = {os.fsencode(path) for path in leave_out}
        self._staged: str | None = None
        self._memory = trusted.root / ASIDE / f"{ref_file(ref)}.snapshot"

    async def save(self, message: str) -> str:
        parents = await self._fetch_commits()
        if self._staged is not None:
            message += f"{STAGED}: {self._staged}\n"
        tracked = await self._tree_of(parents[0]) if parents else {}
        known = self._remembered()
        before = await self._trusted.resolve(self._ref, deadline_s=self._deadline.left())
        if known is not None and known.commit != before:
            known = None  # that snapshot is gone, and its blobs may be
        stream = self._temporary / "stream"
        stored = set(tracked.values()) | (known.blobs() if known is not None else set())
        files = await self._read(stream, tracked, parents, stored, known, message)
        same = before is not None and known is not None and known.tree() == files.tree()
        if before is not None and same and await self._parents(before) == parents:
            return before
        with stream.open("rb") as told:
            await git(
                "fast-import", "--quiet", "--done", "--force", "--date-format=raw",
                cwd=self._trusted.path, deadline_s=self._deadline.left(), stdin=told.fileno(),
            )  # fmt: skip
        commit = await self._trusted.resolve(self._ref, deadline_s=self._deadline.left())
        if commit is None:
            raise GitError(f"the snapshot of {self._directory.name} was not written")
        self._remember(msgspec.structs.replace(files, commit=commit))
        return commit

    async def _read(
        self,
        stream: Path,
        tracked: Mapping[bytes, str],
        parents: list[str],
        stored: set[str],
        known: _Known | None,
        message: str,
    ) -> _Known:
        for _ in range(TRIES):
            paths = await self._paths(tracked)
            try:
                return await asyncio.to_thread(self._write_stream, stream, paths, parents, stored, known, message)
            except Changed:
                continue
            except OSError as error:
                raise GitError(f"{self._directory.name} could not be read: {error.strerror}") from error
        raise GitError(f"files of {self._directory.name} changed while they were saved")

    async def _fetch_commits(self) -> list[str]:
        """Bring every commit that a branch, HEAD or the stash names into the trusted repository; HEAD's first."""
        tips = await asyncio.to_thread(read_tips, self._directory, self._branch)
        named = await asyncio.to_thread(all_tips, self._directory)
        commits = list(dict.fromkeys(tip for tip in (tips.head, tips.branch, *named) if tip is not None))
        if not commits:
            return []
        objects = await asyncio.to_thread(checked_objects, self._directory)
        reader = self._temporary / "reader.git"
        make_reader(reader, objects, tips)
        if tips.head is not None:
            self._staged = await commit_staged(reader, self._directory, tips.head, self._deadline)
            commits += [self._staged] if self._staged is not None else []
        for number, commit in enumerate(commits):
            (reader / "refs" / "heads" / f"n{number}").write_text(f"{commit}\n")
        # Without a ref on our side: the snapshot names them in a moment, and nothing is collected before (see git.py).
        await git(
            "-c", "fetch.fsckObjects=true",
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
            "--", str(reader), *(f"refs/heads/n{number}" for number in range(len(commits))),
            cwd=self._trusted.path, deadline_s=self._deadline.left(), env_extra=LOCAL_ONLY,
        )  # fmt: skip
        return commits

    async def _parents(self, commit: str) -> list[str]:
        told = await git(
            "rev-list", "--parents", "--max-count=1", commit, cwd=self._trusted.path, deadline_s=self._deadline.left()
        )
        return told.decode().split()[1:]

    async def _tree_of(self, commit: str) -> dict[bytes, str]:
        """Path to blob of all files of a commit; submodules left out."""
        told = await git(
            "ls-tree", "-r", "-z", "--full-tree", commit, cwd=self._trusted.path, deadline_s=self._deadline.left()
        )
        tree = {}
        for line in told.split(b"\0"):
            facts, _, path = line.partition(b"\t")
            if facts.split(b" ")[1:2] == [b"blob"]:
                tree[path] = facts.split(b" ")[2].decode()
        return tree

    async def _paths(self, tracked: Mapping[bytes, str]) -> list[bytes]:
        """What is tracked, and what is neither tracked nor ignored."""
        lister = self._temporary / "lister.git"
        if not lister.exists():
            await git(
                "init", "--quiet", "--bare", "--template=", "--", str(lister),
                cwd=self._temporary, deadline_s=self._deadline.left(),
            )  # fmt: skip
        told = await git(
            f"--git-dir={lister}", f"--work-tree={self._directory}", "ls-files", "-z", "--others", "--exclude-standard",
            cwd=self._directory, deadline_s=self._deadline.left(),
        )  # fmt: skip
        found = {path for path in told.split(b"\0") if path} - self._leave_out
        # Without an index everything counts as untracked, so what is ignored but tracked is added.
        paths = {path for path in found if not path.endswith(b"/")} | set(tracked)
        nested = [path for path in found if path.endswith(b"/")]
        if nested:
            paths |= set(await asyncio.to_thread(self._nested, nested))
        if len(paths) > MOST_FILES:
            raise GitError(
                f"{self._directory.name} holds more than {MOST_FILES:,} files that are not ignored", retryable=False
            )
        return sorted(paths)

    def _nested(self, folders: Iterable[bytes]) -> list[bytes]:
        with reading.folder(self._directory) as root:
            return [path for one in folders for path in reading.files_below(root, one, MOST_FILES)]

    def _write_stream(
        self,
        stream: Path,
        paths: Iterable[bytes],
        parents: list[str],
        stored: set[str],
        known: _Known | None,
        message: str,
    ) -> _Known:
        """Write what fast-import is told. Raises Changed, OSError, GitError"""
        read_at = time.time_ns()
        files: dict[str, tuple[tuple[int, ...], str, str]] = {}
        left = MOST_BYTES
        with stream.open("wb") as out, reading.folder(self._directory) as root:
            out.write(_header(self._ref, parents, message))
            for path in paths:
                entry = reading.look(root, path)
                if entry is None:
                    continue
                if entry.size > left:
                    raise self._too_much()  # before it is read: a file may be said to hold a terabyte of nothing
                key = path.decode("utf-8", "surrogateescape")
                blob, is_stored = _blob(root, path, entry, known, stored, key)
                files[key] = (entry.stamp, entry.mode, blob)
                if is_stored:
                    out.write(b"M %s %s %s\n" % (entry.mode.encode(), blob.encode(), _quoted(path)))
                    continue
                left -= entry.size
                out.write(b"M %s inline %s\n" % (entry.mode.encode(), _quoted(path)))
                _write_data(out, root, path, entry)
            out.write(b"\ndone\n")
        return _Known(commit="", read_at=read_at, files=files)

    def _too_much(self) -> GitError:
        what = f"{self._directory.name} holds more than {MOST_BYTES >> 30} GiB that are not committed"
        return GitError(what, retryable=False)

    def _remembered(self) -> _Known | None:
        try:
            return msgspec.msgpack.decode(self._memory.read_bytes(), type=_Known)
        except (OSError, msgspec.DecodeError):
            return None

    def _remember(self, known: _Known) -> None:
        unfinished = self._memory.with_suffix(".part")
        try:
            unfinished.write_bytes(msgspec.msgpack.encode(known))
        except UnicodeEncodeError:
            return  # a name that is no text: everything is read again the next time
        unfinished.replace(self._memory)


def _blob(root: int, path: bytes, entry: Entry, known: _Known | None, stored: set[str], key: str) -> tuple[str, bool]:
    """The id of a file's content, and whether the trusted repository has it."""
    if known is not None and (seen := known.files.get(key)) is not None and seen[0] == entry.stamp:
        changed_at = max(entry.stamp[0], entry.stamp[1])
        if changed_at < known.read_at - _SETTLED_NS:
            return seen[2], True
    blob = reading.blob_id(root, path, entry)
    return blob, blob in stored


def _header(ref: str, parents: list[str], message: str) -> bytes:
    text = message.encode("utf-8", "replace")
    lines = [
        # Without it, a commit that names no parent would get the ref's old one.
        b"reset %s\n\n" % ref.encode(),
        b"commit %s\n" % ref.encode(),
        f"committer {IDENTITY_NAME} <{IDENTITY_EMAIL}> {int(time.time())} +0000\n".encode(),
        b"data %d\n%s\n" % (len(text), text),
    ]
    lines += [b"%s %s\n" % (b"merge" if number else b"from", one.encode()) for number, one in enumerate(parents)]
    return b"".join([*lines, b"deleteall\n"])


def _write_data(out: BinaryIO, root: int, path: bytes, entry: Entry) -> None:
    out.write(b"data %d\n" % entry.size)
    out.writelines(reading.content(root, path, entry))
    out.write(b"\n")


def _quoted(path: bytes) -> bytes:
    escaped = b"".join(b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' else bytes((byte,)) for byte in path)
    return b'"' + escaped + b'"'
