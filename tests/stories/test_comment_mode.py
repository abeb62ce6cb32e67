"""People without agent sessions: they mention the agent in a comment, and the conversation is in its thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.sim.script import Ask, Pause, Say, Think, Use
from tests.stories.agent_script import Guarded
from tests.stories.comment_stage import CommentStage

COLOUR = Ask(question="Which colour?", options=(("Red", "warm"), ("Blue", "cold")))
PUSH = Guarded(tool="bash", args={"command": "git push"})
LONG = Use(tool="bash", args={"command": "wait tool"})

MakeStage = Callable[..., CommentStage]


@pytest.fixture
def make_stage(tmp_path: Path, upstream: Path) -> MakeStage:
    """Give a way to make the stage of a story."""

    def make(**how: object) -> CommentStage:
        return CommentStage(tmp_path, upstream, **how)  # type: ignore[arg-type]  # passed on as they are

    return make


async def test_a_mention_is_answered_in_its_thread(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", (Think(text="Hm."), Say(text="Fixed.")))
        session = stage.call("@OpenCode please fix it")
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        progress, answer = stage.written(session)
        assert progress.body.startswith("**What I did**")
        assert "Session Started" in progress.body
        assert answer.body == "Fixed."
        assert {one.parent for one in (progress, answer)} == {stage.place(session).root}
        assert "please fix it" in stage.prompts(session)[0]


async def test_a_follow_up_in_the_thread_keeps_the_context(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Say(text="Fixed."))
        stage.agent.plays("tests too", Say(text="Tested."))
        session = stage.call()
        await stage.final(session)
        stage.reply(session, "and the tests too")
        assert await stage.final(session, 2) == ("response", "Tested.")
        assert len(stage.agent.threads) == 1
        assert len(stage.prompts(session)) == 2
