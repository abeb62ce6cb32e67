"""What people read, and the conversation keeps, of changes of the issue that the agent was told of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dragoman.core.edits import Edit
from dragoman.core.text import one_line

NAMES_MOST = 3
_COMMENTS = {"comment": ("a comment", "comments"), "rewritten": ("a rewritten comment", "rewritten comments")}


def told(edits: Sequence[Edit]) -> str:
    """One thought for all of them."""
    parts = [f"the {one.what} changed{_by(one.who)}" for one in edits if one.what in {"title", "description"}]
    for what, (a_comment, comments) in _COMMENTS.items():
        found = [one for one in edits if one.what == what]
        if found:
            count = a_comment if len(found) == 1 else f"{len(found)} {comments}"
            parts.append(f"{count}{_by(name for one in found for name in one.who)}")
    return f"News on the issue: {', '.join(parts)}. I have told the agent."


def line(edit: Edit) -> str:
    """What one of them is, for the agent; its words stand below."""
    who = names(edit.who) or "Somebody"
    match edit.what:
        case "title":
            return f"{who} changed the title. It is now:"
        case "description":
            return f"{who} changed the description."
        case "comment":
            return f"{who} wrote a comment:"
        case "rewritten":
            return f"{who} rewrote a comment. It reads now:"


def for_history(edits: Iterable[Edit]) -> str:
    """What the conversation keeps of them."""
    return "\n\n".join(f"{line(one)}\n{one.words}" for one in edits)


def _by(who: Iterable[str]) -> str:
    found = names(who)
    return f" by {found}" if found else ""


def names(who: Iterable[str]) -> str:
    """People, each named once; of many the first ones; empty when nobody is known."""
    shown = [one_line(name, 60) for name in dict.fromkeys(who)]
    rest = len(shown) - NAMES_MOST
    if rest > 0:
        return f"{', '.join(shown[:NAMES_MOST])} and {rest} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
