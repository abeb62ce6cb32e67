"""What a fresh workspace gets before the agent begins: files of the operator, and the commands that set it up.

The files come from a folder that the operator names, and from nowhere else: a link in it that leads out of it is left
where it is. Into the workspace they are written step by step from its own descriptor, never through a link, since what
lies there is the repository's or, after a crash, an agent's. Nothing that is there is overwritten. They stand in
`.git/info/exclude`, so that no commit takes them up; what we save of a workspace leaves them out, too.

`setup` runs as the agent's own commands do. Both are done once a workspace: a record on our side of the wall says so.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from dragoman.ids import SessionId
from dragoman.repositories.leftovers import Confine
from dragoman.repositories.locks import Deadline
from dragoman.repositories.reading import made_folder
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.verify import Ran, run_confined
from dragoman.repositories.workspaces import Places, write_record

FILES_MOST = 200
BYTES_MOST = 50 * 1024 * 1024  # of all files
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MORE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GLOB = re.compile(r"([\\*?\[\]!# ])")


class Preparation:
    """One workspace that is prepared; each step may be done again."""

    def __init__(self, trusted: TrustedRepository, root: Path, session: SessionId, issue_key: str | None) -> None:
        self._places = Places(trusted, root, session, issue_key)
        self.known = self._places.read_record()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.known is None or self.known.prepared

    async def bring(self, source: Path, globs: Sequence[str]) -> tuple[str, ...]:
        """Bring files; notes for the agent. What an attempt that was cut off brought is not brought again."""
        if self.known is None or not globs:
            return ()
        paths, notes = await asyncio.to_thread(find_files, source, globs)
        before = set(self.known.copied)
        # Written down first: what is brought must never be taken for the agent's, whatever is cut off.
        self.known = replace(self.known, copied=tuple(str(path) for path in paths))
        write_record(self._places.record, self.known)
        told = await asyncio.to_thread(bring, source, paths, Path(self.known.directory), before)
        return (*notes, *told)

    async def commands(
        self, commands: Sequence[str], confine: Confine, environment: Mapping[str, str], seconds: float
    ) -> AsyncIterator[Ran]:
        """Run them one after another until one fails, and tell of each."""
        deadline = Deadline(seconds)
        for command in commands:
            if self.known is None:
                return
            folder = Path(self.known.directory)
            ran = await run_confined(command, folder, confine, environment, max(deadline.left(), 0.1))
            yield ran
            if ran.exit_code != 0:
                return

    def finish(self) -> None:
        """It is prepared, well or not: the agent was told."""
        if self.known is not None:
            self.known = replace(self.known, prepared=True)
            write_record(self._places.record, self.known)


def find_files(source: Path, globs: Sequence[str]) -> tuple[list[Path], list[str]]:
    """What `globs` find below `source`, relative to it and in a stable order; and what is not taken, a sentence each."""
    home = source.resolve()
    found: dict[Path, None] = {}
    notes: list[str] = []
    for glob in globs:
        fitting = sorted(home.glob(glob))
        if not fitting:
            notes.append(f"Nothing fits {glob!r} among the files that were to be brought along.")
        for path in fitting:
            below = sorted(each for each in path.rglob("*") if not each.is_dir()) if path.is_dir() else [path]
            for each in below:
                relative = each.relative_to(home)
                if not each.resolve().is_relative_to(home):
                    notes.append(f"{relative} was not brought along: it is a link that leads elsewhere.")
                elif ".git" not in relative.parts:
                    found[relative] = None
    if len(found) > FILES_MOST:
        notes.append(f"Only the first {FILES_MOST} files of `copy` were brought along.")
    return list(found)[:FILES_MOST], notes


def bring(source: Path, paths: Sequence[Path], workspace: Path, before: Collection[str] = ()) -> list[str]:
    """Copy files into a workspace; what was not brought and why, a sentence each.

    before  what an earlier attempt was about to bring: when it is there, that is no surprise
    """
    home = source.resolve()
    notes: list[str] = []
    room = BYTES_MOST
    for path in paths:
        data = _read(home / path, room)
        if data is None:
            notes.append(f"{path} was not brought along: it is no plain file, or too large.")
            continue
        content, mode = data
        try:
            _write(workspace, path, content, mode)
        except FileExistsError:
            if str(path) not in before:
                notes.append(f"{path} was not brought along: the repository has a file of that name.")
        except OSError as error:
            notes.append(f"{path} was not brought along: {error.strerror}.")
        else:
            room -= len(content)
    if paths:
        _exclude(workspace, [str(path) for path in paths])
    return notes


def _read(path: Path, room: int) -> tuple[bytes, int] | None:
    try:
        descriptor = os.open(path.resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > room:
            return None
        content = file.read(room + 1)
        return (content, 0o700 if facts.st_mode & stat.S_IXUSR else 0o600) if len(content) <= room else None


def _write(workspace: Path, path: Path, content: bytes, mode: int) -> None:
    """Write a new file; folders are made on the way. Raises OSError, FileExistsError among them."""
    with made_folder(workspace, path.parts[:-1]) as folder:
        descriptor = os.open(path.name, _NEW, mode, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _exclude(workspace: Path, paths: Sequence[str]) -> None:
    """Have git pass these over."""
    with made_folder(workspace, (".git", "info")) as folder:
        descriptor = os.open("exclude", _MORE, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "ab") as file:
        file.writelines(os.fsencode("/" + _GLOB.sub(r"\\\1", path) + "\n") for path in paths)
