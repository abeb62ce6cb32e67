"""The words in which a pretend OpenCode is told what to do: those of the scripted model, and three more.

The shell knows two commands: `wait NAME` ends when the test releases NAME, `fail` fails; every other one is said to
have printed its own text.
"""

from __future__ import annotations

from typing import Any

from dragoman.record import Record
from dragoman.sim.script import Ask, Drop, Fail, Pause, Say, Think, Use
from tests.stories.agent_threads import Thread, Wire, is_own, text_of


class Guarded(Record):
    """A tool call that needs leave; `always` is what "always" would cover."""

    tool: str
    args: dict[str, Any]
    always: tuple[str, ...] = ()


class Delegated(Record):
    """A sub-agent that plays steps of its own in a child thread."""

    description: str
    steps: tuple[tuple[Part, ...], ...]


class Compacts(Record):
    """After this step OpenCode summarises the conversation."""


Part = Say | Think | Use | Ask | Pause | Fail | Drop | Guarded | Delegated | Compacts
Steps = tuple[tuple[Part, ...], ...]


def call_of(part: Use | Guarded | Ask | Delegated) -> tuple[str, Wire]:
    match part:
        case Ask():
            options = [{"label": label, "description": about} for label, about in part.options]
            return "question", {"questions": [{"question": part.question, "header": part.header, "options": options}]}
        case Delegated():
            return "task", {"description": part.description, "prompt": "…", "subagent_type": "general"}
        case Use() | Guarded():
            return part.tool, dict(part.args)


def words_of(thread: Thread) -> dict[str, str]:
    users = [text_of(m) for m in thread.messages if m["info"]["role"] == "user" and not is_own(m)]
    outputs = [
        (part["tool"], str(part["state"].get("output") or part["state"].get("error") or ""))
        for message in thread.messages
        for part in message["parts"]
        if part["type"] == "tool"
    ]
    answers = [output for tool, output in outputs if tool == "question"]
    return {
        "cwd": thread.directory,
        "newest": users[-1] if users else "",
        "result": outputs[-1][1] if outputs else "",
        "answer": answers[-1] if answers else "",
    }


def pieces_of(text: str) -> list[str]:
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]
