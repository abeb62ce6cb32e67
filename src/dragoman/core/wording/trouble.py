"""What failed, on whose side, and what people can do."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.events.opencode import Broke, Cause, RunRetrying
from dragoman.core.text import one_line

UNASKABLE = (
    "The agent had a question for you, but Linear did not take it, so I ended the run; the log has the details. "
    "Work done so far is kept. Write to me to go on."
)
ABORT_BROKE = "Something broke on my side while I looked whether the work has ended"
# What failed, in one line, and what to do.
_BROKE: Mapping[Cause, tuple[str, str]] = {
    "timeout": ("⏰ Request timed out: the model's provider did not answer in time", "Write to me to try again."),
    "network": ("🔌 The model's provider could not be reached", "Write to me to try again in a few moments."),
    "credentials": (
        "🔐 The model's provider refused our credentials",
        "Whoever runs me must check the provider's key; then write to me again.",
    ),
    "not_found": (
        "🔍 The model was not found",
        "Whoever runs me must check `OPENCODE_MODEL` and `OPENCODE_AGENT`; then write to me again.",
    ),
    "rate_limit": ("⏱️ The model's provider limits our rate", "Write to me again in a while."),
    "server": ("🔧 The model's provider had an internal error", "Write to me to try again."),
    "context": (
        "📏 The conversation no longer fits the model, even summarised",
        "Start a new session on this issue.",
    ),
    "model": ("The model did not deliver a usable answer", "Write to me to try again."),
    "cut_off": ("The model's answer was cut off before its end", "Write “go on” to continue."),
    "other": ("❌ OpenCode could not finish this", "Write to me to try again."),
}


def broke(outcome: Broke) -> str:
    """What failed, in one line, and what to do."""
    what, then = _BROKE[outcome.cause]
    so_far = f"\n\nUntil then:\n\n{outcome.text}" if outcome.text.strip() else ""
    return f"{what}. {then}" + what_was_said(outcome.message) + so_far


def what_was_said(message: str) -> str:
    """Their own words, to be put behind a sentence of ours; empty when they said nothing."""
    said = one_line(message, 300).replace("`", "'")
    return f"\n\nWhat was said: `{said}`" if said else ""


def of_service(cause: str, service: str) -> str:
    """Why a service did not do what was asked, in one line, and what to do."""
    lines = {
        "timeout": f"⏰ Request timed out: {service} did not answer in time. Write to me to try again.",
        "network": f"🔌 {service} could not be reached. Write to me to try again in a few moments.",
        "credentials": f"🔐 {service} refused our credentials. Whoever runs me must check them.",
        "not_found": f"🔍 {service} does not know what was asked for. Whoever runs me must check the settings.",
        "rate_limit": f"⏱️ {service} limits our rate. Try again in a while.",
        "server": f"🔧 {service} had an internal error. Write to me to try again.",
    }
    return lines.get(cause, f"❌ {service} could not do this. Write to me to try again.")


def fallback(service: str, agent: str = "OpenCode Agent") -> str:
    """Stands for an answer while a service is away."""
    return (
        f"{agent} cannot work on this now: {service} does not answer. Nothing is lost; try mentioning me again in a few "
        "moments."
    )


def opencode_refused(cause: str, said: str) -> str:
    """OpenCode will not do it, and trying again by ourselves is no use."""
    return of_service(cause, "OpenCode") + what_was_said(said)


def gave_up_retrying(event: RunRetrying) -> str:
    """The retry budget is used up."""
    what, then = _BROKE[event.cause]
    return (
        f"{what}, and kept failing: after {event.attempt} attempts I stopped the run. Work done so far is kept. {then}"
    ) + what_was_said(event.message)


def stalled(minutes: int) -> str:
    """Busy without a sign of life."""
    return (
        f"OpenCode said it was busy, but nothing moved for {minutes} minutes, so I ended the run. "
        "Work done so far is kept. Write to me to try again."
    )


def interrupted_too_often(times: int) -> str:
    """The run was cut again and again."""
    return (
        f"OpenCode was interrupted {times} times during this work, so I stopped trying. Work done so far is kept. "
        "Write to me to go on from there."
    )


def broke_on_our_side(run: str) -> str:
    """A bug of ours ended the turn."""
    return f"Something broke on my side, so I could not go on; the log has `run={run}`. Write to me to try again."


def unshowable(session: str) -> str:
    """Stands for a final activity that Linear refused."""
    return (
        "The work has ended, but Linear did not take the words of the answer, so I cannot show it here. It is kept: "
        f"whoever runs me can read it with `dragoman sessions show {session}`."
    )
