"""What checks say of a commit on GitHub: check runs, commit statuses, and GitHub Actions where check runs are hidden from us.

Fine-grained personal tokens cannot be given the right to read check runs; such a token sees what Actions ran, by
Actions' own routes, whose jobs have the ids of their check runs.

Source  docs.github.com/en/rest/checks/runs, /rest/commits/statuses, /rest/actions/workflow-runs, /rest/actions/workflow-jobs
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from dragoman import logs
from dragoman.errors import ForgeError
from dragoman.record import Record
from dragoman.repositories.github import GitHub, Kept

T = TypeVar("T")

WORDS_MOST: Final = 5_000  # characters of what a check tells
LOG_MOST: Final = 4_000  # bytes of the end of a log
LOGS_MOST: Final = 3  # red checks whose log is read
CHECKS_S: Final = 600.0  # so long a red check waits for those that still run
HIDDEN_S: Final = 3_600.0  # how long what our token may not see is not asked for again
_RED: Final = frozenset({"failure", "timed_out", "startup_failure"})
_RED_STATUS: Final = frozenset({"failure", "error"})
_ACTIONS: Final = "github-actions"
_log = logs.get("review")


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
    details_url: str | None = None
    output: _Output = msgspec.field(default_factory=_Output)
    app: _App | None = None


class _Checks(msgspec.Struct):
    check_runs: list[_Check] = []


class _Status(msgspec.Struct):
    context: str
    state: str
    description: str | None = None
    target_url: str | None = None
    updated_at: str | None = None


class _Statuses(msgspec.Struct):
    statuses: list[_Status] = []


class _WorkflowRun(msgspec.Struct):
    id: int
    name: str | None = None
    status: str | None = None
    conclusion: str | None = None


class _WorkflowRuns(msgspec.Struct):
    workflow_runs: list[_WorkflowRun] = []


class _Jobs(msgspec.Struct):
    jobs: list[_Check] = []


class RedCheck(Record):
    """A check or a commit status that is red: its name, and what it tells, a check of GitHub Actions with the end of its log.

    key  by what it is known again: "check:7", "status:1a2b3c… ci/build"
    """

    key: str
    name: str
    text: str


class Checks:
    """Reads the checks of commits, again and again; what has not changed costs no request of the hour's quota."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._kept: Kept = {}
        self._texts: dict[int, str] = {}  # of red checks, by their ids: a log does not change
        self._hidden: dict[str, float] = {}  # what our token may not see, and since when

    async def read(self, head: str) -> tuple[list[RedCheck], bool]:
        """Those of a commit that are red, and whether all have ended. What is red waits for the others, for a while.

        Raises  ForgeError
        """
        runs = await self._runs(head)
        statuses = await self._statuses(head)
        red = [run for run in runs if run.conclusion in _RED]
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

    async def _runs(self, head: str) -> list[_Check]:
        path = f"/commits/{head}/check-runs?filter=latest&per_page=100"
        found = await self._seen("check runs", path, _Checks)
        return found.check_runs if found is not None else await self._jobs(head)

    async def _jobs(self, head: str) -> list[_Check]:
        """What Actions ran: the jobs of workflows that are red, and of the others one row for all."""
        path = f"/actions/runs?head_sha={head}&per_page=100"
        found = await self._seen("workflow runs", path, _WorkflowRuns)
        rows: list[_Check] = []
        for run in found.workflow_runs if found is not None else ():
            if run.conclusion not in _RED:
                rows.append(_Check(id=run.id, name=run.name or "", status=run.status or "", conclusion=run.conclusion))
                continue
            jobs = await self._seen("jobs", f"/actions/runs/{run.id}/jobs?filter=latest&per_page=100", _Jobs)
            rows += jobs.jobs if jobs is not None else []
        for row in rows:
            row.app = _App(slug=_ACTIONS)
        return rows

    async def _statuses(self, head: str) -> list[_Status]:
        """The newest commit status of each context, of the API that is older than checks."""
        found = await self._seen("statuses", f"/commits/{head}/status?per_page=100", _Statuses)
        return found.statuses if found is not None else []

    async def _seen(self, what: str, path: str, shape: type[T]) -> T | None:
        """What is at a path; None when the token may not see it, for which nothing else has to suffer."""
        if time.monotonic() - self._hidden.get(what, -HIDDEN_S) < HIDDEN_S:
            return None
        try:
            return await self._github.read(path, shape, kept=self._kept)
        except ForgeError as error:
            if error.kind != "right":
                raise
            _log.warning("checks.hidden", what=what, error=str(error))
            self._hidden[what] = time.monotonic()
            return None

    async def _text(self, run: _Check, *, with_log: bool) -> str:
        """What a red check tells, and the end of its log or where more is to be found."""
        if run.id in self._texts:
            return self._texts[run.id]
        told = [text.strip() for text in (run.output.title, run.output.summary) if text and text.strip()]
        if run.app is None or run.app.slug != _ACTIONS:
            told += [_more(run.details_url)] if run.details_url else []
        elif with_log:
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
    told = [status.description or "", _more(status.target_url) if status.target_url else ""]
    text = "\n\n".join(one for one in told if one.strip())
    return RedCheck(key=f"status:{head[:12]} {status.context}", name=status.context, text=text[:WORDS_MOST])


def _more(url: str) -> str:
    return f"More about it: {url}"


def _age_s(at: str | None) -> float:
    """Seconds since a moment that GitHub names ("2026-11-22T10:00:00Z"); 0 when it names none."""
    try:
        return time.time() - datetime.fromisoformat(at).timestamp() if at else 0.0
    except ValueError:
        return 0.0
