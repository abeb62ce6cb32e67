"""What asks for work on our pull request, and what is answered there."""

from __future__ import annotations

from typing import Literal

from dragoman.record import Record


class Finding(Record):
    """One thing on our pull request that asks for work. Its words are untrusted, whoever wrote them.

    key     by what it is known again, "comment:17"
    kind    review    a review as a whole: changes requested, or words beside no line
            comment   words beside a line, in a thread, or in the conversation (`where` is empty)
            check     a check or a commit status that is red
            conflict  the branch cannot be merged into its base
    author  login of the reviewer; empty for checks and conflicts
    where   "src/add.py:12", the check's name, the base branch
    text    the reviewer's words; what a check tells and the end of its log; bounded
    lines   the end of the diff that it is about; empty beside no line
    thread  the comment under which an answer belongs; 0 without one
    asks    whether the reviewer requests changes
    """

    key: str
    kind: Literal["review", "comment", "check", "conflict"]
    author: str = ""
    where: str = ""
    text: str = ""
    lines: str = ""
    thread: int = 0
    asks: bool = False


class Reply(Record):
    """An answer to a reviewer: under the comment `thread`, or beside the pull request when that is 0."""

    key: str
    thread: int
    body: str
