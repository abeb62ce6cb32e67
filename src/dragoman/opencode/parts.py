"""OpenCode's parts and asks as the core's values, bounded: a tool may return megabytes, people read a page."""

from __future__ import annotations

from typing import Final

import msgspec

from dragoman.core.events.opencode import PermissionAsked, Question, QuestionAsked, Todo, Tool
from dragoman.ids import AgentThread, AskId, RunId
from dragoman.opencode import wire

INPUT_LIMIT: Final = 4_000  # characters of a tool's arguments
OUTPUT_LIMIT: Final = 8_000  # characters of a tool's result, and of a diff
# Where a permission request says what it is about, the most telling first.
_SUBJECTS: Final = ("command", "filepath", "filePath", "url", "query", "description")


def tool_of(part: wire.Part) -> Tool:
    """A tool part as the core's value. A failed tool's error is its output; a running one shows none."""
    state = part.state or wire.ToolState("pending")
    metadata = state.metadata or wire.ToolMetadata()
    output = state.error if state.status == "error" else state.output if state.status == "completed" else ""
    return Tool(
        name=part.tool,
        input=bounded_json(bytes(state.input)),
        title=state.title or "",
        output=clipped(output or "", OUTPUT_LIMIT),
        diff=clipped(metadata.diff, OUTPUT_LIMIT) if isinstance(metadata.diff, str) else "",
    )


def todos_of(part: wire.Part) -> tuple[Todo, ...] | None:
    """The plan that a `todowrite` call writes, in the agent's own words; None when its arguments are something else."""
    if part.state is None:
        return None
    try:
        written = msgspec.json.decode(part.state.input, type=wire.TodoInput)
    except msgspec.MsgspecError:
        return None
    return tuple(Todo(content=item.content, status=item.status) for item in written.todos)


def permission_of(run: RunId, ask: wire.Permission) -> PermissionAsked:
    """A permission request as the core's event; the subject is the command or path when there is one."""
    named = (ask.metadata.get(name) for name in _SUBJECTS)
    subject = next((value for value in named if isinstance(value, str) and value), ", ".join(ask.patterns))
    return PermissionAsked(
        run=run,
        ask=AskId(ask.id),
        thread=AgentThread(ask.sessionID),
        permission=ask.permission,
        subject=clipped(subject, INPUT_LIMIT),
        always=tuple(ask.always),
    )


def question_of(run: RunId, ask: wire.QuestionRequest) -> QuestionAsked:
    """A question request as the core's event."""
    return QuestionAsked(
        run=run,
        ask=AskId(ask.id),
        thread=AgentThread(ask.sessionID),
        questions=tuple(
            Question(
                text=question.question,
                header=question.header,
                options=tuple((option.label, option.description) for option in question.options),
                multiple=question.multiple,
            )
            for question in ask.questions
        ),
    )


def clipped(text: str, limit: int) -> str:
    """`text` in at most `limit` characters: its head and its tail, for the end of an output is what matters most."""
    if len(text) <= limit:
        return text
    note = f"\n… {len(text) - limit:,} characters left out …\n"
    tail = (limit - len(note)) // 2
    head = limit - len(note) - tail
    return text[:head] + note + text[len(text) - tail :]


def bounded_json(raw: bytes) -> str:
    """A tool's arguments as JSON text of at most INPUT_LIMIT characters that still parses.

    Long strings in it (the content of a written file) are shortened; what is still too long becomes a JSON string.
    """
    text = raw.decode("utf-8", "replace")
    if len(text) <= INPUT_LIMIT:
        return text
    value = msgspec.json.decode(raw)
    for limit in (1_000, 300, 80):
        shorter = msgspec.json.encode(_shortened(value, limit)).decode()
        if len(shorter) <= INPUT_LIMIT:
            return shorter
    return msgspec.json.encode(text[: INPUT_LIMIT // 4]).decode()


def _shortened(value: object, limit: int) -> object:
    match value:
        case str():
            return clipped(value, limit)
        case dict():
            return {key: _shortened(item, limit) for key, item in value.items()}
        case list():
            return [_shortened(item, limit) for item in value]
        case _:
            return value
