"""The agent's last words become answers in the threads of its reviewers. It never speaks to the forge itself."""

from __future__ import annotations

import re

from dragoman.core import wording
from dragoman.core.draft import Draft
from dragoman.core.effects import ReplyToReview
from dragoman.core.events.opencode import Answered
from dragoman.core.findings import Reply
from dragoman.core.session import Turn
from dragoman.core.tools import bounded

REPLY_MOST = 4_000  # characters
# "Reply to 2: Renamed.", also in bold or as an item of a list; it goes on until the next one or a blank line.
_REPLY = re.compile(r"^\s*(?:[-*]\s+)?\**reply\s+to\s+#?(\d{1,3})\s*\**\s*:\s*\**\s*(.*)$", re.IGNORECASE)


def reply_to_review(draft: Draft, answer: Answered) -> None:
    """At the end of a turn that took up a review: have each reviewer answered, once."""
    replies = replies_of(draft.turn, answer.text)
    if replies:
        effect = ReplyToReview(run=draft.turn.run, pull_request=draft.session.pull_request, replies=replies)
        draft.do(effect)


def replies_of(turn: Turn, words: str) -> tuple[Reply, ...]:
    """One for each finding that is somebody's words."""
    said = _numbered(words)
    asked = [(number, one) for number, one in enumerate(turn.review, 1) if one.kind in {"review", "comment"}]
    found = []
    for number, finding in asked:
        own = said.get(number) or (
            words.strip() if len(asked) == 1 and not said else wording.review.no_words(turn.commits)
        )
        body = bounded(own, REPLY_MOST)
        body = (
            f"{body}\n\n{wording.review.UNPUSHED}" if turn.unpushed else wording.review.with_commits(body, turn.commits)
        )
        if not finding.thread:
            body = wording.review.addressed(finding.author, body)
        found.append(Reply(key=finding.key, thread=finding.thread, body=body))
    return tuple(found)


def named(turn: Turn, words: str) -> str:
    """The agent's words with its answers under the names of those who are answered: in Linear nobody knows the numbers."""
    return "\n".join(_named(turn, line) for line in words.split("\n")) if turn.review else words


def _named(turn: Turn, line: str) -> str:
    found = _REPLY.match(line)
    if found is None or not 1 <= int(found[1]) <= len(turn.review):
        return line
    return f"- {wording.review.answers(turn.review[int(found[1]) - 1])} {found[2]}".rstrip()


def _numbered(words: str) -> dict[int, str]:
    found: dict[int, list[str]] = {}
    into: list[str] | None = None
    for line in words.splitlines():
        if begun := _REPLY.match(line):
            into = found.setdefault(int(begun[1]), [])
            into.append(begun[2].strip())
        elif not line.strip():
            into = None
        elif into is not None:
            into.append(line.rstrip())
    return {number: text for number, lines in found.items() if (text := "\n".join(lines).strip())}
