"""The context of a comment, for tests of the library's face."""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core.context import LinearContext

CONTEXT = LinearContext(
    issue_id="issue-123",
    issue_title="Add authentication",
    issue_description="We need OAuth.",
    user_id="user-456",
    user_name="Ann",
    team_id="team-789",
    comment_id="comment-1",
    mention_text="@opencodeagent help me implement authentication",
    created_at="2026-11-20T09:15:03.900Z",
)


def a_context(**changes: str) -> LinearContext:
    return replace(CONTEXT, **changes)
