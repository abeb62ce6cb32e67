"""What happens on a pull request, read as it stands: reviews, comments, checks, whether it can be merged.

Webhooks and the clock only say when to look. What is found is what GitHub holds now, so that one which was lost, came
twice or was made up changes nothing.

Source  docs.github.com/en/rest/pulls, /rest/issues/comments, /rest/collaborators/collaborators
"""

from __future__ import annotations

import time
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from dragoman import logs
from dragoman.errors import ForgeError
from dragoman.record import Record
from dragoman.repositories.github import GitHub, Kept
from dragoman.repositories.github_checks import Checks, RedCheck

T = TypeVar("T")

WORDS_MOST: Final = 5_000  # characters of one comment
LINES_MOST: Final = 800  # characters of the diff that a comment is about
RIGHTS_S: Final = 600.0  # how long it is remembered who may write
_WRITERS: Final = frozenset({"write", "maintain", "admin"})
_MARK: Final = "<!-- dragoman: reply"
_log = logs.get("review")


class _User(msgspec.Struct):
    login: str = ""
    type: str = "User"


class _Ref(msgspec.Struct):
    ref: str
    sha: str


class _Pull(msgspec.Struct):
    number: int
    state: str
    head: _Ref
    base: _Ref
    merged: bool = False
    merged_by: _User | None = None
    mergeable: bool | None = None
    mergeable_state: str = "unknown"


class _Review(msgspec.Struct):
    id: int
    state: str
    user: _User | None = None
    body: str | None = None


class _Comment(msgspec.Struct):
    id: int
    body: str | None = None
    user: _User | None = None
    path: str = ""
    line: int | None = None
    original_line: int | None = None
    in_reply_to_id: int | None = None
    diff_hunk: str = ""


class _Right(msgspec.Struct):
    permission: str = "none"


class Opinion(Record):
    """Words of a reviewer who may write to the repository.

    key     by what it is known again: "review:3" as a whole, "comment:4" beside a line or in a thread, "beside:5" in the
            conversation
    thread  the comment that the thread began with; 0 without one
    where   "src/add.py:12"; empty beside no line;  lines  the end of the diff there, for the first comment of a thread
    asks    changes are requested
    """

    key: str
    author: str
    text: str
    thread: int = 0
    where: str = ""
    lines: str = ""
    asks: bool = False


class PullState(Record):
    """A pull request as it stands.

    opinions  reviews and comments, oldest first; none of ours, none of programs
    red       checks of the newest commit that are red; none while others still run and may become so
    conflict  it cannot be merged into `base`
    settled   GitHub knows whether it can be merged; else look again soon
    running   checks of the newest commit have not ended
    """

    head: str
    base: str
    closed: bool = False
    merged: bool = False
    merged_by: str = ""
    opinions: tuple[Opinion, ...] = ()
    red: tuple[RedCheck, ...] = ()
    conflict: bool = False
    settled: bool = True
    running: bool = False


class PullRequestReader:
    """Looks at one pull request, again and again; what has not changed costs no request of the hour's quota."""

    def __init__(self, github: GitHub, number: int) -> None:
        self._github = github
        self._number = number
        self._kept: Kept = {}
        self._rights: dict[str, tuple[float, bool]] = {}
        self._checks = Checks(github)

    async def read(self) -> PullState:
        """How it stands. Raises ForgeError."""
        pull = await self._github.read(f"/pulls/{self._number}", _Pull, kept=self._kept)
        if pull.state != "open":
            by = pull.merged_by.login if pull.merged_by else ""
            return PullState(
                head=pull.head.sha, base=pull.base.ref, closed=True, merged=pull.merged, merged_by=by
            )  # fmt: skip
        red, ended = await self._checks.read(pull.head.sha)
        return PullState(
            head=pull.head.sha,
            base=pull.base.ref,
            opinions=tuple(await self._opinions()),
            red=tuple(red),
            conflict=pull.mergeable is False or pull.mergeable_state == "dirty",
            settled=pull.mergeable is not None,
            running=not ended,
        )

    async def answer(self, key: str, thread: int, body: str) -> None:
        """Answer in a thread, or beside the pull request when `thread` is 0; once for each key. Raises ForgeError."""
        mark = f"{_MARK} {key} -->"
        place = f"/pulls/{self._number}/comments" if thread else f"/issues/{self._number}/comments"
        there = await self._github.read_all(place, list[_Comment])
        if any(mark in (comment.body or "") for comment in there):
            return
        path = f"{place}/{thread}/replies" if thread else place
        await self._github.write(path, {"body": f"{logs.without_secrets(body.replace(_MARK, ''))}\n\n{mark}"})

    # ── people ───────────────────────────────────────────────────────────
    async def _opinions(self) -> list[Opinion]:
        reviews = await self._rows("/reviews", list[_Review])
        comments = await self._rows("/comments", list[_Comment])
        beside = await self._rows("/comments", list[_Comment], of="issues")
        found = []
        for review in reviews:
            asks, words = review.state == "CHANGES_REQUESTED", (review.body or "").strip()
            if (asks or (words and review.state == "COMMENTED")) and await self._counts(review.user, words):
                key, author = f"review:{review.id}", _login(review.user)
                found.append(Opinion(key=key, author=author, text=words[:WORDS_MOST], asks=asks))
        found += [_in_thread(one) for one in comments if await self._counts(one.user, one.body)]
        for one in beside:
            words = (one.body or "").strip()
            if words and await self._counts(one.user, words):
                found.append(Opinion(key=f"beside:{one.id}", author=_login(one.user), text=words[:WORDS_MOST]))
        return found

    async def _rows(self, what: str, rows_of: type[list[T]], *, of: str = "pulls") -> list[T]:
        return await self._github.read_all(f"/{of}/{self._number}{what}", rows_of, kept=self._kept)

    async def _counts(self, user: _User | None, words: str | None) -> bool:
        """Whether it is heeded: a person's words, who may write to the repository, and none of our own."""
        if user is None or user.type != "User" or not user.login or _MARK in (words or ""):
            return False
        known, may = self._rights.get(user.login, (0.0, False))
        if not known or time.monotonic() - known > RIGHTS_S:
            may = await self._may_write(user.login)
            self._rights[user.login] = (time.monotonic(), may)
        return may

    async def _may_write(self, login: str) -> bool:
        try:
            right = await self._github.read(f"/collaborators/{quote(login)}/permission", _Right)
        except ForgeError as error:
            if error.kind not in {"missing", "right"}:
                raise
            _log.warning("reviewer.unknown", login=login, error=str(error))
            return False
        if right.permission not in _WRITERS:
            _log.info("reviewer.ignored", login=login, permission=right.permission)
        return right.permission in _WRITERS


def _in_thread(comment: _Comment) -> Opinion:
    line = comment.line or comment.original_line
    return Opinion(
        key=f"comment:{comment.id}",
        author=_login(comment.user),
        text=(comment.body or "").strip()[:WORDS_MOST],
        thread=comment.in_reply_to_id or comment.id,
        where=f"{comment.path}:{line}" if line else comment.path,
        lines=comment.diff_hunk[-LINES_MOST:] if comment.in_reply_to_id is None else "",
    )


def _login(user: _User | None) -> str:
    return user.login if user else ""
