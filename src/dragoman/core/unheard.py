"""Words that were refused, known again by a digest: the ledger must not keep them, and no later prompt may hold them.

Linear puts the comments of an issue into the context of every later request, those of refused people included.
"""

from __future__ import annotations

import hashlib
import re

_MENTION = re.compile(r"<user\b[^>]*>(.*?)</user>", re.DOTALL)


def digest(words: str) -> str:
    """The same for the same words, however Linear spells mentions, Markdown and white space around them; '' for none."""
    told = _MENTION.sub(lambda mention: mention[1], words)
    bare = "".join(letter for letter in told.casefold() if letter.isalnum())
    return hashlib.sha256(bare.encode()).hexdigest() if bare else ""
