"""What is told of a run while it goes on."""

from __future__ import annotations

from dragoman.core.events.runs import SetupRan
from dragoman.core.text import one_line

COMPACTED = "The conversation had grown long; I summarised it and go on."


def fresh_thread(summarised: bool) -> str:
    """The conversation goes on in a fresh agent thread."""
    start = (
        "from the agent's own summary of it"
        if summarised
        else "from our latest messages, since the agent gave no summary"
    )
    return f"Our conversation has grown long, so I go on in a fresh thread that starts {start}."


def summary_line(summary: str) -> str:
    """What the conversation keeps of a summary."""
    return f"Summary of the conversation so far: {summary}"


def setup_result(event: SetupRan, output: str) -> str:
    """What stands under a set-up command."""
    end = "ended at its deadline" if event.exit_code is None else f"exit code {event.exit_code}"
    return f"{end}, {event.took_s:.1f} s\n{output}".strip()


def setup_failed(event: SetupRan) -> str:
    """A set-up command failed: for people."""
    end = "did not end in time" if event.exit_code is None else f"failed with exit code {event.exit_code}"
    return f"Setting up the workspace: `{one_line(event.command, 120)}` {end}. I tell the agent and go on."


def retrying(message: str) -> str:
    """The model's provider failed and OpenCode tries again."""
    return f"The model's provider has trouble ({one_line(message, 200)}). Trying again."


def resumed(tools: bool) -> str:
    """OpenCode was cut and the run goes on."""
    if tools:
        return "OpenCode was interrupted. It goes on from where it was and has been told to check its last step."
    return "OpenCode was interrupted. It goes on from where it was."


ASKED_AGAIN_LATER = "OpenCode was interrupted while it waited for you. It goes on now and will ask again if it must."
