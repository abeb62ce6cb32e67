"""A new workspace is set up before the agent begins, and people and the agent hear how that went."""

from __future__ import annotations

from pathlib import Path

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, git


async def test_files_are_brought_and_setup_is_run_once_and_shown(make_stage: MakeStage, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / ".env").write_text("COLOUR=blue\n")
    how = {"copy": [".env"], "copy_from": "files", "setup": ["cat .env", "echo ready > made.txt"]}
    async with make_stage(repository=how) as stage:
        session = await at_work(stage)
        workspace = stage.workspace(session)
        assert (workspace / "made.txt").read_text() == "ready\n"
        assert git(workspace, "status", "--porcelain") == "?? made.txt"
        (workspace / "made.txt").unlink()
        stage.agent.release("work")
        await stage.final(session)
        ran = [text for kind, text in stage.shown(session) if kind == "action" and "Set up" in text]
        assert len(ran) == 2
        assert "COLOUR=blue" in ran[0]
        assert "exit code 0" in ran[1]
        stage.people.follow_up(session, "and once more")
        await stage.final(session, 2)
        assert len([text for kind, text in stage.shown(session) if "Set up" in text]) == 2
        assert "About the workspace" not in "".join(stage.prompts(session))


async def test_a_setup_that_fails_is_told_to_people_and_to_the_agent(make_stage: MakeStage) -> None:
    async with make_stage(repository={"setup": ["echo no such package; exit 3", "touch never"]}) as stage:
        session = await at_work(stage)
        assert not (stage.workspace(session) / "never").exists()
        stage.agent.release("work")
        await stage.final(session)
        assert any("failed with exit code 3. I tell the agent and go on." in one for one in stage.thoughts(session))
        (prompt, *_) = stage.prompts(session)
        assert "failed with exit code 3; what comes after it was not run." in prompt
        assert "no such package" in prompt


async def test_a_setup_that_takes_too_long_is_ended(make_stage: MakeStage) -> None:
    async with make_stage(repository={"setup": ["sleep 600"], "setup_s": 1}) as stage:
        session = stage.mention("please fix it")
        assert (await stage.final(session))[0] == "response"
        assert any("did not end in time" in one for one in stage.thoughts(session))


async def test_stop_ends_a_setup(make_stage: MakeStage) -> None:
    async with make_stage(repository={"setup": ["echo one", "sleep 600"]}) as stage:
        session = stage.mention("please fix it")
        await stage.until_shown(session, "action", "echo one")
        stage.people.stop(session)
        assert (await stage.final(session))[0] == "response"
        assert stage.prompts(session) == []


async def test_a_simple_answer_needs_no_setup(make_stage: MakeStage) -> None:
    async with make_stage(repository={"setup": ["echo one"]}) as stage:
        stage.agent.plays("what is it", Use(tool="read", args={"filePath": "readme.md"}), Say(text="A shop."))
        session = stage.mention("what is it?")
        await stage.final(session)
        assert not [text for _, text in stage.shown(session) if "Set up" in text]
