"""What the machine and the agent need of a library session's context."""

from __future__ import annotations

from datetime import UTC, datetime

from dragoman.core.context import LinearContext
from dragoman.core.events.linear import Issue, Person, Prompt
from dragoman.ids import IssueId, UserId


def issue_of(context: LinearContext, key: str = "") -> Issue:
    """The issue. `key`: "ENG-12" where it is known."""
    return Issue(
        id=IssueId(context.issue_id),
        key=key,
        title=context.issue_title,
        description=context.issue_description,
        team_id=context.team_id,
        team_key=key.partition("-")[0],
    )


def person_of(context: LinearContext) -> Person:
    """Who wrote."""
    return Person(id=UserId(context.user_id), name=context.user_name)


def prompt_of(context: LinearContext, message: str) -> Prompt:
    """A message in the name of who wrote, with the issue and, when it is another text, the comment as its context."""
    about = [f"Issue {context.issue_id}: {context.issue_title}", context.issue_description]
    if message.strip() != context.mention_text.strip():
        about.append(f"Comment by {context.user_name}: {context.mention_text}")
    return Prompt(
        text=message,
        author=person_of(context),
        context="\n\n".join(part for part in about if part.strip()),
        sent_at=written_at(context.created_at),
        kind="mention",
    )


def written_at(moment: str) -> float:
    """Seconds since the epoch of an ISO 8601 moment, UTC unless it says otherwise; 0 when it is none."""
    try:
        read = datetime.fromisoformat(moment)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
