"""Looks for what an agent put out for people, as reading.py reads: no link leads out of the workspace, nothing hangs.

The folder is the agent's and may hold anything: a link in its own place, pipes, thousands of files, names of any bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from dragoman.record import Record
from dragoman.repositories import reading

LISTED = 1_000  # files and folders; what lies beyond is not looked at
_MARK = 20  # hexadecimal digits of a digest: 80 bits


class Found(Record):
    """A file in the folder.

    path   within the workspace
    name   below the folder, as text
    size   bytes; None when it is a link or no plain file
    mark   differs whenever the content may differ, without its being read
    """

    path: bytes
    name: str
    size: int | None
    mark: str


def find_files(workspace: Path, folder: str) -> list[Found]:
    """What lies in a folder of the workspace, the newest first, without what is hidden; empty when there is no folder.

    Raises  OSError, also when the folder is a link
    """
    root_of = os.fsencode(folder)
    found: list[tuple[int, Found]] = []
    with reading.folder(workspace) as root:
        try:
            paths = list(islice(reading.files_below(root, root_of, LISTED), LISTED))
        except FileNotFoundError:
            return []
        for path in paths:
            below = path[len(root_of) + 1 :]
            if any(part.startswith(b".") for part in below.split(b"/")):
                continue
            entry = reading.look(root, path)
            plain = entry is not None and entry.mode != "120000"
            stamp = entry.stamp if entry is not None else ()
            mark = _mark([path, *(str(number).encode() for number in stamp)])
            name = below.decode("utf-8", "replace")
            size = entry.size if entry is not None and plain else None
            found.append((stamp[0] if stamp else 0, Found(path=path, name=name, size=size, mark=mark)))
    found.sort(key=lambda each: (-each[0], each[1].path))
    return [file for _, file in found]


def read_file(workspace: Path, path: bytes, most: int) -> tuple[bytes, str]:
    """The content of a file, of `most` bytes at most, and the mark of that content.

    Raises  reading.NotPlain, TooLarge, Changed; OSError
    """
    with reading.folder(workspace) as root:
        content = reading.plain_content(root, path, most)
    return content, _mark([b"", content])


def _mark(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()[:_MARK]
