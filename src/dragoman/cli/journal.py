"""A line of the journal, or an effect, in words that fit a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dragoman import logs
from dragoman.ledger.read import JournalLine, body_of
from dragoman.record import Record

# What is worth telling of each kind of event; a dot reaches into a field. Kinds that are not here tell all they have.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "SessionOpened": ("prompt.author.name", "prompt.kind", "prompt.text"),
    "Prompted": ("prompt.author.name", "prompt.text"),
    "StopRequested": ("by.name",),
    "IssueEdited": ("by.name", "title", "description"),
    "CommentWritten": ("by.name", "text"),
    "CommentRemoved": ("comment",),
    "RequestRefused": ("person.name", "deed", "reason"),
    "IssueRead": ("issue.key", "issue.state_type", "issue.branch_name"),
    "RunStarted": ("repository", "branch", "thread"),
    "RunSettled": ("outcome.type", "outcome.cause", "outcome.message", "outcome.text"),
    "ToolStarted": ("tool.name", "tool.title", "tool.input"),
    "ToolFinished": ("tool.name", "tool.title", "tool.input", "tool.output"),
    "PermissionAsked": ("permission", "subject"),
    "Reasoned": ("text",),
    "Said": ("text",),
}
_DULL = frozenset({"type", "run", "part", "thread", "ask"})


class Told(Record):
    """A journal line, taken apart.

    turn  its number; None for what is not about a run
    what  in one line
    """

    turn: int | None
    what: str


def tell(line: JournalLine) -> Told:
    """Say what happened."""
    value = body_of(line).get("value")
    event: dict[str, Any] = value if isinstance(value, dict) else {}
    turn = str(event.get("run", "")).rpartition("/")[2]
    return Told(turn=int(turn) if turn.isascii() and turn.isdecimal() else None, what=plain(_what(line.kind, event)))


def plain(text: str) -> str:
    """Text as one line, without secrets and without anything that a terminal would obey."""
    printable = "".join(letter if letter.isprintable() else " " for letter in logs.masked(text))
    return " ".join(printable.split())


def _what(kind: str, event: dict[str, Any]) -> str:
    if kind == "TodosChanged":
        todos = _rows(event.get("todos"))
        done = sum(1 for todo in todos if todo.get("status") == "completed")
        return f"{done} of {len(todos)} done"
    if kind == "QuestionAsked":
        return " / ".join(str(question.get("text", "")) for question in _rows(event.get("questions")))
    if kind in _FIELDS:
        found = [_reach(event, field) for field in _FIELDS[kind]]
    else:
        found = [f"{name}={_short(value)}" for name, value in event.items() if name not in _DULL]
    return " · ".join(_short(each) for each in found if each not in {None, ""})


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _reach(event: dict[str, Any], field: str) -> Any:
    value: Any = event
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float | None) else _short(value)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
