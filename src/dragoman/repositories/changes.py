"""What a branch holds, read in the trusted repository."""

from __future__ import annotations

import re
from typing import Final

from dragoman.record import Record
from dragoman.repositories.git import git
from dragoman.repositories.trusted import TrustedRepository

COMMITS_SHOWN: Final = 20
_TEST: Final = re.compile(
    r"(^|/)(tests?|specs?|__tests__)/|(^|/)(test_[^/]*|[^/]*[._-](test|spec)s?\.[^/]+)$", re.IGNORECASE
)


class Changes(Record):
    """The commits between two points, and what they changed together.

    commits  "1a2b3c4 Subject", oldest first, the first twenty; `count` of all
    tests    paths of tests that were added or changed
    """

    commits: tuple[str, ...] = ()
    count: int = 0
    files: int = 0
    added: int = 0
    removed: int = 0
    tests: tuple[str, ...] = ()


async def changes_between(trusted: TrustedRepository, since: str, tip: str, *, deadline_s: float = 60.0) -> Changes:
    """What `tip` has that `since` has not. Raises GitError."""
    log = await git(
        "log", "--reverse", "--no-show-signature", "--format=%h %s", tip, f"^{since}", "--",
        cwd=trusted.path, deadline_s=deadline_s,
    )  # fmt: skip
    lines = log.decode("utf-8", "replace").splitlines()
    # From where they parted: what others did to the base meanwhile is no part of it.
    merge_base = await git("merge-base", since, tip, cwd=trusted.path, deadline_s=deadline_s, ok_codes=(0, 1))
    start = merge_base.decode().strip() or since
    stat = await git(
        "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", start, tip, "--",
        cwd=trusted.path, deadline_s=deadline_s,
    )  # fmt: skip
    rows = [row.split("\t", 2) for row in stat.decode("utf-8", "replace").split("\0") if row.count("\t") >= 2]
    return Changes(
        commits=tuple(lines[:COMMITS_SHOWN]),
        count=len(lines),
        files=len(rows),
        added=sum(int(row[0]) for row in rows if row[0].isdigit()),
        removed=sum(int(row[1]) for row in rows if row[1].isdigit()),
        tests=tuple(row[2] for row in rows if _TEST.search(row[2])),
    )
