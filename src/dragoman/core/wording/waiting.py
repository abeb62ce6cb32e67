"""Why something does not begin yet or does not go on, and what became of a message meanwhile."""

from __future__ import annotations

from dragoman.core.events.runs import RunWaiting

QUEUED = "Queued: I start on this when the current work is done."
QUEUED_WHILE_SHIPPING = "Queued: I am handing in the finished work; I start on this right after."
STEERED = "Got it. I am passing this on to the running work; one answer will cover both."
EARLY = "Got it. I take this along as the work begins."
UNBLOCKED = "Nothing blocks this issue any more. I begin now."


def blocked(keys: tuple[str, ...]) -> str:
    """The issue waits for others."""
    return (
        f"This issue is blocked by {', '.join(f'**{key}**' for key in keys)}, so I wait. I begin by myself when that is "
        "done; write “start anyway” to have me begin now."
    )


def not_yet(event: RunWaiting, working: bool) -> str:
    """Why a run does not begin yet, or does not go on when it was `working` already."""
    match event.cause:
        case "opencode":
            then = "go on" if working else "start"
            return (
                f"OpenCode is not answering at the moment{_how_away(event.why)}. I keep trying and {then} as soon as it "
                "is back."
            )
        case "capacity":
            return "All places are taken by running work. Yours is in the queue and starts by itself."
        case _:
            return f"The repository cannot be reached at the moment ({event.detail}). I keep trying."


def in_queue(place: int, *, again: bool) -> str:
    """Where a run stands that waits for a place."""
    if again:
        return f"Still in the queue: number {place} now."
    return f"All places are taken by running work. Yours is number {place} in the queue and starts by itself."


def out_of_patience(cause: str, why: str, minutes: int) -> str:
    """The honest end of waiting; `why` as RunWaiting has it."""
    what = (
        "The repository could not be reached" if cause == "repository" else f"OpenCode has not answered{_how_away(why)}"
    )
    for_so_long = f"for {minutes} minute{'s' if minutes > 1 else ''}" if minutes else "in time"
    mark = "" if cause == "repository" else _MARKS.get(why, "🔌 ")
    return (
        f"{mark}{what} {for_so_long}, so I gave up on this request. "
        "Write to me again and I try anew. If it keeps happening, whoever runs me can look at `/readyz` and the logs."
    )


_MARKS = {"timeout": "⏰ ", "credentials": "🔐 ", "rate_limit": "⏱️ ", "server": "🔧 "}


def _how_away(why: str) -> str:
    how = {
        "network": "it cannot be reached",
        "timeout": "requests time out",
        "credentials": "it refuses our credentials",
        "rate_limit": "it limits our rate",
        "server": "it has an internal error",
    }.get(why)
    return f" ({how})" if how else ""


def heartbeat(silent_s: float, cause: str) -> str:
    """Said when a live turn has been silent; `cause` is what it waits for, if it waits."""
    minutes = max(1, round(silent_s / 60))
    match cause:
        case "":
            return f"Still working; nothing new to show for {minutes} min."
        case "capacity":
            return f"Still in the queue: all places are taken by running work ({minutes} min so far)."
        case "repository":
            return f"Still trying to reach the repository ({minutes} min without news)."
        case _:
            return f"Still waiting for OpenCode to answer ({minutes} min without news)."
