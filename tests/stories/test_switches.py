"""The switches of the environment, as people feel them."""

from __future__ import annotations

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage

ECHO = Use(tool="bash", args={"command": "echo hello"})


async def test_without_streaming_people_read_one_thought_and_the_final(make_stage: MakeStage) -> None:
    async with make_stage(settings={"ENABLE_SESSION_STREAMING": "false"}) as stage:
        await stage.until_opencode_is_up()
        stage.agent.plays("", (Say(text="First I look."), ECHO), Say(text="Fixed."))
        session = stage.mention("please fix it")
        assert await stage.final(session) == ("response", "Fixed.")
        assert [kind for kind, _ in stage.shown(session)] == ["thought", "response"]
        assert "Session Started" in stage.thoughts(session)[0]


async def test_without_persistence_nothing_is_written_and_the_log_and_readyz_say_so(make_stage: MakeStage) -> None:
    async with make_stage(settings={"ENABLE_SESSION_PERSISTENCE": "false"}) as stage:
        assert stage.service is not None
        stage.agent.plays("", Say(text="Fixed."))
        session = stage.mention("please fix it")
        assert await stage.final(session) == ("response", "Fixed.")
        assert not list((stage.folder / "data").glob("*.db*"))
        [said] = [line for line in stage.logged().splitlines() if "persistence.off" in line]
        assert "warning" in said
        assert "everything is forgotten when this process ends" in said
        assert any("everything is forgotten" in trouble for trouble in stage.service.troubles())
