"""What a person asked when a session was opened, in their own words, and the rules that come with it.

Three shapes: a mention in a comment of its own (the words are the root comment), a delegation (the root comment is
Linear's stub, which nobody wrote), a mention inside an older thread (the root comment is somebody else's; the words are
in `promptContext`). `promptContext` is prose with tags, not XML: people's text is not escaped in it. Nothing read from
it steers anything; it is shown to the agent as what a person wrote.

Source  linear.app/developers/agent-interaction
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from dragoman.ids import UserId
from dragoman.linear import wire
from dragoman.record import Record

# Seen in the wild as the body of the comment that Linear itself puts at the root of a delegation's thread.
_STUB = "This thread is for an agent session"
_THREAD = "<primary-directive-thread"
_THREAD_END = "</primary-directive-thread>"
_COMMENT = re.compile(r"<comment\b([^>]*)>(.*?)</comment>", re.DOTALL)
_USER = re.compile(r'<user id="([^"]*)">(.*?)</user>', re.DOTALL)


class Asked(Record):
    """text  the person's words, verbatim; empty for a bare delegation"""

    text: str
    kind: Literal["mention", "delegation"]


def of(payload: wire.Payload, session: wire.AgentSession, app_user: UserId | None) -> Asked:
    """Find the words that opened the session."""
    root = session.comment
    source = session.source_comment_id
    if source and (root is None or source != root.id):
        for comment in payload.previous_comments or ():
            if comment.id == source and comment.body:
                return Asked(text=comment.body, kind="mention")
        ids = tuple(known for known in (root.id if root else None, source) if known)
        if words := _words_in_thread(payload.prompt_context or "", ids, app_user):
            return Asked(text=words, kind="mention")
    body = (root.body if root else None) or ""
    if not body or is_stub(body):
        return Asked(text="", kind="delegation" if session.issue is not None else "mention")
    return Asked(text=body, kind="mention")


def is_stub(body: str) -> bool:
    """Whether a comment is the root that Linear makes for a delegation: nobody wrote it."""
    return body.lstrip().startswith(_STUB)


def nearest_first(rules: Sequence[wire.GuidanceRule], issue: wire.Issue | None) -> tuple[str, ...]:
    """The texts of guidance, the issue's own team first, then its parents, other teams, the organization."""
    parents = {rule.origin.team.id: rule.origin.team.parent_id for rule in rules if rule.origin and rule.origin.team}
    distance: dict[str, int] = {}
    team = (issue.team_id or (issue.team.id if issue.team else None)) if issue else None
    while team and team not in distance:
        distance[team] = len(distance)
        team = parents.get(team)

    def how_far(rule: wire.GuidanceRule) -> int:
        if rule.origin is None or rule.origin.team is None:
            return len(rules) + 2
        return distance.get(rule.origin.team.id or "", len(rules) + 1)

    return tuple(rule.body for rule in sorted(rules, key=how_far) if rule.body and rule.body.strip())


def _words_in_thread(context: str, ids: tuple[str, ...], app_user: UserId | None) -> str:
    """The newest comment of the directive thread that mentions us, else its newest comment."""
    start = _thread_start(context, ids)
    if start < 0:
        return ""
    end = context.find(_THREAD_END, start)
    comments = [words for _, words in _COMMENT.findall(context[start : end if end >= 0 else len(context)])]
    if not comments:
        return ""
    mentioning = [words for words in comments if app_user and f'<user id="{app_user}">' in words]
    newest = (mentioning or comments)[-1]
    return _USER.sub(lambda mention: "@" + mention[2], newest).strip()


def _thread_start(context: str, ids: tuple[str, ...]) -> int:
    """Where the thread begins. Its id is looked for, since an issue's description may hold text that looks like one."""
    for known in ids:
        start = context.find(f'{_THREAD} comment-id="{known}"')
        if start >= 0:
            return start
    return context.find(_THREAD) if context.count(_THREAD) == 1 else -1
