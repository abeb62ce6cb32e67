"""What happens on a pull request, read as it stands: reviews, comments, checks, statuses, whether it can be merged.

Webhooks and the clock only say when to look. What is found is what GitHub holds now, so that one which was lost, came
twice or was made up changes nothing.

Source  docs.github.com/en/rest/pulls, /rest/issues/comments, /rest/checks/runs, /rest/commits/statuses,
/rest/collaborators/collaborators
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
_RED_STATUS: Final = frozenset({"failure", "error"})
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


class _Status(msgspec.Struct):
    context: str
    state: str
    description: str | None = None
    target_url: str | None = None
    updated_at: str | None = None


class _Statuses(msgspec.Struct):
    statuses: list[_Status]


class _Right(msgspec.Struct):
    permission: str = "none"


class Opinion(Record):
    """Words of a reviewer who may write to the repository.

    key     by what it is known again: "review:3" as a whole, "comment:4" beside a line or in a thread, "beside:5" in the
            conversation
    thread  the comment that the thread began with; 0 without one
    where   "src/add.py:12"; empty beside no line
    asks    changes are requested
    """

    key: str
    author: str
    text: str
    thread: int = 0
    where: str = ""
    asks: bool = False


class RedCheck(Record):
    """A check or a commit status that is red: its name, and what it tells, a check of GitHub Actions with the end of its log.

    key  by what it is known again: "check:7", "status:1a2b3c… ci/build"
    """

    key: str
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
        self._told_statuses = False

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
        if any(mark in (comment.body or "") for comment in there):
            return
        path = f"{place}/{thread}/replies" if thread else place
        await self._github.write(path, {"body": f"{body.replace(_MARK, '')}\n\n{mark}"})

    # ── people ───────────────────────────────────────────────────────────
    async def _opinions(self) -> list[Opinion]:
        reviews: list[_Review] = await self._rows("/reviews", _Review)
        comments: list[_Comment] = await self._rows("/comments", _Comment)
        beside: list[_Comment] = await self._rows("/comments", _Comment, of="issues")
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

    async def _rows(self, what: str, row: type[Any], *, of: str = "pulls") -> list[Any]:
        return await self._github.read_all(f"/{of}/{self._number}{what}", row, kept=self._kept)

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
        statuses = await self._statuses(head)
        red_statuses = [one for one in statuses if one.state in _RED_STATUS]
        ended = all(run.status == "completed" for run in runs) and all(one.state != "pending" for one in statuses)
        since = [*(run.completed_at for run in red), *(one.updated_at for one in red_statuses)]
        if not ended and not any(_age_s(at) > CHECKS_S for at in since):
            return [], False
        found = [
            RedCheck(key=f"check:{run.id}", name=run.name, text=await self._text(run, with_log=number < LOGS_MOST))
            for number, run in enumerate(red)
        ]
        return [*found, *(_red_status(head, one) for one in red_statuses)], ended

    async def _statuses(self, head: str) -> list[_Status]:
        """The newest commit status of each context, of the API that is older than checks."""
        path = f"/commits/{head}/status?per_page=100"
        try:
            found: _Statuses = await self._github.read(path, _Statuses, kept=self._kept)
        except ForgeError as error:
            # A token of before may lack this one right. Its checks and reviews are heeded none the less.
            if error.kind != "right":
                raise
            if not self._told_statuses:
                _log.warning("statuses.unread", error=str(error))
            self._told_statuses = True
            return []
        return found.statuses

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


def _red_status(head: str, status: _Status) -> RedCheck:
    # Not known by its id: some systems repeat the same news of one commit again and again.
    told = [status.description or "", f"More about it: {status.target_url}" if status.target_url else ""]
    text = "\n\n".join(one for one in told if one.strip())
    return RedCheck(key=f"status:{head[:12]} {status.context}", name=status.context, text=text[:WORDS_MOST])


def _in_thread(comment: _Comment) -> Opinion:
    line = comment.line or comment.original_line
    text = (comment.body or "").strip()[:WORDS_MOST]
    if comment.in_reply_to_id is None and comment.diff_hunk:
        text += "\n\nThe lines it is about:\n" + comment.diff_hunk[-800:]
    return Opinion(
        key=f"comment:{comment.id}",
        author=_login(comment.user),
        text=text,
        thread=comment.in_reply_to_id or comment.id,
        where=f"{comment.path}:{line}" if line else comment.path,
    )


def _login(user: _User | None) -> str:
    return user.login if user else ""


def _age_s(at: str | None) -> float:
    """Seconds since a moment that GitHub names ("2026-11-22T10:00:00Z"); 0 when it names none."""
    try:
        return time.time() - datetime.fromisoformat(at).timestamp() if at else 0.0
    except ValueError:
        return 0.0
