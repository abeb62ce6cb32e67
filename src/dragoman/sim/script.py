"""What a scripted model says: stories as data.

A story is a list of steps. A step is one answer of the model: some thinking, some text, some tool calls. As JSON a part
carries its class name: {"type": "Say", "text": "…"}; a story is {"name": …, "steps": [[part, …], …], "after": […]}.

Texts and tool arguments may hold {cwd} (the directory the agent works in), {newest} (what people asked for last), {answer}
(what the question tool brought back last) and {result} (what any tool brought back last).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.record import Record


class Think(Record, tag_field="type"):
    """Reasoning."""

    text: str


class Say(Record, tag_field="type"):
    """Text.

    pace_s  seconds between its words
    when    said only when the last answer to a question contains this, `unless` only when it does not
    """

    text: str
    pace_s: float = 0.0
    when: str = ""
    unless: str = ""


class Use(Record, tag_field="type"):
    """A tool call with OpenCode's name and arguments; `when` and `unless` as for `Say`."""

    tool: str
    args: dict[str, Any]
    when: str = ""
    unless: str = ""


class Ask(Record, tag_field="type"):
    """A call of OpenCode's question tool; `options` are (label, description)."""

    question: str
    options: tuple[tuple[str, str], ...]
    header: str = "Question"


class Pause(Record, tag_field="type"):
    """Silence for `seconds`, or until somebody releases `until` (then `seconds` is the longest wait)."""

    seconds: float = 60.0
    until: str = ""


class Fail(Record, tag_field="type"):
    """The provider refuses: an HTTP status instead of an answer.

    times  how often in this step of this conversation; None = always. Then the rest of the step is played.
    """

    status: int
    message: str = "The provider refused."
    code: str | None = None
    retry_after_s: float | None = None
    times: int | None = None


class Drop(Record, tag_field="type"):
    """The connection is cut here, `times` times in this step of this conversation (None = always)."""

    times: int | None = 1


Part = Think | Say | Use | Ask | Pause | Fail | Drop
Step = tuple[Part, ...]


class Story(Record):
    """A script.

    steps  answered one after another
    after  answered to each message that comes when the steps are over; without it the message is quoted
    """

    name: str
    steps: tuple[Step, ...]
    after: tuple[Step, ...] = ()


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """`value` with every {placeholder} in its strings replaced."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace("{" + name + "}", word)
        return value
    if isinstance(value, Mapping):
        return {key: filled(inner, words) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(inner, words) for inner in value]
    return value
