"""Whether a comment is addressed to us: by "@" and our name, as people write it.

The name counts as a whole, in any case, with its spaces, without them, or with a dash, dot or underscore for each.
What stands in code or behind ">" was not said to anybody.
"""

from __future__ import annotations

import re
from functools import cache

_QUOTED = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)|^[ \t]*>.*?$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
_AFTER = re.compile(r"^[ \t]*[,:;–—-]?\s*")


def is_addressed(body: str, name: str) -> bool:
    """Whether the comment mentions the agent called `name`."""
    return _pattern(name).search(_QUOTED.sub(" ", body)) is not None


def without_address(body: str, name: str) -> str:
    """The comment without a mention at its beginning or end; what is nothing but a mention stays as it is."""
    mention = _pattern(name)
    words = body.strip()
    if found := mention.match(words):
        words = _AFTER.sub("", words[found.end() :])
    last = next((found for found in mention.finditer(words) if found.end() == len(words)), None)
    if last is not None:
        words = words[: last.start()].rstrip(" \t\r\n,")
    return words or body.strip()


@cache
def _pattern(name: str) -> re.Pattern[str]:
    # Linear's Markdown escapes what could be markup, an underscore for example.
    called = r"(?:\\?[ \-_.])?".join(re.escape(word) for word in name.split())
    return re.compile(
        rf'<user id="[^"]*">@?{called}</user>'
        rf"|https?://linear\.app/[\w-]+/profiles/{called}(?![\w-])"
        rf"|(?<![\w@./+-])@{called}(?![\w-]|[.@]\w)",
        re.IGNORECASE,
    )
