"""What OpenCode means when it says no."""

from __future__ import annotations

import msgspec

from dragoman import logs
from dragoman.errors import NotFound, OpenCodeError
from dragoman.opencode import wire


def bare(path: str) -> str:
    """The path without its query: for messages."""
    return path.partition("?")[0]


def refusal(status: int, content: bytes, what: str) -> OpenCodeError:
    """The error that an answer with this status stands for; `what` was asked."""
    try:
        said = msgspec.json.decode(content, type=wire.Refusal)
    except msgspec.MsgspecError:
        said = wire.Refusal()
    name = said.name or said.tag
    detail = logs.masked(said.message or said.data.message or name or "no reason given")
    if status == 404:
        return NotFound(f"OpenCode does not know it ({what}): {detail}")
    if status in (401, 403):
        return OpenCodeError(
            f"OpenCode refused the password ({what}). Set OPENCODE_SESSION_TOKEN to its OPENCODE_SERVER_PASSWORD.",
            retryable=False,
            cause="credentials",
        )
    busy = status in {409, 429} or status >= 500
    cause = {408: "timeout", 429: "rate_limit", 504: "timeout"}.get(status, "server" if status >= 500 else "other")
    return OpenCodeError(f"OpenCode answered {what} with {status}: {detail}"[:500], retryable=busy, cause=cause)
