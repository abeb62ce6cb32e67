"""The first thing that people read of a session or a turn: what begins, and how to work with us."""

from __future__ import annotations

from dragoman.core.events.linear import Issue, Prompt
from dragoman.core.text import one_line

WORK_ON_IT = "Work on it"
BUILD_IT = "Build it"
DROP_IT = "Drop it"
PLAN_OFFER = f"Shall I build this? Choose “{BUILD_IT}” or “{DROP_IT}”, or write what to change and I plan again."
PLAN_DROPPED = "Dropped: nothing was changed. Write to me when you want another plan."
PLAN_APPROVED = "Approved. I build it now."
PLAN_AGAIN = "I take that along and plan again."
READING_FIRST = "I have heard you. I read the issue first."
GUIDE = (
    "**How to work with me**\n\n"
    "- Delegate the issue to me, or mention me and say what to do (“fix the parser”, “add a test”): I begin a session, "
    "work on a branch and show each step here.\n"
    "- Ask me anything else and I answer without changing anything. My answer ends with “Work on it”, if you want more.\n"
    "- Write here while I work and I take it along; begin with `/queue` to have it done afterwards. Stop ends the work.\n"
    "- When I ask, choose an option or answer in your own words.\n"
    "- `[agent=plan]`, `[model=provider/model]`, `[template=name]`, `[repo=owner/name]` or `[priority=high]` in your "
    "request choose with what I work; labels such as `model:provider/model` do the same."
)


def session_started(issue: Issue | None, prompt: Prompt) -> str:
    """The first thing people read, before anything slow is touched."""
    if issue is None:
        return "🚀 **Session Started!** I am preparing a workspace and will show each step here."
    doing = "You handed me" if prompt.kind == "delegation" else "I'll work on"
    return (
        f"🚀 **Session Started!** {doing} **{issue.key}** “{one_line(issue.title, 120)}”. "
        "I am preparing a workspace and will show each step here."
    )


def turn_started(prompt: Prompt) -> str:
    """The first thought of a later turn: it names what begins."""
    words = one_line(prompt.text, 120)
    return f"On it: “{words}”" if words else "On it."


def answering(prompt: Prompt) -> str:
    """The first thought of a simple answer."""
    words = one_line(prompt.text, 120)
    return f"Looking into it: “{words}”" if words else "Looking into it."


def planning(prompt: Prompt) -> str:
    """The first thought of a turn that makes a plan."""
    words = one_line(prompt.text, 120)
    return f"Planning first: “{words}”" if words else "Planning first."


def not_chosen(reasons: tuple[str, ...]) -> str:
    """What was named in a request and could not be taken."""
    return "I go on without what I could not use: " + "; ".join(reasons) + "."
