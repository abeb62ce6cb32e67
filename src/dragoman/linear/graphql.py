"""GraphQL as Linear speaks it: requests to bytes, replies to data or an error that says who must do what. Pure.

What is known and what is guessed:
* Exhausted quota comes as HTTP 400 with code RATELIMITED (documented) or as 429 (seen); type "ratelimited" (their SDK).
* How a second write with the same id is refused is not documented. Taken for it, only in requests that carry an id of
  ours: HTTP 409, or a message with "already exists", "already in use", "already taken", "duplicate", "conflict on
  insert", "unique constraint" and the like. A wrong guess here would lose an activity, so the words must be there.
* HTTP 200 may carry errors. An error beside a mutation's `success: true` concerns only what we read back.

Source  linear.app/developers/graphql, /rate-limiting; the error classes of Linear's SDK
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from dragoman import logs
from dragoman.errors import DuplicateWrite, LinearError
from dragoman.linear.quota import Quota, read_quota, seconds_until_reset
from dragoman.record import without_halves

_MESSAGE_LIMIT = 300  # characters of Linear's own words in an error of ours
_DUPLICATE = re.compile(
    r"already (?:exists|in use|taken|been taken|used)|\bduplicate\b|conflict on insert"
    r"|unique (?:constraint|violation|key)|\bid\b.{0,40}\bunique\b",
    re.IGNORECASE,
)
_MISSING = re.compile(r"not found|could not find|does not exist|no longer exists", re.IGNORECASE)
# `extensions.type` and `extensions.code`, in lower case with spaces
_QUOTA_WORDS = frozenset({"ratelimited", "rate limited"})
_IDENTITY_WORDS = frozenset({"authentication error", "unauthenticated"})
_PASSING_WORDS = frozenset(
    {"network error", "bootstrap error", "internal error", "internal server error", "lock timeout", "unknown"}
)
_NO_ACCESS_WORDS = frozenset({"forbidden", "feature not accessible", "usage limit exceeded"})
_LASTING_WORDS = _NO_ACCESS_WORDS | {
    *("invalid input", "input error", "bad user input", "graphql validation failed"),
    *("user error", "graphql error", "graphql parse failed"),
}


class RateLimited(LinearError):
    """The organization's quota is used up, or our own governor says so before Linear has to."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retryable=True, retry_after_s=retry_after_s)


class InputRefused(LinearError):
    """Linear will not take what we wrote, for good; something else in its place may be taken.

    So is everything that lasts, unless it says that we have no access or that what we write to is gone: a final activity
    whose refusal we do not understand must not end in silence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class Unauthorized(LinearError):
    """The token does not count. Retryable: people can repair it, and Linear says this under throttling, too."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


@cache
def document(name: str) -> bytes:
    """The beginning of a request's body with the document `name` of the package, up to its variables."""
    text = files("dragoman.linear").joinpath("documents", f"{name}.graphql").read_text(encoding="utf-8")
    return b'{"query":' + msgspec.json.encode(" ".join(text.split())) + b',"variables":'


def request_body(name: str, variables: Mapping[str, object]) -> bytes:
    """The body of a request. Text in `variables` must hold no lone surrogates (see `text.clean`)."""
    return document(name) + msgspec.json.encode(variables) + b"}"


def decipher(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, own_id: bool = False
) -> dict[str, Any] | LinearError:
    """What a reply says: its `data`, or the error that it amounts to.

    headers  looked up in lower case unless the mapping does not care
    now      seconds since the epoch, for the time until the quota is refilled
    own_id   whether the request carried an id of ours, so that it may be refused as a duplicate
    """
    try:
        try:
            reply = msgspec.json.decode(body)
        except msgspec.DecodeError:
            reply = msgspec.json.decode(without_halves(body))  # a text cut in the middle of an emoji
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        return _without_json(status, headers, now)
    data = reply.get("data")
    said = reply.get("errors")
    errors = [error for error in said if isinstance(error, dict)] if isinstance(said, list) else []
    if isinstance(data, dict) and (not said or _was_written(data)) and status < 300:
        return data
    return _error(status, headers, errors, now=now, own_id=own_id)


def _was_written(data: dict[str, Any]) -> bool:
    return any(isinstance(payload, dict) and payload.get("success") is True for payload in data.values())


# Whoever reads this can mend it: the settings that the token comes from.
_REFUSED = "Linear does not accept the token of LINEAR_ACCESS_TOKEN, or of LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET"


def _without_json(status: int, headers: Mapping[str, str], now: float) -> LinearError:
    """A proxy or an error page has answered; only the status can be believed."""
    if status == 429:
        return RateLimited(
            "Linear's quota is used up (HTTP 429).",
            retry_after_s=seconds_until_reset(headers, read_quota(headers), now),
        )
    if status == 401:
        return Unauthorized(f"{_REFUSED} (HTTP 401).")
    retry_after_s = seconds_until_reset(headers, Quota(), now) if status >= 500 else None
    return LinearError(f"Linear answered HTTP {status} without JSON.", retry_after_s=retry_after_s)


def _error(
    status: int, headers: Mapping[str, str], errors: list[dict[str, Any]], *, now: float, own_id: bool
) -> LinearError:
    words = {word for error in errors for word in _words(error)}
    message = _message(errors) or f"HTTP {status}"
    if words & _QUOTA_WORDS or status == 429:
        return RateLimited(
            f"Linear's quota is used up: {message}",
            retry_after_s=seconds_until_reset(headers, read_quota(headers), now),
        )
    if words & _IDENTITY_WORDS or (status == 401 and not words & _LASTING_WORDS):
        return Unauthorized(f"{_REFUSED}: {message}")
    if own_id and (status == 409 or any(_DUPLICATE.search(_raw_message(error)) for error in errors)):
        return DuplicateWrite(message)
    missing = any(_MISSING.search(_raw_message(error)) for error in errors)
    if words & _NO_ACCESS_WORDS or missing:
        return LinearError(f"Linear refused: {message}", retryable=False)
    if words & _LASTING_WORDS:
        return InputRefused(f"Linear refused: {message}")
    if words & _PASSING_WORDS or status >= 500:
        return LinearError(
            f"Linear failed: {message}",
            retry_after_s=seconds_until_reset(headers, Quota(), now) if status >= 500 else None,
        )
    by_person = any(_extensions(error).get("userError") is True for error in errors)
    if by_person or (400 <= status < 500 and status != 408):
        return InputRefused(f"Linear refused: {message}")
    return LinearError(f"Linear failed: {message}")


def _extensions(error: dict[str, Any]) -> dict[str, Any]:
    extensions = error.get("extensions")
    return extensions if isinstance(extensions, dict) else {}


def _words(error: dict[str, Any]) -> set[str]:
    extensions = _extensions(error)
    return {word.lower().replace("_", " ") for key in ("type", "code") if isinstance(word := extensions.get(key), str)}


def _raw_message(error: dict[str, Any]) -> str:
    shown = _extensions(error).get("userPresentableMessage")
    return " ".join(text for text in (error.get("message"), shown) if isinstance(text, str))


def _message(errors: list[dict[str, Any]]) -> str:
    for error in errors:
        message = error.get("message")
        if isinstance(message, str) and message.strip():
            return logs.masked(" ".join(message.split()))[:_MESSAGE_LIMIT]  # a token that is cut would not be known
    return ""
