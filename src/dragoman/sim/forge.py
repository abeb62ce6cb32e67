"""A pretend GitHub: repositories over HTTP with credentials, and the REST routes about pull requests.

Paths, shapes, codes and messages follow docs.github.com (REST API, version 2022-11-28). The REST face is at `/forge/api`,
repositories are at `/forge/git/OWNER/REPO.git`, served by git's own `git http-backend`. What is pushed is real, so
what a pull request holds is read from the repository.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from dragoman.sim.asgi import Receive, Scope, Send, header, read_body, send_json, send_whole, start
from dragoman.sim.forge_faults import Cut, Hold, Orders
from dragoman.sim.forge_repository import GIT_S, Json, Refused, Repository
from dragoman.sim.forge_reviews import Reviewing, etag_of

PREFIX: Final = "/forge/"
_HOOK: Final = """#!/bin/sh
# GitHub's words for a branch that a rule protects.
while read old new ref; do
    if grep -qxF "$ref" protected 2>/dev/null; then
        echo "error: GH006: Protected branch update failed for $ref." >&2
        exit 1
    fi
done
"""


class Forge:
    """The pretend GitHub; `url` is set by whoever serves it.

    folder   for the repositories
    tokens   what opens it, by right: "write" everything, "read" no push and no pull request, "contents" no pull request
    changed  called after each change
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str], changed: Callable[[], None] = lambda: None) -> None:
        self.url = ""
        self.tokens = dict(tokens)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []  # labels, oldest first
        self.asked_at: list[float] = []  # when, by the monotonic clock
        self.unchanged = 0  # how often a reply was known already
        self.seen: list[str] = []  # Authorization headers
        self.apps: dict[str, str] = {}  # id → the right of its installation's tokens
        self.granted_until = "2099-01-01T00:00:00Z"  # of what apps get
        self.hide_pulls = 0  # so many looks do not see a pull request that is there: it comes a moment later
        self._folder = folder
        self._changed = changed
        self.orders = Orders(changed)
        self.reviews = Reviewing()

    # ── what tests tell it ───────────────────────────────────────────────
    @property
    def api_url(self) -> str:
        """For GITHUB_API_URL."""
        return f"{self.url}{PREFIX}api"

    def git_url(self, name: str) -> str:
        """Where a repository is fetched from and pushed to."""
        return f"{self.url}{PREFIX}git/{name}.git"

    def add(self, name: str, source: Path) -> Repository:
        """A repository that begins as a copy of `source`."""
        folder = self._folder / f"{name}.git"
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--bare", "--", str(source), str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=GIT_S)
        made = self.repositories[name] = Repository(name, folder)
        made.git("config", "http.receivepack", "true")
        hook = folder / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK, encoding="utf-8")
        hook.chmod(0o755)
        return made

    def hold(self, label: str, *, after: bool = False) -> Hold:
        """Stop the next request of that label, before or after it is carried out: "push", "pulls.open", …"""
        return self.orders.hold(label, after=after)

    def refuse(
        self,
        label: str,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
    ) -> None:
        """Answer requests of that label so, `times` times or until `allow`."""
        self.orders.refuse(label, status, message, dict(headers or {}), times)

    def allow(self, label: str) -> None:
        """No longer refuse requests of that label."""
        self.orders.allow(label)

    # ── serving ──────────────────────────────────────────────────────────
    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except Cut:
            # An answer that has begun and ends without its last chunk: the server closes the connection.
            await start(send, 200, (("content-type", "application/json"),))
            await send({"type": "http.response.body", "body": b"[", "more_body": True})
            raise

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = unquote(scope["path"]).removeprefix(PREFIX)
        if authorization := header(scope, b"authorization"):
            self.seen.append(authorization)
        if path.startswith("logs/"):
            await self._log(path.split("/"), send, scope)
        elif path.startswith("git/"):
            await self._git(scope, path.removeprefix("git"), receive, send)
        else:
            await self._rest(scope, path.removeprefix("api").strip("/").split("/"), receive, send)

    def _note(self, label: str) -> None:
        self.requests.append(label)
        self.asked_at.append(time.monotonic())

    async def _rest(self, scope: Scope, path: list[str], receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        asked: Json = msgspec.json.decode(body) if body else {}
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        if path[:1] == ["repos"] and path[3:5] == ["actions", "jobs"]:
            self._note("log")
            place = f"{self.url}{PREFIX}logs/{path[5]}"
            await send_whole(send, 302 if self._right(scope) == "write" else 403, b"", (("location", place),))
            return
        label, answer = self._route(scope["method"], path)
        self._note(label)
        told = await self.orders.before(label)
        if told is None:
            try:
                status, reply = answer(self._right(scope), asked, query)
            except Refused as refused:
                status, reply = refused.status, refused.body
            self._changed()
            await self.orders.after(label)
            await self._send(scope, send, status, reply)
        else:
            status, message, headers = told
            await send_json(send, status, Refused(status, message).body, headers.items())

    async def _send(self, scope: Scope, send: Send, status: int, reply: Any) -> None:
        """An answer, or that it is the one which is known already."""
        body = msgspec.json.encode(reply)
        etag = etag_of(body)
        if status == 200 and header(scope, b"if-none-match") == etag:
            self.unchanged += 1
            await send_whole(send, 304, b"", (("etag", etag),))
            return
        await send_whole(send, status, body, (("content-type", "application/json"), ("etag", etag)))

    async def _log(self, path: list[str], send: Send, scope: Scope) -> None:
        """A log lies elsewhere: the address of one minute, then the text, without our token."""
        log = self.reviews.checks.log_of(path[-1])
        self.reviews.log_headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        body = (log or "").encode()
        await send_whole(send, 200 if log is not None else 404, body, (("content-type", "text/plain"),))

    def _route(
        self, method: str, path: list[str]
    ) -> tuple[str, Callable[[str, Json, Mapping[str, str]], tuple[int, Any]]]:
        match (method, path):
            case ("GET", ["repos", owner, repo, "pulls"]):
                return "pulls.find", lambda right, _, query: (200, self._find(owner, repo, right, query))
            case ("POST", ["repos", owner, repo, "pulls"]):
                return "pulls.open", lambda right, asked, _: (201, self._open(owner, repo, right, asked))
            case ("PATCH", ["repos", owner, repo, "pulls", number]):
                return "pulls.update", lambda right, asked, _: (200, self._update(owner, repo, number, right, asked))
            case ("GET", ["repos", owner, repo, "installation"]):
                return "installation", lambda right, *_: (200, self._installation(owner, repo, right))
            case ("POST", ["app", "installations", number, "access_tokens"]):
                return "access_tokens", lambda right, *_: (201, self._grant(number, right))
            case _:
                found = self.reviews.route(method, path, self._repository)
                if found is not None:
                    label, answer = found
                    return label, lambda right, asked, query: answer(right, asked or dict(query))
                return "unknown", lambda *_: (404, Refused(404, "Not Found").body)

    def _right(self, scope: Scope) -> str:
        """What the request's token may do. "" for none, "app" for an app's own signature."""
        scheme, _, given = (header(scope, b"authorization") or "").partition(" ")
        if scheme == "Basic":
            given = base64.b64decode(given).decode("utf-8", "replace").partition(":")[2]
        if given.count(".") == 2:
            return f"app:{_issuer(given)}"
        return self.tokens.get(given, "unknown" if given else "")

    def _repository(self, owner: str, repo: str, right: str, *, writes: bool = False) -> Repository:
        if right in {"", "unknown"}:
            raise Refused(401, "Bad credentials" if right else "Requires authentication")
        found = self.repositories.get(f"{owner}/{repo}")
        if found is None or right == "blind":
            raise Refused(404, "Not Found")
        if writes and right != "write":
            raise Refused(403, "Resource not accessible by personal access token")
        return found

    # ── pull requests ────────────────────────────────────────────────────
    def _find(self, owner: str, repo: str, right: str, query: Mapping[str, str]) -> list[Json]:
        found = self._repository(owner, repo, right)
        if self.hide_pulls:
            self.hide_pulls -= 1
            return []
        state, head = query.get("state", "open"), query.get("head", "")
        rows = [pull for pull in reversed(found.pulls) if state in ("all", pull["state"])]
        return [pull for pull in rows if head in ("", pull["head"]["label"])][: int(query.get("per_page", "30"))]

    def _open(self, owner: str, repo: str, right: str, asked: Json) -> Json:
        found = self._repository(owner, repo, right, writes=True)
        head, base = str(asked.get("head", "")), str(asked.get("base", ""))
        for field, branch in (("head", head), ("base", base)):
            if found.tip(branch) is None:
                raise Refused(
                    422, "Validation Failed", [{"resource": "PullRequest", "field": field, "code": "invalid"}]
                )
        if any(pull["head"]["ref"] == head for pull in found.open_pulls()):
            raise _invalid(f"A pull request already exists for {owner}:{head}.")
        if found.git("rev-list", "--max-count=1", f"refs/heads/{head}", f"^refs/heads/{base}") == "":
            raise _invalid(f"No commits between {base} and {head}")
        number = len(found.pulls) + 1
        pull: Json = {
            "id": number,
            "number": number,
            "state": "open",
            "title": asked.get("title", ""),
            "body": asked.get("body"),
            "draft": bool(asked.get("draft", False)),
            "html_url": f"{self.url}/{owner}/{repo}/pull/{number}",
            "url": f"{self.api_url}/repos/{owner}/{repo}/pulls/{number}",
            "head": {"ref": head, "label": f"{owner}:{head}", "sha": found.tip(head)},
            "base": {"ref": base, "label": f"{owner}:{base}", "sha": found.tip(base)},
            "merged_at": None,
        }
        found.pulls.append(pull)
        return pull

    def _update(self, owner: str, repo: str, number: str, right: str, asked: Json) -> Json:
        found = self._repository(owner, repo, right, writes=True)
        pull = next((one for one in found.pulls if str(one["number"]) == number), None)
        if pull is None:
            raise Refused(404, "Not Found")
        pull.update({name: asked[name] for name in ("title", "body", "state") if name in asked})
        return pull

    # ── apps ─────────────────────────────────────────────────────────────
    def _installation(self, owner: str, repo: str, right: str) -> Json:
        app = right.removeprefix("app:")
        if not right.startswith("app:") or app not in self.apps:
            raise Refused(401, "A JSON web token could not be decoded")
        if f"{owner}/{repo}" not in self.repositories:
            raise Refused(404, "Not Found")
        return {"id": int(app), "account": {"login": owner}, "app_id": int(app)}

    def _grant(self, number: str, right: str) -> Json:
        if right != f"app:{number}" or number not in self.apps:
            raise Refused(401, "A JSON web token could not be decoded")
        token = f"ghs_{len(self.tokens):04}{os.urandom(12).hex()}"
        self.tokens[token] = self.apps[number]
        return {"token": token, "expires_at": self.granted_until, "permissions": {"contents": "write"}}

    # ── git ──────────────────────────────────────────────────────────────
    async def _git(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        query = scope["query_string"].decode()
        pushes = "git-receive-pack" in path or "service=git-receive-pack" in query
        label = "push" if path.endswith("/git-receive-pack") else "fetch" if path.endswith("-pack") else "refs"
        self._note(label)
        told = await self.orders.before(label)
        right = self._right(scope)
        name = path.strip("/").partition(".git")[0]
        if told is not None:
            status, message, headers = told
            await send_whole(send, status, message.encode(), tuple(headers.items()))
        elif right in {"", "unknown"}:
            asks = (("www-authenticate", 'Basic realm="GitHub"'),)
            await send_whole(send, 401, b"Invalid username or token.", asks)
        elif name not in self.repositories or right == "blind":
            await send_whole(send, 404, b"Repository not found.", ())
        elif pushes and right == "read":
            await send_whole(send, 403, f"Permission to {name}.git denied to the token.".encode(), ())
        else:
            await self._http_backend(scope, path, query, body, label, send)

    async def _http_backend(self, scope: Scope, path: str, query: str, body: bytes, label: str, send: Send) -> None:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_PROJECT_ROOT": str(self._folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": scope["method"],
            "CONTENT_TYPE": header(scope, b"content-type") or "",
            "HTTP_CONTENT_ENCODING": header(scope, b"content-encoding") or "",
            "GIT_PROTOCOL": header(scope, b"git-protocol") or "",
            "REMOTE_USER": "x-access-token",
        }
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(body), GIT_S)
        self._changed()
        await self.orders.after(label)
        head, _, payload = output.partition(b"\r\n\r\n")
        rows = [row.partition(": ") for row in head.decode("latin-1").split("\r\n")]
        headers = {name.lower(): value for name, _, value in rows}
        status = int(headers.pop("status", "200").split()[0])
        await send_whole(send, status, payload, tuple(headers.items()))


def _invalid(message: str) -> Refused:
    return Refused(422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": message}])


def _issuer(token: str) -> str:
    """Who says to have signed a JSON Web Token; the signature is not looked at."""
    claims = token.split(".")[1]
    try:
        return str(msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iss"])
    except (ValueError, KeyError, TypeError):
        return ""
