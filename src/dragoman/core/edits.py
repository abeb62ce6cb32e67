"""What people change on an issue beside what they say to the agent, and how several changes become one."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from dragoman.record import Record

HEARD_MOST = 50  # changes that are known again when Linear tells of them once more
COMMENTS_MOST = 20  # that wait to be told; of more the newest
COMMENT_MOST = 6_000  # characters
DESCRIPTION_MOST = 20_000  # characters; of a longer one the beginning is told, and no difference
TITLE_MOST = 500  # characters


class Edit(Record):
    """One change, as the agent is told of it. Its words are untrusted, whoever wrote them.

    what    title, description, a comment that is new, or one that was rewritten
    key     by what it is known again: "title", "description", the comment's id
    who     names of those who did it; none when that is not known
    words   how it reads now, bounded
    before  how it read when the agent last heard of it; empty when that is not known, and for comments
    """

    what: Literal["title", "description", "comment", "rewritten"]
    key: str
    who: tuple[str, ...]
    words: str
    before: str = ""

    @property
    def added(self) -> str:
        """The lines that were not there before."""
        known = set(self.before.splitlines())
        return "\n".join(each for each in self.words.splitlines() if each not in known)


class Edits(Record):
    """What is known of the changes of a session's issue.

    heard    what was heard, and when it was done: (key, seconds since the epoch), the newest ones
    waiting  what the agent is still to be told, oldest first
    since    when the first of those was heard; seconds since the epoch
    due      they were gathered long enough
    times    how often the agent was told in this turn, beside its beginning
    """

    heard: tuple[tuple[str, float], ...] = ()
    waiting: tuple[Edit, ...] = ()
    since: float = 0.0
    due: bool = False
    times: int = 0

    def is_new(self, key: str, at: float) -> bool:
        """Whether what was done at that time is newer than all that was heard of it."""
        return all(at > when for known, when in self.heard if known == key)

    def having_heard(self, key: str, at: float) -> Edits:
        """The same, and it is known when that was last changed."""
        others = tuple(each for each in self.heard if each[0] != key)
        return replace(self, heard=(*others, (key, at))[-HEARD_MOST:])

    def with_edit(self, edit: Edit) -> Edits:
        """The same with one more change; later ones of the same thing are told as one, and a change taken back is none."""
        old = next((one for one in self.waiting if one.key == edit.key), None)
        if old is None:
            return replace(self, waiting=_newest((*self.waiting, edit)))
        who = tuple(dict.fromkeys((*old.who, *edit.who)))
        both = replace(edit, what=old.what, before=old.before, who=who)
        if both.what in {"title", "description"} and both.words == both.before:
            return self.without(edit.key)
        return replace(self, waiting=tuple(both if one is old else one for one in self.waiting))

    def without(self, key: str) -> Edits:
        """The same, but that is not told."""
        return replace(self, waiting=tuple(one for one in self.waiting if one.key != key))


def _newest(waiting: tuple[Edit, ...]) -> tuple[Edit, ...]:
    comments = [one for one in waiting if one.what in {"comment", "rewritten"}]
    too_many = comments[: max(0, len(comments) - COMMENTS_MOST)]
    return tuple(one for one in waiting if one not in too_many)
