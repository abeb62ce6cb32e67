"""The part of the pretend GitHub that is about what programs say of a commit: check runs, statuses, jobs of Actions.

Shapes follow docs.github.com: /rest/checks/runs, /rest/commits/statuses, /rest/actions/workflow-runs,
/rest/actions/workflow-jobs. A check here is one job of one workflow run, with the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dragoman.sim.forge_repository import Json, Repository

Answer = Callable[[str, Json], tuple[int, Any]]  # of the request's right, and of its body or query
Open = Callable[..., Repository]  # owner, repo, right, writes
_RUN = 50_000  # what a workflow run's id is more than its job's


class Checks:
    """What was said of each commit, the newest of each name; `next_id` gives ids."""

    def __init__(self, next_id: Callable[[], int]) -> None:
        self._next = next_id
        self._runs: dict[str, list[Json]] = {}  # by commit
        self._statuses: dict[str, list[Json]] = {}
        self._logs: dict[int, str] = {}

    def check(self, commit: str, name: str, conclusion: str | None, log: str, summary: str) -> Json:
        """A check has ended; without a conclusion it still runs."""
        made: Json = {
            "id": self._next(),
            "name": name,
            "head_sha": commit,
            "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion,
            "completed_at": _now() if conclusion else None,
            "output": {"title": None, "summary": summary or None, "text": None, "annotations_count": 0},
            "app": {"slug": "github-actions"},
        }
        self._logs[made["id"]] = log
        _replace(self._runs.setdefault(commit, []), "name", made)
        return made

    def status(self, commit: str, context: str, state: str, description: str, target_url: str) -> Json:
        """A system other than Actions says "error", "failure", "pending" or "success"."""
        made: Json = {
            "id": self._next(),
            "context": context,
            "state": state,
            "description": description or None,
            "target_url": target_url or None,
            "updated_at": _now(),
        }
        _replace(self._statuses.setdefault(commit, []), "context", made)
        return made

    def log_of(self, job: str) -> str | None:
        """The log of a job; None when there is none."""
        return self._logs.get(int(job)) if job.isdigit() else None

    # ── REST ─────────────────────────────────────────────────────────────
    def route(self, method: str, path: list[str], open_: Open) -> tuple[str, Answer] | None:
        """The label and the answer of a request; None when it is not about this."""
        match (method, path):
            case ("GET", ["repos", owner, repo, "commits", sha, "check-runs"]):
                return "checks", lambda right, _: (200, self._check_runs(open_(owner, repo, right), sha))
            case ("GET", ["repos", owner, repo, "commits", sha, "status"]):
                return "statuses", lambda right, _: (200, self._combined(open_(owner, repo, right), sha))
            case ("GET", ["repos", owner, repo, "actions", "runs"]):
                return "workflow_runs", lambda right, asked: (
                    200,
                    self._workflow_runs(open_(owner, repo, right), asked),
                )
            case ("GET", ["repos", owner, repo, "actions", "runs", number, "jobs"]):
                return "jobs", lambda right, _: (200, self._jobs(open_(owner, repo, right), int(number)))
            case _:
                return None

    def _check_runs(self, repository: Repository, sha: str) -> Json:
        found = self._runs.get(repository.git("rev-parse", sha), [])
        return {"total_count": len(found), "check_runs": found}

    def _combined(self, repository: Repository, sha: str) -> Json:
        commit = repository.git("rev-parse", sha)
        found = self._statuses.get(commit, [])
        states = {one["state"] for one in found}
        waits = not states or "pending" in states
        state = "failure" if states & {"error", "failure"} else "pending" if waits else "success"
        return {"state": state, "statuses": found, "sha": commit, "total_count": len(found)}

    def _workflow_runs(self, repository: Repository, asked: Json) -> Json:
        found = self._runs.get(repository.git("rev-parse", str(asked["head_sha"])), [])
        rows = [
            {"id": _RUN + one["id"], "name": "CI", "status": one["status"], "conclusion": one["conclusion"]}
            for one in found
        ]
        return {"total_count": len(rows), "workflow_runs": rows}

    def _jobs(self, repository: Repository, run: int) -> Json:
        del repository
        names = ("id", "name", "status", "conclusion", "completed_at")
        rows = [one for found in self._runs.values() for one in found if one["id"] == run - _RUN]
        return {"total_count": len(rows), "jobs": [{name: one[name] for name in names} for one in rows]}


def _replace(known: list[Json], by: str, made: Json) -> None:
    known[:] = [one for one in known if one[by] != made[by]] + [made]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
