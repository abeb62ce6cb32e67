"""Choices written into a request, `[agent=plan] [model=openai/gpt-5]`, or given by labels, `agent:plan`.

Linear escapes brackets and other signs of Markdown in what people write: `\\[agent=my\\_agent\\]` means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dragoman.core.choosing import PRIORITIES
from dragoman.record import Record

NAMES = ("agent", "model", "template", "repo", "priority")
_TAG = re.compile(rf"\\?\[\s*({'|'.join(NAMES)})\s*=\s*((?:\\[^\]\n]|[^\]\\\n])+)\\?\]", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([^a-zA-Z0-9\s])")
_WORD = re.compile(r"[\w.@/:+-]{1,120}")


class Tags(Record):
    """What was named, each empty when it was not; of several the last counts.

    refused  what was written but cannot be meant, as (name, value, why)
    """

    agent: str = ""
    model: str = ""
    template: str = ""
    repo: str = ""
    priority: str = ""
    refused: tuple[tuple[str, str, str], ...] = ()


def of_words(words: str) -> Tags:
    """The tags in a request."""
    return _tags((name.lower(), _ESCAPED.sub(r"\1", value)) for name, value in _TAG.findall(words))


def of_labels(labels: Iterable[str]) -> Tags:
    """The tags that an issue's labels make. `repo:` is for the routing of repositories."""
    pairs = (label.partition(":") for label in labels)
    return _tags(
        (name.strip().lower(), value) for name, colon, value in pairs if colon and name.strip().lower() != "repo"
    )


def without(words: str) -> str:
    """The request without its tags."""
    return _TAG.sub(" ", words)


def _tags(pairs: Iterable[tuple[str, str]]) -> Tags:
    found: dict[str, str] = {}
    refused = []
    for name, given in pairs:
        value = given.strip().strip("\"'`")
        if name not in NAMES:
            continue
        if why := _wrong(name, value):
            refused.append((name, value[:120], why))
        else:
            found[name] = value.lower() if name == "priority" else value
    return Tags(**found, refused=tuple(refused))


def _wrong(name: str, value: str) -> str:
    if not _WORD.fullmatch(value):
        return "is no name"
    if name == "model" and not all(value.partition("/")):
        return "must be provider/model"
    if name == "priority" and value.lower() not in PRIORITIES:
        return f"must be one of {', '.join(PRIORITIES[1:])}"
    return ""
