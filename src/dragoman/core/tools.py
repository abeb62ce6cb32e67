"""How a tool call is shown: one row a tool. Tools without a row are shown by their own name.

A row says how the call is named while it runs and when it is done, which argument is its subject, and how its
result is shown. `None` instead of a row: people see it elsewhere (the plan, an elicitation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dragoman.core.activities import Action
from dragoman.core.events.opencode import Tool
from dragoman.core.text import one_line
from dragoman.record import Record

SUBJECT_MOST = 200  # characters; Linear shows one line
RESULT_MOST = 4_000  # characters
BODY_MOST = 20_000  # characters of a final answer or a question

Arguments = Mapping[str, Any]


class Row(Record):
    """How one tool is shown."""

    doing: str
    done: str
    subject: Callable[[Arguments], str]
    result: Callable[[Tool], str]


def _argument(*names: str) -> Callable[[Arguments], str]:
    def read(arguments: Arguments) -> str:
        return next((str(arguments[name]) for name in names if arguments.get(name)), "")

    return read


def _code(tool: Tool) -> str:
    return fenced(tool.output)


def _diff(tool: Tool) -> str:
    return fenced(tool.diff, "diff") if tool.diff.strip() else tool.output.strip()


def _written(tool: Tool) -> str:
    if tool.diff.strip():
        return fenced(tool.diff, "diff")
    lines = len(str(_arguments(tool).get("content", "")).splitlines())
    return f"{lines} line{'' if lines == 1 else 's'} written" if lines else tool.output.strip()


def _size(tool: Tool) -> str:
    lines = len(tool.output.strip("\n").splitlines())
    return f"{lines} line{'' if lines == 1 else 's'}"


def _words(tool: Tool) -> str:
    return tool.output.strip()


_PATH = _argument("filePath", "path", "file")

TABLE: Mapping[str, Row | None] = {
    "bash": Row(doing="Running", done="Ran", subject=_argument("command"), result=_code),
    "edit": Row(doing="Editing", done="Edited", subject=_PATH, result=_diff),
    "multiedit": Row(doing="Editing", done="Edited", subject=_PATH, result=_diff),
    "apply_patch": Row(doing="Patching", done="Patched", subject=_PATH, result=_diff),
    "patch": Row(doing="Patching", done="Patched", subject=_PATH, result=_diff),
    "write": Row(doing="Writing", done="Wrote", subject=_PATH, result=_written),
    "read": Row(doing="Reading", done="Read", subject=_PATH, result=_size),
    "glob": Row(doing="Looking for", done="Looked for", subject=_argument("pattern"), result=_size),
    "grep": Row(doing="Searching", done="Searched", subject=_argument("pattern"), result=_size),
    "list": Row(doing="Listing", done="Listed", subject=_PATH, result=_size),
    "webfetch": Row(doing="Fetching", done="Fetched", subject=_argument("url"), result=_size),
    "websearch": Row(doing="Searching the web", done="Searched the web", subject=_argument("query"), result=_size),
    "task": Row(doing="Delegating", done="Delegated", subject=_argument("description", "prompt"), result=_words),
    "skill": Row(doing="Using skill", done="Used skill", subject=_argument("name"), result=_size),
    "todowrite": None,
    "todoread": None,
    "question": None,
}


_READS_ONLY = frozenset(
    {"read", "glob", "grep", "list", "webfetch", "websearch", "skill", "todowrite", "todoread", "question"}
)


def may_change_files(tool: Tool) -> bool:
    """Whether a call of it can have changed the workspace; a tool that we do not know can."""
    return tool.name not in _READS_ONLY


def show(tool: Tool, directory: str, *, running: bool, failed: bool = False) -> Action | None:
    """The action that people read for a tool call; None when they see it elsewhere.

    directory  the workspace: paths inside it are shown relative to it
    """
    row = TABLE.get(tool.name, Row(doing="Using", done="Used", subject=lambda _: tool.name, result=_code))
    if row is None:
        return None
    subject = row.subject(_arguments(tool)) or tool.title or tool.name
    subject = one_line(relative(subject, directory), SUBJECT_MOST)
    if running:
        return Action(verb=row.doing, subject=subject, fleeting=True)
    result = fenced(tool.output) if failed else row.result(tool)
    result = relative(result, directory)
    if failed:
        result = f"Failed:\n{result}" if result else "Failed"
    return Action(verb=row.done, subject=subject, result=bounded(result, RESULT_MOST) or "Done")


def relative(text: str, directory: str) -> str:
    """The text with the workspace's own path taken off; a neighbour whose name begins like it stays as it is."""
    root = directory.rstrip("/")
    if not root:
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(root)}(?:(/)(?=[^\s/])|(?![\w.-]))", lambda m: "" if m[1] else ".", text)


def fenced(text: str, language: str = "") -> str:
    """A code block that its content cannot close."""
    body = text.strip("\n")
    if not body.strip():
        return ""
    fence = "```"
    while fence in body:
        fence += "`"
    return f"{fence}{language}\n{bounded(body, RESULT_MOST - 40)}\n{fence}"


def bounded(text: str, most: int) -> str:
    """The text with its middle left out when it is too long: both its beginning and its end tell something."""
    if len(text) <= most:
        return text
    note = f"\n… {len(text) - most} characters left out …\n"
    keep = max(0, most - len(note))
    return text[: keep // 2] + note + text[len(text) - (keep - keep // 2) :]


def _arguments(tool: Tool) -> Arguments:
    try:
        arguments = msgspec.json.decode(tool.input) if tool.input else {}
    except msgspec.DecodeError:
        return {}
    return arguments if isinstance(arguments, dict) else {}
