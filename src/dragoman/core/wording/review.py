"""The sentences about what comes from GitHub to a pull request of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dragoman.core.findings import Finding
from dragoman.core.text import one_line

SHOWN = 10  # findings that are named one by one
UNPUSHED = "The change is made, but could not be pushed yet."


def begins(findings: Sequence[Finding], number: int, most: int) -> str:
    """The first thought of a turn that takes up what came from GitHub."""
    return f"From the pull request on GitHub:\n{listed(findings)}\n\nI take this up now (round {number} of {most})."


def waits(findings: Sequence[Finding]) -> str:
    """Something came in the middle of a turn."""
    return f"From the pull request on GitHub, taken up when this turn is done:\n{listed(findings)}"


def used_up(findings: Sequence[Finding], most: int) -> str:
    """The final when we do not go on by ourselves."""
    rounds = "1 round" if most == 1 else f"{most} rounds"
    return (
        f"After {rounds} on the pull request I do not go on by myself. Not solved:\n{listed(findings)}\n\n"
        "Write to me here how to go on, and I take it up again with this."
    )


def closed(*, merged: bool, by: str) -> str:
    """The final of a session whose pull request was closed."""
    if merged:
        return f"The pull request was merged{_by(by)}. My work on this is done."
    return (
        "The pull request was closed without being merged, so I leave it alone. The work is kept. Write to me to go on."
    )


def closed_during(*, merged: bool, by: str) -> str:
    """The same in the middle of a turn."""
    if merged:
        return f"The pull request was merged{_by(by)}. I end this turn, then my work on this is done."
    return "The pull request was closed without being merged."


def _by(who: str) -> str:
    return f" by {one_line(who, 60)}" if who else ""


def summary(findings: Sequence[Finding]) -> str:
    """What came, in one line, for the history."""
    count = Counter(one.kind for one in findings)
    names = {"review": "review", "comment": "comment", "check": "red check", "conflict": "merge conflict"}
    parts = [f"{number} {names[kind]}{'s' if number > 1 else ''}" for kind, number in count.items()]
    return f"From the pull request on GitHub: {', '.join(parts)}"


def listed(findings: Sequence[Finding]) -> str:
    """One line each, the first ones."""
    lines = [f"- {line(one)}" for one in findings[:SHOWN]]
    if more := len(findings) - SHOWN:
        lines += [f"- … and {more} more"] if more > 0 else []
    return "\n".join(lines)


def line(finding: Finding) -> str:
    """What one of them is, in a line."""
    who, where = one_line(finding.author, 60), one_line(finding.where, 120)
    words = one_line(finding.text, 160)
    said = f": “{words}”" if words else ""
    match finding.kind:
        case "review":
            return f"{who} requests changes{said}" if finding.asks else f"{who} reviewed{said}"
        case "comment":
            return f"{who} on `{where}`{said}" if where else f"{who} wrote{said}"
        case "check":
            return f"the check “{where}” is red"
        case "conflict":
            return f"the branch conflicts with `{where}`"


def answers(finding: Finding) -> str:
    """Whom or what the next words answer."""
    about = f"`{one_line(finding.where, 120)}`" if finding.where else ""
    if not finding.author:
        return f"On {about or 'it'}:"
    return f"To {one_line(finding.author, 60)}{f' on {about}' if about else ''}:"


def addressed(author: str, body: str) -> str:
    """A reply that stands in no thread says whom it answers."""
    return f"@{author} {body}" if author else body


def no_words(commits: Sequence[str]) -> str:
    """The reply to a comment that the agent gave no answer to."""
    if not commits:
        return "I looked into this review and changed nothing for this comment."
    return "I worked on this review as a whole and gave no answer of its own to this comment."


def with_commits(body: str, commits: Sequence[str]) -> str:
    """A reply with what was pushed since."""
    if not commits:
        return body
    return f"{body}\n\nPushed since: {', '.join(commit.partition(' ')[0] for commit in commits)}."
