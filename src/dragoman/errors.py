"""Errors are named by who must act.

Told    safe to show to people; the text is written for them and says what to do
Theirs  Linear, OpenCode, git or the disk said no; carries whether and when to try again
Ours    everything else: a bug; logged with its traceback, people are told that something broke on our side

What another party says may repeat what we sent it, a token among it; and the text of an error is logged, stored and read
by people. So no error holds a known secret: it is masked when the error is made.
"""

from __future__ import annotations

from typing import Literal

from dragoman import logs


class DragomanError(Exception):
    """The root; never raised itself."""

    def __init__(self, message: str = "") -> None:
        super().__init__(logs.masked(message))


class Told(DragomanError):
    """What people may read as it stands."""


class ConfigurationError(Told):
    """The settings cannot be used; `problems` holds one line each, all of them at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Refusal(Told):
    """We will not start or go on in this situation, and the text says why and what to do."""


class Theirs(DragomanError):
    """Another party said no.

    retryable      whether the same request may succeed later
    retry_after_s  seconds to wait when the other party named them, else None
    """

    def __init__(self, message: str, *, retryable: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class LinearError(Theirs):
    """Linear refused or did not answer."""


class DuplicateWrite(LinearError):
    """Linear already has an activity with this id: the first attempt was written, which counts as success."""

    def __init__(self, message: str = "the id is already taken") -> None:
        super().__init__(message, retryable=False)


class OpenCodeError(Theirs):
    """OpenCode refused or did not answer.

    cause  a stable word: "timeout", "network", "credentials", "not_found", "rate_limit", "server" or "other"
    """

    def __init__(self, message: str, *, retryable: bool = True, cause: str = "other") -> None:
        super().__init__(message, retryable=retryable)
        self.cause = cause


class OpenCodeDown(OpenCodeError):
    """OpenCode could not be reached at all ("network"), or did not answer in time ("timeout")."""

    def __init__(self, message: str, *, cause: str = "network") -> None:
        super().__init__(message, cause=cause)


class NotFound(OpenCodeError):
    """OpenCode does not know the thing (404): an ask already answered, a message never stored."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False, cause="not_found")


class NoAnswer(OpenCodeError):
    """OpenCode took a message and gave no answer to it.

    cause  those of OpenCodeError, or "context", "model", "cut_off", "declined", "stopped", "interrupted", "silent"
    text   what the agent had said until then; may be empty
    """

    def __init__(self, message: str, *, cause: str, text: str = "", retryable: bool = True) -> None:
        super().__init__(message, retryable=retryable, cause=cause)
        self.text = text


class GitError(Theirs):
    """git failed; the message holds its last lines, without credentials."""


ForgeRefusal = Literal[
    "protected", "conflict", "right", "credentials", "missing", "content", "limited", "away", "nothing", "base", "other"
]


class ForgeError(Theirs):
    """The forge refused a push or a pull request, or did not answer.

    kind  protected    the branch or a rule of the repository forbids it
          conflict     somebody else has pushed to the branch
          right        the token may not do that
          credentials  the token is not accepted
          missing      the repository is not there, or hidden from the token
          content      the forge does not take what is pushed: a large file, a secret
          limited      too many requests
          away         it did not answer, or failed itself
          nothing      there is nothing between the branch and its base
          base         the branch that a pull request is for is not there
    """

    def __init__(
        self, message: str, kind: ForgeRefusal, *, retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after_s=retry_after_s)
        self.kind = kind


class LedgerError(Theirs):
    """The ledger could not commit; nothing of the turn has happened."""


class ProjectionError(Theirs):
    """Redis refused or did not answer; the ledger has everything all the same."""
