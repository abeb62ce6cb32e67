"""What went wrong at another service, as a word to decide by and a sentence for people."""

from __future__ import annotations

import re
from typing import Final, Literal

from dragoman.core import wording
from dragoman.errors import OpenCodeError
from dragoman.record import Record

Cause = Literal["timeout", "network", "credentials", "not_found", "rate_limit", "server", "other"]

# The first that fits names the cause: "connection timed out" is a time-out, not a network that is away.
_SIGNS: Final[tuple[tuple[Cause, str], ...]] = (
    ("timeout", r"time[d-]?[ -]?out|deadline|\b(408|504)\b"),
    ("credentials", r"unauthori[sz]ed|forbidden|credential|password|api key|\b40[13]\b"),
    ("rate_limit", r"rate.?limit|too many requests|\b429\b"),
    ("not_found", r"not found|\b404\b"),
    ("server", r"internal server|server.error|bad gateway|unavailable|overloaded|\b5\d\d\b"),
    ("network", r"network|connect|econn|enotfound|unreachable|could not be reached|socket|\bdns\b"),
)
_CAUSES: Final[dict[str, Cause]] = {
    "timeout": "timeout",
    "silent": "timeout",
    "network": "network",
    "credentials": "credentials",
    "not_found": "not_found",
    "rate_limit": "rate_limit",
    "server": "server",
}


class Trouble(Record):
    """Why a service did not do what was asked. `message` is what it said, for logs."""

    cause: Cause
    message: str

    @property
    def is_timeout_error(self) -> bool:
        """Whether it did not answer in time."""
        return self.cause == "timeout"

    @property
    def is_network_error(self) -> bool:
        """Whether it could not be reached at all."""
        return self.cause == "network"

    def words(self, service: str = "OpenCode") -> str:
        """One line for people: the cause, and what to do."""
        return wording.trouble.of_service(self.cause, service)


def read_trouble(error: BaseException | str) -> Trouble:
    """The trouble that an error stands for: one of ours says its cause, of another the text is searched."""
    message = str(error) or type(error).__name__
    if isinstance(error, OpenCodeError) and error.cause in _CAUSES:
        return Trouble(cause=_CAUSES[error.cause], message=message)
    if isinstance(error, TimeoutError):
        return Trouble(cause="timeout", message=message)
    found = (cause for cause, sign in _SIGNS if re.search(sign, message, re.IGNORECASE))
    return Trouble(cause=next(found, "network" if isinstance(error, ConnectionError) else "other"), message=message)
