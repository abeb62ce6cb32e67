"""What we verified ourselves stands in the receipt, and beside the agent's words where the two differ."""

from __future__ import annotations

import re

import pytest

from dragoman.sim.script import Say
from tests.stories.agent_script import Guarded
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import WORK, at_work, commits, git, writes
from tests.stories.world import Stage

GREEN = "Done. All tests pass."


async def told(stage: Stage, words: str = GREEN, files: dict[str, str] | None = None) -> str:
    """The final of a turn in which the agent commits these files."""
    session = await at_work(stage, words)
    folder = stage.workspace(session)
    for path, text in (files or {"add.py": "x = 1\n"}).items():
        writes(folder, path, text)
    commits(folder)
    stage.agent.release("work")
    return (await stage.final(session))[1]


async def test_verify_commands_run_in_a_clean_clone_of_the_branch(make_stage: MakeStage) -> None:
    commands = ["test -f add.py", "test ! -e junk.txt", "git status --porcelain | wc -l"]
    async with make_stage(forge=True, repository={"verify": commands}) as stage:
        session = await at_work(stage, GREEN)
        folder = stage.workspace(session)
        writes(folder)
        writes(folder, ".gitignore", "junk.txt\n")
        commits(folder)
        writes(folder, "junk.txt", "only here")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert "**Verified by me** in a clean clone of the branch:" in body
        for command in commands:
            assert f"- ✅ `{command}`: exit code 0, " in body
        assert "⚠️" not in body
        [pull] = stage.forge.repositories["acme/shop"].pulls
        assert "✅ `test -f add.py`: exit code 0" in pull["body"]


async def test_a_claim_that_tests_passed_is_held_against_what_failed(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, repository={"verify": ["echo one is missing; exit 3"]}) as stage:
        body = await told(stage)
        assert "⚠️ The agent says that tests passed. When I ran `echo one is missing; exit 3`, it did not pass." in body
        assert "- ❌ `echo one is missing; exit 3`: exit code 3, " in body
        assert "one is missing\n" in body
        [pull] = stage.forge.repositories["acme/shop"].pulls
        assert "it did not pass" in pull["body"]


async def test_a_claim_that_tests_passed_where_none_were_run_is_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        body = await told(stage)
        assert "I have not seen it: none were run by me (no `verify` commands are set for this repository)." in body


@pytest.mark.deep
async def test_a_command_that_does_not_end_is_ended_and_told(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, repository={"verify": ["sleep 4712", "true"], "verify_s": 8}) as stage:
        body = await told(stage, "Done.")
        assert re.search(r"- ❌ `sleep 4712`: ended at its deadline, \d+\.\d", body)  # the clone takes of it, too
        assert "`true`" not in body
        assert len(stage.forge.repositories["acme/shop"].pulls) == 1


async def test_verify_commands_see_no_secret_and_change_nothing_outside(make_stage: MakeStage) -> None:
    look = "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; ls {data} 2>&1; cat {toml} {data}/dragoman.db 2>&1; exit 1"
    stage = make_stage(forge=True)
    command = look.format(data=stage.folder / "data", toml=stage.folder / "dragoman.toml")
    stage.repository["verify"] = [command]
    async with stage:
        body = await told(stage, "Done.")
        assert "exit code 1" in body
        assert "GITHUB" not in body.partition("exit code 1")[2]
        # `check` holds every text of the story against the canaries.


async def test_a_fix_whose_new_test_fails_on_the_base_is_proven(make_stage: MakeStage) -> None:
    verify = {"verify": ["python3 -m unittest -q"], "verify_red": True}
    async with make_stage(forge=True, repository=verify) as stage:
        test = "import unittest\nfrom add import add\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
        body = await told(stage, "Fixed.", {"add.py": "def add(a, b):\n    return a + b\n", "test_add.py": test})
        assert "- ✅ `python3 -m unittest -q`: exit code 0" in body
        assert (
            "**The new tests without the change** (they should fail):\n- ▫️ `python3 -m unittest -q`: exit code 1"
            in body
        )
        assert "Unproven" not in body


@pytest.mark.deep
async def test_a_fix_whose_new_test_passes_on_the_base_is_unproven(make_stage: MakeStage) -> None:
    verify = {"verify": ["python3 -m unittest -q"], "verify_red": True}
    async with make_stage(forge=True, repository=verify) as stage:
        test = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_nothing(self):\n        pass\n"
        body = await told(stage, "Fixed.", {"add.py": "x = 1\n", "test_add.py": test})
        assert "⚠️ **Unproven:** the new tests pass without the change as well" in body


async def test_a_fix_without_a_test_is_unproven(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, repository={"verify": ["true"], "verify_red": True}) as stage:
        assert "⚠️ **Unproven:** no test was added or changed" in await told(stage, "Fixed.")


async def test_the_receipt_tells_who_answered_which_ask(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        guarded = Guarded(tool="bash", args={"command": "make clean"})
        stage.agent.plays("", guarded, WORK, Say(text="Done."))
        session = stage.mention()
        await stage.until_shown(session, "elicitation")
        stage.people.answer(session, "once")
        await stage.until_shown(session, "action", "wait work")
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        _, body = await stage.final(session)
        who = stage.world.people[stage.world.session(session).creator or ""].name
        assert f"**Asked and answered:**\n- “make clean” → “once” ({who})" in body
        assert git(stage.workspace(session), "status", "--porcelain") == ""
