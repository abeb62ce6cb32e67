"""The part of the pretend GitHub that is about pull requests after they were opened: reviews, checks, merges, webhooks.

Shapes follow docs.github.com: /rest/pulls/reviews, /rest/pulls/comments, /rest/issues/comments,
/rest/collaborators/collaborators, /webhooks/webhook-events-and-payloads. Whether a pull request can be merged is tried with git.
"""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from dragoman.sim.forge_checks import Answer, Checks, Open
from dragoman.sim.forge_repository import Json, Refused, Repository

FIRST_ID = 1_000
AT = "2026-11-22T10:00:00Z"


class Talk:
    """What happened on one pull request."""

    def __init__(self) -> None:
        self.reviews: list[Json] = []
        self.comments: list[Json] = []  # in the diff
        self.beside: list[Json] = []  # in the conversation


class Hook:
    """A webhook: the exact bytes and headers; `statuses` of the answers so far."""

    def __init__(self, event: str, payload: Json, secret: str) -> None:
        self.raw = msgspec.json.encode(payload)
        self.headers = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/pretend",
            "x-github-event": event,
            "x-github-delivery": str(uuid.uuid4()),
            "x-hub-signature-256": "sha256=" + hmac.digest(secret.encode(), self.raw, "sha256").hex(),
        }
        self.statuses: list[int] = []


class Reviewing:
    """People and programs act here, on pull requests by repository and number; REST shows it.

    us       the login of the token that writes
    rights   permission by login, or by "login@owner/repo", of GitHub's "admin", "write", "read", "none"; whoever is not named has "none"
    working_out  so many looks at a pull request find that it is not known yet whether it can be merged
    checks   what programs said of commits
    hooks    webhooks, oldest first; those not sent yet are sent by `deliver`
    """

    def __init__(self, us: str = "dragoman-bot") -> None:
        self.us = us
        self.rights: dict[str, str] = {}
        self.working_out = 0
        self.hooks: list[Hook] = []
        self.hook_url = ""
        self.hook_secret = ""
        self.log_headers: list[dict[str, str]] = []  # of requests for logs
        self._talks: dict[tuple[str, int], Talk] = {}
        self._last = FIRST_ID
        self.checks = Checks(self._next)
        self._sent = 0

    # ── what people and programs do ──────────────────────────────────────
    def talk(self, repository: Repository, number: int) -> Talk:
        """What was said on a pull request."""
        return self._talks.setdefault((repository.name, number), Talk())

    def review(
        self,
        repository: Repository,
        number: int,
        by: str,
        body: str = "",
        *,
        state: str = "CHANGES_REQUESTED",
        lines: Sequence[tuple[str, int, str]] = (),
    ) -> Json:
        """Submit a review; `lines` are comments in the diff: path, line, words."""
        talk = self.talk(repository, number)
        made: Json = {
            "id": self._next(),
            "user": self._user(by),
            "body": body,
            "state": state,
            "commit_id": self._pull(repository, number)["head"]["sha"],
            "author_association": "CONTRIBUTOR",
            "submitted_at": AT,
        }
        talk.reviews.append(made)
        self._hook(repository, number, "pull_request_review", "submitted", review=made)
        for path, line, words in lines:
            comment = self._comment(by, words, path=path, line=line, review=made["id"])
            talk.comments.append(comment)
            self._hook(repository, number, "pull_request_review_comment", "created", comment=comment)
        return made

    def comment(self, repository: Repository, number: int, by: str, words: str, *, under: int | None = None) -> Json:
        """One comment in the diff, or under another one."""
        talk = self.talk(repository, number)
        first = next((one for one in talk.comments if one["id"] == under), None)
        path, line = (first["path"], first["line"]) if first else ("readme.md", 1)
        made = self._comment(by, words, path=path, line=line, review=self._next(), under=under)
        talk.comments.append(made)
        self._hook(repository, number, "pull_request_review_comment", "created", comment=made)
        return made

    def remark(self, repository: Repository, number: int, by: str, words: str) -> Json:
        """Words in the conversation, in no thread."""
        made: Json = {"id": self._next(), "user": self._user(by), "body": words, "created_at": AT}
        self.talk(repository, number).beside.append(made)
        about = {"number": number, "pull_request": {"url": self._pull(repository, number)["url"]}}
        self._hook(repository, None, "issue_comment", "created", issue=about, comment=made)
        return made

    def status(
        self,
        repository: Repository,
        number: int,
        context: str,
        state: str,
        *,
        description: str = "",
        target_url: str = "",
    ) -> Json:
        """A commit status of the newest commit: "error", "failure", "pending" or "success"."""
        head = self._head(repository, number)
        made = self.checks.status(head, context, state, description, target_url)
        self._hook(repository, None, "status", "", sha=head, **{name: made[name] for name in ("context", "state")})
        return made

    def check(
        self,
        repository: Repository,
        number: int,
        name: str,
        conclusion: str | None,
        log: str = "",
        *,
        summary: str = "",
    ) -> Json:
        """A check of the newest commit has ended; None: it still runs."""
        made = self.checks.check(self._head(repository, number), name, conclusion, log, summary)
        extra = {"check_run": {**made, "pull_requests": [{"number": number}]}}
        self._hook(repository, None, "check_run", "completed" if conclusion else "created", **extra)
        return made

    def close(self, repository: Repository, number: int, by: str, *, merged: bool = True) -> None:
        """Merge a pull request, or close it."""
        pull = self._pull(repository, number)
        pull["state"] = "closed"
        if merged:
            repository.git("update-ref", f"refs/heads/{pull['base']['ref']}", self._head(repository, number))
            pull.update(merged=True, merged_at=AT, merged_by=self._user(by))
        self._hook(repository, number, "pull_request", "closed")

    def pushed(self, repository: Repository, branch: str) -> None:
        """Somebody has pushed to a branch."""
        self._hook(repository, None, "push", "", ref=f"refs/heads/{branch}")

    async def deliver(self, *, copies: int = 1, secret: str | None = None) -> list[int]:
        """Send the webhooks that were not sent yet, each so often; the answers."""
        waiting, self._sent = self.hooks[self._sent :], len(self.hooks)
        statuses = []
        for hook in waiting:
            statuses += [await self.send(hook, secret=secret) for _ in range(copies)]
        return statuses

    async def send(self, hook: Hook, *, secret: str | None = None) -> int:
        """Send one, again or with another signature; the answer."""
        headers = dict(hook.headers)
        if secret is not None:
            headers["x-hub-signature-256"] = "sha256=" + hmac.digest(secret.encode(), hook.raw, "sha256").hex()
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.post(self.hook_url, data=hook.raw, headers=headers) as reply,
        ):
            hook.statuses.append(reply.status)
            return reply.status

    # ── REST ─────────────────────────────────────────────────────────────
    def route(self, method: str, path: list[str], open_: Open) -> tuple[str, Answer] | None:
        """The label and the answer of a request; None when it is not about this."""
        match (method, path):
            case ("GET", ["repos", owner, repo, "pulls", number]):
                return "pulls.get", lambda right, _: (200, self._shown(open_(owner, repo, right), int(number)))
            case ("GET", ["repos", owner, repo, "pulls", number, "reviews"]):
                return "reviews", lambda right, _: (200, self.talk(open_(owner, repo, right), int(number)).reviews)
            case ("GET", ["repos", owner, repo, "pulls", number, "comments"]):
                return "comments", lambda right, _: (200, self.talk(open_(owner, repo, right), int(number)).comments)
            case ("GET", ["repos", owner, repo, "issues", number, "comments"]):
                return "beside", lambda right, _: (200, self.talk(open_(owner, repo, right), int(number)).beside)
            case ("POST", ["repos", owner, repo, "pulls", number, "comments", under, "replies"]):
                return "reply", lambda right, asked: (
                    201,
                    self._reply(open_(owner, repo, right, writes=True), int(number), int(under), asked),
                )
            case ("POST", ["repos", owner, repo, "issues", number, "comments"]):
                return "reply", lambda right, asked: (
                    201,
                    self._beside(open_(owner, repo, right, writes=True), int(number), asked),
                )
            case ("GET", ["repos", owner, repo, "collaborators", login, "permission"]):
                return "permission", lambda right, _: (200, self._permission(open_(owner, repo, right).name, login))
            case _:
                return self.checks.route(method, path, open_)

    def _shown(self, repository: Repository, number: int) -> Json:
        pull = self._pull(repository, number)
        pull["head"]["sha"], pull["base"]["sha"] = (
            self._head(repository, number),
            repository.tip(pull["base"]["ref"]),
        )
        mergeable: bool | None = None
        if self.working_out:
            self.working_out -= 1
        elif pull["state"] == "open":
            mergeable = _merges(repository, pull["base"]["sha"], pull["head"]["sha"])
        state = {None: "unknown", True: "clean", False: "dirty"}[mergeable]
        merged = bool(pull.get("merged"))
        return {**pull, "user": self._user(self.us), "merged": merged, "mergeable": mergeable, "mergeable_state": state}

    def _reply(self, repository: Repository, number: int, under: int, asked: Json) -> Json:
        talk = self.talk(repository, number)
        first = next((one for one in talk.comments if one["id"] == under and one["in_reply_to_id"] is None), None)
        if first is None:
            raise Refused(404, "Not Found")
        made = self._comment(
            self.us, str(asked["body"]), path=first["path"], line=first["line"], review=self._next(), under=under
        )
        talk.comments.append(made)
        self._hook(repository, number, "pull_request_review_comment", "created", comment=made)
        return made

    def _beside(self, repository: Repository, number: int, asked: Json) -> Json:
        return self.remark(repository, number, self.us, str(asked["body"]))

    def _permission(self, repository: str, login: str) -> Json:
        right = self.rights.get(f"{login}@{repository}", self.rights.get(login, "none"))
        return {"permission": right, "role_name": right, "user": self._user(login)}

    # ── small things ─────────────────────────────────────────────────────
    def _next(self) -> int:
        self._last += 1
        return self._last

    def _user(self, login: str) -> Json:
        return {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"}

    def _comment(self, by: str, words: str, *, path: str, line: int, review: int, under: int | None = None) -> Json:
        return {
            "id": self._next(),
            "pull_request_review_id": review,
            "in_reply_to_id": under,
            "user": self._user(by),
            "body": words,
            "path": path,
            "line": line,
            "original_line": line,
            "side": "RIGHT",
            "diff_hunk": f"@@ -0,0 +{line} @@\n+line {line}",
            "author_association": "CONTRIBUTOR",
            "created_at": AT,
        }

    def _pull(self, repository: Repository, number: int) -> Json:
        found = next((pull for pull in repository.pulls if pull["number"] == number), None)
        if found is None:
            raise Refused(404, "Not Found")
        return found

    def _head(self, repository: Repository, number: int) -> str:
        return repository.tip(self._pull(repository, number)["head"]["ref"]) or ""

    def _hook(self, repository: Repository, number: int | None, event: str, action: str, **more: Any) -> None:
        pages = [pull["html_url"].rpartition("/pull/")[0] for pull in repository.pulls]
        payload: Json = {
            "repository": {"full_name": repository.name, "html_url": pages[0] if pages else ""},
            "sender": self._user("somebody"),
            **more,
        }
        if action:
            payload["action"] = action
        if number is not None:
            payload |= {"number": number, "pull_request": self._pull(repository, number)}
        self.hooks.append(Hook(event, payload, self.hook_secret))


def etag_of(body: bytes) -> str:
    """What GitHub calls a reply, so that it need not be sent again."""
    return f'W/"{hashlib.sha256(body).hexdigest()}"'


def _merges(repository: Repository, base: str, head: str) -> bool:
    try:
        repository.git("merge-tree", "--write-tree", base, head)
    except subprocess.CalledProcessError:
        return False
    return True
