"""From Linear: what people change on an issue beside what they say to the agent. It is told to every session of it."""

from __future__ import annotations

from dragoman.core.events.linear import Person
from dragoman.ids import CommentId
from dragoman.record import Record


class IssueEdited(Record):
    """A person has changed the title or the description; None = that one is as it was.

    at  when, seconds since the epoch, by Linear's clock
    """

    by: Person
    at: float
    title: str | None = None
    description: str | None = None


class CommentWritten(Record):
    """A person has written a comment on the issue, or rewritten one.

    at         when, seconds since the epoch, by Linear's clock
    root       the first comment of the thread it stands in; itself when it begins one
    edited     it was there before, with other words
    addressed  it mentions us: then the words come, or came, as a prompt
    """

    by: Person
    at: float
    comment: CommentId
    root: CommentId
    text: str
    edited: bool = False
    addressed: bool = False


class CommentRemoved(Record):
    """A comment on the issue is gone; `at` when, seconds since the epoch, by Linear's clock."""

    comment: CommentId
    at: float


IssueEvent = IssueEdited | CommentWritten | CommentRemoved
