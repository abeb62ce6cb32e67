"""Reads an agent's files: never through a link, never outside the workspace, while the agent may still be changing them.

Every path is opened step by step from the workspace's own descriptor, each step refusing links. So a link that is put
into the way between a look and a read leads nowhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dragoman.record import Record

CHUNK = 1 << 20  # bytes
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Changed(Exception):
    """A file was changed while it was read."""


class NotPlain(Exception):
    """What lies at a path is no file that lies there alone: a link, a pipe, or one that has another name as well."""


class TooLarge(Exception):
    """A file is larger than wanted."""


class Entry(Record):
    """What lies at a path. `stamp` differs whenever the content may differ; `mode` is git's."""

    mode: str
    size: int
    stamp: tuple[int, ...]


def look(root: int, path: bytes) -> Entry | None:
    """What is at `path` below the folder that `root` holds open; None for what git does not keep: folders, pipes."""
    try:
        with _parent(root, path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    if stat.S_ISLNK(found.st_mode):
        mode = "120000"
    elif stat.S_ISREG(found.st_mode):
        mode = "100755" if found.st_mode & stat.S_IXUSR else "100644"
    else:
        return None
    stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)
    return Entry(mode=mode, size=found.st_size, stamp=stamp)


def content(root: int, path: bytes, entry: Entry) -> Iterator[bytes]:
    """The content in pieces: of a link, where it points. Raises Changed when it is not as `entry` says any more."""
    try:
        with _parent(root, path) as (folder, name):
            if entry.mode == "120000":
                target = os.readlink(name, dir_fd=folder)
                if len(target) != entry.size:
                    raise Changed
                yield target
                return
            descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        raise Changed from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        left = entry.size
        while left and (piece := file.read(min(left, CHUNK))):
            left -= len(piece)
            yield piece
        if left or file.read(1):
            raise Changed


def plain_content(root: int, path: bytes, most: int) -> bytes:
    """The content of a plain file, of `most` bytes at most; what is judged is what was opened.

    Raises  NotPlain, TooLarge, Changed, OSError
    """
    try:
        with _parent(root, path) as (folder, name):
            descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket
            raise NotPlain from error
        raise
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise NotPlain
        if found.st_size > most:
            raise TooLarge
        whole = bytearray()
        while len(whole) <= found.st_size and (piece := file.read(min(found.st_size + 1 - len(whole), CHUNK))):
            whole += piece
        if len(whole) != found.st_size:
            raise Changed
        return bytes(whole)


def blob_id(root: int, path: bytes, entry: Entry) -> str:
    """The id that git gives to this content. Raises Changed"""
    digest = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
    for piece in content(root, path, entry):
        digest.update(piece)
    return digest.hexdigest()


def files_below(root: int, folder: bytes, limit: int) -> Iterator[bytes]:
    """Paths of everything below a folder of the workspace, without what a git of its own keeps there.

    limit   how many files and folders are looked at, a folder's worth more at most
    Raises  OSError, for a link in the place of a folder too
    """
    pending = [folder.rstrip(b"/")]
    count = 0
    while pending and count < limit:
        here = pending.pop()
        with _parent(root, here + b"/.") as (opened, _), os.scandir(opened) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name.lower() == b".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    count += 1  # folders in folders without end are no way around the limit
                    pending.append(here + b"/" + name)
                else:
                    count += 1
                    yield here + b"/" + name


@contextmanager
def folder(path: Path) -> Iterator[int]:
    """Hold a folder open. Raises OSError, for a link too."""
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_beside(path: Path, folder_name: str, name: str, data: bytes) -> None:
    """Put a file into a folder of a workspace, made if it is missing; whatever bore that name before gives way.

    Raises  OSError, also when the folder is a link
    """
    with folder(path) as root:
        with suppress(FileExistsError):
            os.mkdir(folder_name, 0o700, dir_fd=root)
        within = os.open(folder_name, _FOLDER, dir_fd=root)
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=within)
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within)
            with os.fdopen(made, "wb") as file:
                file.write(data)
        finally:
            os.close(within)


@contextmanager
def made_folder(workspace: Path, parts: Sequence[str | bytes]) -> Iterator[int]:
    """A folder below the workspace, held open; made on the way, and never reached through a link. Raises OSError."""
    opened = os.open(workspace, _FOLDER)
    try:
        for part in parts:
            if part in {"..", b".."}:
                raise NotADirectoryError(part)
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=opened)
            deeper = os.open(part, _FOLDER, dir_fd=opened)
            os.close(opened)
            opened = deeper
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _parent(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """The open folder that holds the last part of `path`."""
    *folders, name = path.split(b"/")
    opened = os.dup(root)
    try:
        for part in folders:
            if part == b"..":
                raise NotADirectoryError(path)
            deeper = os.open(part, _FOLDER, dir_fd=opened)
            os.close(opened)
            opened = deeper
        yield opened, name
    finally:
        os.close(opened)
