"""What a remote said no to, from the words of git: it has no codes for what people must do now."""

from __future__ import annotations

import re
from typing import Final

from dragoman import logs
from dragoman.errors import ForgeError, ForgeRefusal, GitError

# The first that fits. GitHub's own codes: docs.github.com, "Troubleshooting push", "About protected branches".
_KINDS: Final[tuple[tuple[str, ForgeRefusal], ...]] = (
    (r"stale info|non-fast-forward|fetch first|cannot lock ref|reference already exists", "conflict"),
    (r"GH001|large files? detected|exceeds? .*size limit|push protection|GH009|secret", "content"),
    (r"GH006|protected branch|GH013|rule violations?|branch is protected", "protected"),
    (
        r"authentication failed|invalid username or password|could not read (username|password)|\b401\b",
        "credentials",
    ),
    (r"permission to .* denied|write access|refusing to allow|not allowed to push|insufficient|\b403\b", "right"),
    (r"permission denied|read-only|unable to create|insufficient permission", "right"),
    (r"repository .*not found|\b404\b|does not appear to be a git repository", "missing"),
    (r"hook declined|remote rejected", "protected"),
    (r"\b429\b|rate limit", "limited"),
)


def refusal_of(error: GitError) -> ForgeError:
    """The same, with what kind of refusal it was; what fits nothing may pass."""
    if isinstance(error.__cause__, ForgeError):  # it was refused before git began: there was no token
        return error.__cause__
    text = str(error)
    said = text.replace(logs.MASK, "")  # a word of ours
    for words, kind in _KINDS:
        if re.search(words, said, re.IGNORECASE):
            return ForgeError(text, kind, retryable=kind == "limited")
    return ForgeError(text, "away" if error.retryable else "other", retryable=error.retryable)
