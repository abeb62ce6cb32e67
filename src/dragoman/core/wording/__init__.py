"""Every sentence that we say to people, by subject. Markdown; plain words; what happened, and what they can do."""

from __future__ import annotations

from dragoman.core.wording import (
    asking,
    beginning,
    comments,
    during,
    edits,
    ending,
    outbox,
    place,
    refusing,
    review,
    shipping,
    trouble,
    waiting,
)

__all__ = [
    "asking",
    "beginning",
    "comments",
    "during",
    "edits",
    "ending",
    "outbox",
    "place",
    "refusing",
    "review",
    "shipping",
    "trouble",
    "waiting",
]
