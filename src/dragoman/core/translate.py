"""Facts of OpenCode become what people read in Linear. What needs no decision of the machine is a row here."""

from __future__ import annotations

from dragoman.core import tools, wording
from dragoman.core.activities import Activity, Thought
from dragoman.core.events.opencode import Compacted, Reasoned, Said, Todo, ToolFinished, ToolStarted

THOUGHT_MOST = 4_000  # characters

Shown = Reasoned | Said | ToolStarted | ToolFinished | Compacted


def translate(fact: Shown, directory: str) -> tuple[str, Activity] | None:
    """The stage (which makes the activity's id) and the activity; None when there is nothing to show."""
    match fact:
        case Reasoned(part=part, text=text) | Said(part=part, text=text):
            body = tools.bounded(text.strip(), THOUGHT_MOST)
            return (f"part:{part}", Thought(body=body)) if body else None
        case ToolStarted(part=part, tool=tool):
            started = tools.show(tool, directory, running=True)
            return (f"part:{part}:start", started) if started else None
        case ToolFinished(part=part, tool=tool, failed=failed):
            finished = tools.show(tool, directory, running=False, failed=failed)
            return (f"part:{part}", finished) if finished else None
        case Compacted(key=key):
            return f"compacted:{key}", Thought(body=wording.during.COMPACTED)


_OPEN = {"pending", "in_progress"}


def closed_plan(todos: tuple[Todo, ...]) -> tuple[Todo, ...]:
    """The plan at the end of a turn: what is still open was not done, so it is cancelled, never claimed completed."""
    return tuple(Todo(content=t.content, status="cancelled" if t.status in _OPEN else t.status) for t in todos)
