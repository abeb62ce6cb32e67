"""What happens on a pull request, read as it stands: reviews, comments, checks, whether it can be merged.

Webhooks and the clock only say when to look. What is found is what GitHub holds now, so that one which was lost, came
twice or was made up changes nothing.

Source  docs.github.com/en/rest/pulls, /rest/checks/runs, /rest/collaborators/collaborators
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from dragoman import logs
from dragoman.errors import ForgeError
from dragoman.record import Record
from dragoman.repositories.github import GitHub, Kept

WORDS_MOST: Final = 5_000  # characters of one comment
LOG_MOST: Final = 4_000  # bytes of the end of a log
LOGS_MOST: Final = 3  # red checks whose log is read
CHECKS_S: Final = 600.0  # so long a red check waits for those that still run
RIGHTS_S: Final = 600.0  # how long it is remembered who may write
_WRITERS: Final = frozenset({"write", "maintain", "admin"})
_RED: Final = frozenset({"failure", "timed_out", "startup_failure"})
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
    body: str = ""
    user: _User | None = None
    path: str = ""
    line: int | None = None
    original_line: int | None = None
    in_reply_to_id: int | None = None
    diff_hunk: str = ""


class _Output(msgspec.Struct):
    title: str | None = None
    summary: str | None = None


class _App(msgspec.Struct):
    slug: str = ""


class _Check(msgspec.Struct):
    id: int
    name: str
    status: str
    conclusion: str | None = None
    completed_at: str | None = None
    output: _Output = msgspec.field(default_factory=_Output)
    app: _App | None = None


class _Checks(msgspec.Struct):
    check_runs: list[_Check]


class _Right(msgspec.Struct):
    permission: str = "none"


class Opinion(Record):
    """Words of a reviewer who may write to the repository.

    review  id of the review, 0 for a comment in a thread;  comment  id of the comment, 0 for a review as a whole
    thread  the comment that the thread began with;  where  "src/add.py:12" and the lines of the diff
    asks    changes are requested
    """

    author: str
    text: str
    review: int = 0
    comment: int = 0
    thread: int = 0
    where: str = ""
    asks: bool = False


class RedCheck(Record):
    """A check that is red: its name, and what it tells with the end of its log."""

    id: int
    name: str
    text: str


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
        self._texts: dict[int, str] = {}  # of red checks, by their ids: a log does not change

    async def read(self) -> PullState:
        """How it stands. Raises ForgeError."""
        pull: _Pull = await self._github.read(f"/pulls/{self._number}", _Pull, kept=self._kept)
        if pull.state != "open":
            by = pull.merged_by.login if pull.merged_by else ""
            return PullState(
                head=pull.head.sha, base=pull.base.ref, closed=True, merged=pull.merged, merged_by=by
            )  # fmt: skip
        red, ended = await self._checks(pull.head.sha)
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
        there: list[_Comment] = await self._github.read_all(place, _Comment)
        if any(mark in comment.body for comment in there):
            return
        path = f"{place}/{thread}/replies" if thread else place
        await self._github.write(path, {"body": f"{body.replace(_MARK, '')}\n\n{mark}"})

    # ── people ───────────────────────────────────────────────────────────
    async def _opinions(self) -> list[Opinion]:
        reviews: list[_Review] = await self._rows("/reviews", _Review)
        comments: list[_Comment] = await self._rows("/comments", _Comment)
        found = []
        for review in reviews:
            asks, words = review.state == "CHANGES_REQUESTED", (review.body or "").strip()
            if (asks or (words and review.state == "COMMENTED")) and await self._counts(review.user, words):
                author = review.user.login if review.user else ""
                found.append(Opinion(author=author, text=words[:WORDS_MOST], review=review.id, asks=asks))
        heeded = [comment for comment in comments if await self._counts(comment.user, comment.body)]
        return [*found, *map(_opinion, heeded)]

    async def _rows(self, what: str, row: type[Any]) -> list[Any]:
        return await self._github.read_all(f"/pulls/{self._number}{what}", row, kept=self._kept)

    async def _counts(self, user: _User | None, words: str) -> bool:
        """Whether it is heeded: a person's words, who may write to the repository, and none of our own."""
        if user is None or user.type != "User" or not user.login or _MARK in words:
            return False
        known, may = self._rights.get(user.login, (0.0, False))
        if not known or time.monotonic() - known > RIGHTS_S:
            may = await self._may_write(user.login)
            self._rights[user.login] = (time.monotonic(), may)
        return may

    async def _may_write(self, login: str) -> bool:
        try:
            right: _Right = await self._github.read(f"/collaborators/{quote(login)}/permission", _Right)
        except ForgeError as error:
            if error.kind != "missing":
                raise
            return False
        if right.permission not in _WRITERS:
            _log.info("reviewer.ignored", login=login, permission=right.permission)
        return right.permission in _WRITERS

    # ── checks ───────────────────────────────────────────────────────────
    async def _checks(self, head: str) -> tuple[list[RedCheck], bool]:
        """Those that are red, and whether all have ended. What is red waits for the others, for a while."""
        path = f"/commits/{head}/check-runs?filter=latest&per_page=100"
        runs: Sequence[_Check] = (await self._github.read(path, _Checks, kept=self._kept)).check_runs
        red = [run for run in runs if run.conclusion in _RED]
        ended = all(run.status == "completed" for run in runs)
        if not ended and not any(_age_s(run.completed_at) > CHECKS_S for run in red):
            return [], False
        return [
            RedCheck(id=run.id, name=run.name, text=await self._text(run, with_log=number < LOGS_MOST))
            for number, run in enumerate(red)
        ], ended

    async def _text(self, run: _Check, *, with_log: bool) -> str:
        """What a red check tells, and the end of its log."""
        if run.id in self._texts:
            return self._texts[run.id]
        told = [text.strip() for text in (run.output.title, run.output.summary) if text and text.strip()]
        if with_log and run.app is not None and run.app.slug == "github-actions":
            try:
                told.append("The end of its log:\n" + await self._github.log_of(run.id, LOG_MOST))
            except ForgeError as error:
                if error.retryable:
                    raise
                told.append(f"(Its log could not be read: {error})")
        self._texts[run.id] = "\n\n".join(told)[-(WORDS_MOST + LOG_MOST) :]
        return self._texts[run.id]


def _opinion(comment: _Comment) -> Opinion:
    line = comment.line or comment.original_line
    text = comment.body.strip()[:WORDS_MOST]
    if comment.in_reply_to_id is None and comment.diff_hunk:
        text += "\n\nThe lines it is about:\n" + comment.diff_hunk[-800:]
    return Opinion(
        author=comment.user.login if comment.user else "",
        text=text,
        comment=comment.id,
        thread=comment.in_reply_to_id or comment.id,
        where=f"{comment.path}:{line}" if line else comment.path,
    )


def _age_s(at: str | None) -> float:
    """Seconds since a moment that GitHub names ("2026-11-22T10:00:00Z"); 0 when it names none."""
    try:
        return time.time() - datetime.fromisoformat(at).timestamp() if at else 0.0
    except ValueError:
        return 0.0
