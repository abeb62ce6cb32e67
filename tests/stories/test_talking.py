"""People begin, write on and read along."""

from __future__ import annotations

from dragoman.sim.script import Say
from tests.stories.conftest import MakeStage


async def test_a_mention_is_answered_with_the_agents_own_words(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", Say(text="I fixed it."))
        session = stage.mention("please fix it")
        assert await stage.final(session) == ("response", "I fixed it.")
        assert "please fix it" in stage.prompts(session)[0]
