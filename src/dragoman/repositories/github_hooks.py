"""From the bytes of a webhook of GitHub to the pull requests that are worth a look. Pure.

A delivery decides nothing: what happened is read from GitHub itself. So of a verified one only the repository and the
numbers are taken.

Source  docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, /webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from dragoman.record import Record

_ID_MOST: Final = 128
# What can make work or end it; a comment that is edited or deleted does not.
_ABOUT_ONE: Final = {
    "pull_request": "closed",
    "pull_request_review": "submitted",
    "pull_request_review_comment": "created",
}
_ABOUT_CHECKS: Final = {"check_run": "completed", "check_suite": "completed"}
_STATUS_ENDS: Final = frozenset({"success", "failure", "error"})


class UnacceptableHook(Exception):
    """The request has no effect. `status` is the HTTP status to answer with, `why` a stable word."""

    def __init__(self, status: int, why: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.why = why


class Hint(Record):
    """A verified delivery: which pull requests are worth a look.

    id       X-GitHub-Delivery, the same for each attempt at one delivery; empty when absent
    event    X-GitHub-Event, "pull_request_review";  action  "submitted"; may be empty
    repository  its page, "https://github.com/owner/repo"; empty for what concerns no pull request
    numbers  of the pull requests; None = any of the repository
    """

    id: str
    event: str
    action: str = ""
    repository: str = ""
    numbers: tuple[int, ...] | None = ()


class _Repository(msgspec.Struct):
    html_url: str = ""


class _Number(msgspec.Struct):
    number: int


class _Checked(msgspec.Struct):
    pull_requests: list[_Number] = []


class _Links(msgspec.Struct):
    url: str = ""


class _Issue(msgspec.Struct):
    number: int
    pull_request: _Links | None = None  # of an issue that is none it is absent


class _Payload(msgspec.Struct):
    action: str = ""
    state: str = ""
    issue: _Issue | None = None
    repository: _Repository | None = None
    pull_request: _Number | None = None
    check_run: _Checked | None = None
    check_suite: _Checked | None = None


def open_hook(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, secrets: Sequence[str]) -> Hint:
    """Check that `body` was signed by GitHub, and see what it is about.

    headers  names in any case
    secrets  any of them may have signed; blank ones never count
    Raises   UnacceptableHook
    """
    given: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        given.setdefault(name.lower(), []).append(value.strip())
    signatures = given.get(b"x-hub-signature-256", [])
    if not signatures:
        raise UnacceptableHook(400, "MissingSignature", "the header X-Hub-Signature-256 is missing")
    if len(signatures) > 1 or not _is_signed(signatures[0], body, secrets):
        raise UnacceptableHook(401, "BadSignature", "the signature does not fit")
    event, delivery = (_text(given.get(name, [])) for name in (b"x-github-event", b"x-github-delivery"))
    try:
        payload = msgspec.json.decode(body, type=_Payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not body.lstrip().startswith(b"{"):
            text = "the body is no JSON object; set the webhook's content type to application/json"
            raise UnacceptableHook(400, "UnreadableHook", text) from None
        return Hint(id=delivery, event=event)
    return _about(delivery, event, payload)


def _about(delivery: str, event: str, payload: _Payload) -> Hint:
    place = payload.repository.html_url if payload.repository else ""
    found: tuple[int, ...] | None = ()
    checked = payload.check_run or payload.check_suite
    if event == "push":
        found = None  # a base that moves may bring conflicts
    elif _ABOUT_ONE.get(event) == payload.action and payload.pull_request is not None:
        found = (payload.pull_request.number,)
    elif event == "issue_comment":
        issue = payload.issue
        found = (issue.number,) if payload.action == "created" and issue and issue.pull_request is not None else ()
    elif event == "status":
        found = None if payload.state in _STATUS_ENDS else ()  # it names a commit and no pull request
    elif _ABOUT_CHECKS.get(event) == payload.action and checked is not None:
        # GitHub leaves the list empty for some checks.
        found = tuple(one.number for one in checked.pull_requests) or None
    concerns = found is None or bool(found)
    return Hint(
        id=delivery, event=event, action=payload.action, repository=place if concerns else "", numbers=found
    )  # fmt: skip


def _is_signed(signature: bytes, body: bytes, secrets: Sequence[str]) -> bool:
    # Every secret is tried, so that the time taken does not tell which one fits.
    fits = [
        hmac.compare_digest(b"sha256=" + hmac.digest(secret.encode(), body, "sha256").hex().encode(), signature)
        for secret in secrets
        if secret.strip()
    ]
    return any(fits)


def _text(values: Sequence[bytes]) -> str:
    return values[0].decode("ascii", "replace")[:_ID_MOST] if values else ""
