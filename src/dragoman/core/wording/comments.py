"""What stands in comments where there are no agent sessions."""

from __future__ import annotations

PLAN_HEAD = "**Plan**"
STEP_FAILED = " (failed)"


def progress_head(*, ended: bool) -> str:
    """The first line of the comment that shows the progress of a turn."""
    return "**What I did**" if ended else "**Working on it…**"


def earlier_steps(count: int) -> str:
    """Stands for the steps that the comment no longer lists."""
    return f"… {count} earlier step{'s' if count > 1 else ''} …"


def further_items(count: int) -> str:
    """Stands for the end of a long plan."""
    return f"… and {count} more"


def all_steps(link: str) -> str:
    """Where every step stands in full."""
    return f"[All steps]({link})"


def choose_by_number(count: int) -> str:
    """How to choose where there are no buttons."""
    number = "the number" if count > 1 else "“1”"
    return f"Reply in this thread with {number}, with the words, or in words of your own."
