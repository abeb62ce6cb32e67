"""The text of a template, with what is known of the request filled in.

The text is the operator's, what is filled in was written by others: anything but a single plain word goes between tags
that it cannot close (see `prompts`), so that an issue's title cannot speak in the operator's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dragoman.core.choosing import Facts
from dragoman.core.prompts import fence
from dragoman.core.tools import bounded

VALUE_MOST = 4_000  # characters of one value
INSTRUCTIONS_MOST = 12_000  # of the whole

_FIELD = re.compile(r"\{(issue\.[^{}\s]{0,40}|request|author)\}")
_PLAIN = re.compile(r"[\w.-]{1,40}")
_OF: Mapping[str, Callable[[Facts], str]] = {
    "issue.key": lambda facts: facts.issue_key,
    "issue.title": lambda facts: facts.issue_title,
    "issue.description": lambda facts: facts.issue_description,
    "issue.url": lambda facts: facts.issue_url,
    "issue.team": lambda facts: facts.team_key,
    "issue.project": lambda facts: facts.project,
    "issue.state": lambda facts: facts.state,
    "issue.labels": lambda facts: ", ".join(facts.labels),
    "request": lambda facts: facts.words,
    "author": lambda facts: facts.creator.name if facts.creator else "an automation",
}
FIELDS = tuple(_OF)


def fill(text: str, facts: Facts) -> str:
    """The text with its fields filled in; other braces are left alone."""

    def value(field: re.Match[str]) -> str:
        read = _OF.get(field[1])
        return field[0] if read is None else _safe(field[1], read(facts))

    return bounded(_FIELD.sub(value, text), INSTRUCTIONS_MOST)


def unknown_fields(text: str) -> tuple[str, ...]:
    """Fields that look like ours (`{issue.titel}`) and are none."""
    return tuple(name for name in _FIELD.findall(text) if name not in _OF)


def _safe(name: str, value: str) -> str:
    if not value.strip():
        return "(not set)"
    return value if _PLAIN.fullmatch(value) else fence(name, bounded(value, VALUE_MOST))
