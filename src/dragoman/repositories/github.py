"""Pull requests on GitHub, by REST: one a branch, found by its branch and made or brought up to date.

Source  docs.github.com/en/rest/pulls/pulls, /rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from dragoman import logs
from dragoman.errors import ForgeError
from dragoman.record import Record
from dragoman.repositories.trusted import Token

API_URL: Final = "https://api.github.com"
DEADLINE_S: Final = 20.0
BEGIN: Final = "<!-- dragoman: begin -->"
FACTS: Final = "<!-- dragoman: facts -->"
END: Final = "<!-- dragoman: end -->"
PAGE: Final = 100  # rows; the most that GitHub gives
MOST_PAGES: Final = 10
_REPLY_LIMIT: Final = 8 * 1024 * 1024
_LONGEST_WAIT_S: Final = 3_600.0

T = TypeVar("T")


class PullRequest(Record):
    """An open pull request; `url` is for people."""

    number: int
    url: str
    title: str
    body: str


class _Wire(msgspec.Struct):
    number: int
    html_url: str
    title: str = ""
    body: str | None = None


class _Complaint(msgspec.Struct):
    message: str = ""
    errors: list[Any] = []


# What was read, by path: what GitHub calls it, and the reply. Read again it costs nothing unless it has changed.
Kept = dict[str, tuple[str, bytes]]


class GitHub:
    """The pull requests of one repository.

    api_url  GITHUB_API_URL, without a slash at its end
    name     "owner/repo"
    token    gives what opens it; asked before every request, since it may end
    """

    def __init__(self, api_url: str, name: str, token: Token) -> None:
        self._repository = f"{api_url.rstrip('/')}/repos/{quote(name)}"
        self._owner = name.partition("/")[0]
        self._token = token

    async def offer(
        self, branch: str, base: str, *, title: str, body: str, facts: str = "", keep: bool = False
    ) -> PullRequest:
        """Have one open pull request from `branch` into `base`: made, or the one that is there brought up to date.

        body    replaces what we wrote before; what people wrote around it stays, and so does their title
        facts   come after it
        keep    our body of before stays, and only the facts are replaced
        Raises  ForgeError, of kind "nothing" when the branch holds nothing that the base has not
        """
        title = logs.without_secrets(title)
        ours = logs.without_secrets(f"{BEGIN}\n{_unmarked(body)}\n{FACTS}\n\n{_unmarked(facts)}\n{END}")
        found = await self._find(branch)
        if found is None:
            try:
                return await self._open(branch, base, title, ours)
            except ForgeError as error:
                # Somebody else, or an attempt of ours that was cut off, was faster.
                if "already exists" not in str(error) or (found := await self._find(branch)) is None:
                    raise
        return await self._update(found, ours, keep=keep)

    async def _find(self, branch: str) -> PullRequest | None:
        query = {"head": f"{self._owner}:{branch}", "state": "open", "per_page": "1"}
        rows = await self._ask("GET", "/pulls", list[_Wire], params=query)
        return _read(rows[0]) if rows else None

    async def _open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        asked = {"title": title, "head": branch, "base": base, "body": body}
        return _read(await self._ask("POST", "/pulls", _Wire, body=asked))

    async def _update(self, known: PullRequest, ours: str, *, keep: bool) -> PullRequest:
        before, begin, rest = known.body.partition(BEGIN)
        earlier, end, after = rest.partition(END)
        if keep and FACTS in earlier:
            ours = BEGIN + earlier.partition(FACTS)[0] + FACTS + ours.partition(FACTS)[2]
        body = before + ours + after if begin and end else f"{known.body}\n\n{ours}".strip()
        if body == known.body:
            return known
        return _read(await self._ask("PATCH", f"/pulls/{known.number}", _Wire, body={"body": body}))

    # ── for what happens on a pull request ───────────────────────────────
    async def read(self, path: str, shape: type[T], *, kept: Kept | None = None) -> T:
        """What is at a path below the repository.

        kept    what was read before; filled
        Raises  ForgeError
        """
        etag, before = (kept or {}).get(path, ("", b""))
        status, headers, reply = await ask(
            "GET", self._repository + path, f"Bearer {await self._token()}", etag=etag
        )  # fmt: skip
        if status == 304:
            return read_reply(before, shape)
        if status >= 300:
            raise refusal(status, headers, reply)
        if kept is not None and (named := headers.get("etag")):
            kept[path] = (named, reply)
        return read_reply(reply, shape)

    async def read_all(self, path: str, rows_of: type[list[T]], *, kept: Kept | None = None) -> list[T]:
        """All rows of a list, page by page, the first MOST_PAGES. Raises ForgeError."""
        rows: list[T] = []
        for page in range(1, MOST_PAGES + 1):
            found = await self.read(f"{path}?per_page={PAGE}&page={page}", rows_of, kept=kept)
            rows += found
            if len(found) < PAGE:
                break
        return rows

    async def write(self, path: str, body: object) -> None:
        """Make something below the repository. Raises ForgeError."""
        await self._ask("POST", path, msgspec.Raw, body=body)

    async def log_of(self, job: int, most: int) -> str:
        """The end of the log of a job of GitHub Actions, at most so many bytes. Raises ForgeError.

        GitHub answers with an address of one minute; our token does not go along there.
        """
        path = f"{self._repository}/actions/jobs/{job}/logs"
        status, headers, reply = await ask("GET", path, f"Bearer {await self._token()}")
        if status not in {302, 307} or not (place := headers.get("location")):
            raise refusal(status, headers, reply)
        return await _end_of(place, most, secure=path.startswith("https:"))

    async def _ask(
        self,
        method: str,
        path: str,
        shape: type[T],
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> T:
        status, headers, reply = await ask(
            method, self._repository + path, f"Bearer {await self._token()}", params=params, body=body
        )
        if status >= 300:
            raise refusal(status, headers, reply)
        return read_reply(reply, shape)


async def ask(
    method: str,
    url: str,
    authorization: str,
    *,
    params: Mapping[str, str] | None = None,
    body: object = None,
    etag: str = "",
) -> tuple[int, Mapping[str, str], bytes]:
    """One request, with a deadline. Raises ForgeError of kind "away"."""
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "dragoman",
        "Authorization": authorization,
    }
    if etag:
        headers["If-None-Match"] = etag
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as client,
            # Not followed: a token would go along to wherever it leads.
            client.request(method, url, params=params, json=body, headers=headers, allow_redirects=False) as reply,
        ):
            whole = bytearray()
            async for chunk in reply.content.iter_any():
                whole += chunk
                if len(whole) > _REPLY_LIMIT:
                    raise ForgeError("GitHub's reply is longer than any that it documents", "other")
            return reply.status, reply.headers, bytes(whole)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise ForgeError(f"GitHub did not answer ({type(error).__name__})", "away", retryable=True) from None


async def _end_of(url: str, most: int, *, secure: bool) -> str:
    """The last bytes of a text elsewhere, as far as it comes within the deadline. Raises ForgeError."""
    if secure and not url.startswith("https://"):
        raise ForgeError("GitHub sent us to an address without encryption", "other")
    end = bytearray()
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as client,
            client.get(url, allow_redirects=False) as reply,
        ):
            if reply.status != 200:
                raise ForgeError(f"the log was answered with {reply.status}", "other")
            async for chunk in reply.content.iter_any():
                end += chunk
                del end[:-most]
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ForgeError(f"the log did not come ({type(error).__name__})", "away", retryable=True) from None
    return end.decode("utf-8", "replace")


def read_reply(reply: bytes, shape: type[T]) -> T:
    """Decode a reply. Raises ForgeError."""
    try:
        return msgspec.json.decode(reply, type=shape)
    except msgspec.DecodeError as error:
        raise ForgeError(f"GitHub's reply has another shape than documented: {error}", "other") from None


def refusal(status: int, headers: Mapping[str, str], reply: bytes) -> ForgeError:
    """What GitHub said no to.

    status  401 the token, 403 and 404 its rights, 422 the request; 403 and 429 also stand for rate limits
    """
    said = f"GitHub said {status}: {_words(reply)}"
    if status == 429 or (status == 403 and _is_limit(headers, said)):
        return ForgeError(said, "limited", retryable=True, retry_after_s=_wait_s(headers))
    if status >= 500 or status == 408:
        return ForgeError(said, "away", retryable=True)
    if status == 401:
        return ForgeError(said, "credentials")
    if status == 403:
        return ForgeError(said, "right")
    if status in {301, 302, 307, 308}:
        return ForgeError(f"{said} (it moved; correct its name and url under [[repositories]])", "missing")
    if status == 404:
        return ForgeError(said, "missing")
    if status == 422 and "no commits between" in said.lower():
        return ForgeError(said, "nothing")
    if status == 422 and "base invalid" in said:
        return ForgeError(said, "base")
    return ForgeError(said, "other")


def _unmarked(text: str) -> str:
    """Text of ours without what would be taken for its own bounds."""
    for mark in (BEGIN, FACTS, END):
        text = text.replace(mark, "")
    return text.strip()


def _words(reply: bytes) -> str:
    try:
        complaint = msgspec.json.decode(reply, type=_Complaint)
    except msgspec.DecodeError:
        return "no reason given"
    details = [_detail(each) for each in complaint.errors]
    said = " ".join(" · ".join([complaint.message, *details]).split())
    return logs.masked(said)[:500]  # a token that is cut would not be known


def _detail(error: object) -> str:
    """One of GitHub's errors: {"field": "base", "code": "invalid"} is "base invalid"."""
    if not isinstance(error, dict):
        return str(error)
    return str(error.get("message") or f"{error.get('field', '')} {error.get('code', '')}".strip() or error)


def _is_limit(headers: Mapping[str, str], said: str) -> bool:
    return headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers or "rate limit" in said.lower()


def _wait_s(headers: Mapping[str, str]) -> float | None:
    for name, since in (("retry-after", 0.0), ("x-ratelimit-reset", time.time())):
        value = headers.get(name, "")
        if value.isdigit():
            return min(max(int(value) - since, 1.0), _LONGEST_WAIT_S)
    return None


def _read(row: _Wire) -> PullRequest:
    return PullRequest(number=row.number, url=row.html_url, title=row.title, body=row.body or "")
