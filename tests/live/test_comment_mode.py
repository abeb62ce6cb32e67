"""People without agent sessions, with the real OpenCode: from a comment to work on disk, all in one thread."""

from __future__ import annotations

import pytest

from dragoman.sim.records import Comment
from tests.live.conftest import Serving

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

SETTINGS = {"LINEAR_AGENT_MODE": "comment", "LINEAR_AGENT_NAME": "OpenCode"}
NO_SESSIONS = {"resources": ("Comment", "Issue"), "agent_sessions": False}


async def test_a_mention_in_a_comment_becomes_finished_work_after_one_question(serving: Serving) -> None:
    async with serving(settings=SETTINGS, linear=NO_SESSIONS) as service:
        linear = service.linear
        issue = linear.people.create_issue("average() is wrong", "It divides by one too many.")
        root = linear.people.comment(issue.id, "@OpenCode please fix it")

        def written() -> list[Comment]:
            return [one for one in linear.world.thread(root.id) if one.author == linear.world.agent.id]

        question = await service.becomes(
            lambda: next((one for one in written() if "What should average([]) do?" in one.body), None), 60.0
        )
        assert "1. " in question.body
        linear.people.comment(issue.id, "1", parent=root.id)
        final = await service.becomes(lambda: next((one for one in written() if "Fixed." in one.body), None), 60.0)
        progress = await service.becomes(lambda: [one for one in written() if one.body.startswith("**What I did**")])

        assert written() == [*progress, question, final]
        assert progress[0].edits > 0
        assert "- [x] " in progress[0].body
        assert "Edited `stats.py`" in progress[0].body
        assert str(service.folder) not in "".join(one.body for one in written())
        assert linear.world.sessions == {}
