"""`dragoman forget`: beside a service, without one, and over a crash; afterwards nothing that was said can be found."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli.forget import AT_IT
from dragoman.ledger import audit
from dragoman.sim.script import Say, Use
from tests.projection.valkey import Valkey
from tests.stories.conftest import MakeStage
from tests.stories.world import SERVE, Stage

WORD = "xylophone"  # stands in everything that people and the agent say here
WRITES = Use(tool="bash", args={"command": f"wait {WORD}"})
COMMAND_S = 60.0


@asynccontextmanager
async def talked(make_stage: MakeStage, *, stay: bool = False, **how: Any) -> AsyncIterator[tuple[Stage, str, str]]:
    """A stage on which a person and the agent talked; the issue's key and the session. `stay`: the turn goes on."""
    async with make_stage(**how) as stage:
        stage.agent.plays(WORD, WRITES, Say(text=f"A {WORD} has wooden bars."))
        issue = stage.issue(f"Tune the {WORD}")
        session = stage.mention(f"please fix the {WORD}", issue=issue)
        await stage.until_shown(session, "action", f"wait {WORD}")
        if not stay:
            stage.agent.release(WORD)
            await stage.final(session)
            assert found_in(stage) != []
        yield stage, issue, session


async def forget(stage: Stage, *arguments: str) -> tuple[int, str]:
    """The command as a process of its own: its exit code and what it says, but for what it says when it has to wait."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, "forget", *arguments),
        env=stage.environment(),
        cwd=stage.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), COMMAND_S)
    assert process.returncode is not None
    return process.returncode, (said + complained).decode().replace(f"{AT_IT}\n", "")


def found_in(stage: Stage) -> list[str]:
    """The files of the data folder in which the word stands, in any case, by content or name.

    By another process: one that opens and closes the file of a ledger loses all its locks on it, those of SQLite too.
    """
    data = stage.folder / "data"
    by_content = subprocess.run(
        ["grep", "-rlai", WORD, str(data)], capture_output=True, text=True, check=False, timeout=60
    )
    by_name = subprocess.run(
        ["find", str(data), "-iname", f"*{WORD}*"], capture_output=True, text=True, check=False, timeout=60
    )
    return by_content.stdout.splitlines() + by_name.stdout.splitlines()


async def test_a_forgotten_issue_is_gone_from_every_store_while_the_service_runs(make_stage: MakeStage) -> None:
    async with talked(make_stage) as (stage, issue, session):
        other = stage.mention("fix something else")
        await stage.final(other)
        thread = stage.agent.thread_of(session).id
        code, said = await forget(stage, issue.lower())
        assert (code, said.splitlines()[0].startswith(f"Forgot {issue}: 1 session(s) with ")) == (0, True), said
        assert f"agent session {session} with all that was posted in it" in said
        assert f"the issue {issue} with its comments" in said
        assert found_in(stage) == []
        assert thread not in stage.agent.threads
        assert stage.agent.thread_of(other).id in stage.agent.threads
        assert len(list((stage.folder / "data" / "workspaces").glob("*/*"))) == 1
        code, said = await forget(stage, issue)
        assert (code, said.splitlines()[0]) == (0, f"Nothing is kept of {issue} (any more).")
        assert stage.service is not None
        [decision] = [row for row in await stage.service.ledger.read(audit.newest) if row.source == "cli"]
        assert (decision.action, decision.verdict, decision.session) == ("forget", "allowed", session)
        # Who writes again begins anew.
        stage.unchecked.add(session)
        stage.agent.plays("again", Say(text="Here I am."))
        stage.people.follow_up(session, "fix it again")
        assert await stage.final(session, 2) == ("response", "Here I am.")


@pytest.mark.deep
async def test_an_issue_is_forgotten_without_a_service_too(make_stage: MakeStage) -> None:
    async with talked(make_stage) as (stage, issue, _):
        await stage.quiet()
        await stage.stop()
        shown, told = await forget(stage, issue, "--dry-run")
        assert (shown, told.splitlines()[0]) == (0, f"There are 1 session(s) of {issue}.")
        code, said = await forget(stage, issue, "--json")
        report = json.loads(said)
        assert (code, report["sessions"], report["threads"], report["workspaces"], report["left"]) == (0, 1, 1, 1, [])
        assert report["remains"]["branches"][0].startswith("acme/shop: ")
        assert found_in(stage) == []
        await stage.start()


@pytest.mark.deep
async def test_a_simple_answer_is_forgotten_with_its_thread(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays(WORD, Say(text=f"A {WORD} has wooden bars."))
        issue = stage.issue(f"On the {WORD}")
        session = stage.mention(f"what is a {WORD}?", issue=issue)
        await stage.final(session)
        await stage.quiet()
        assert (await forget(stage, issue))[0] == 0
        assert found_in(stage) == []
        assert stage.agent.threads == {}


@pytest.mark.deep
async def test_a_turn_under_way_is_not_forgotten_unless_it_may_be_stopped(make_stage: MakeStage) -> None:
    async with talked(make_stage, stay=True) as (stage, issue, session):
        code, said = await forget(stage, issue)
        assert (code, said.strip()) == (
            3,
            f"{issue} was not forgotten: a turn is under way; wait for its end, or use --stop.",
        )
        assert found_in(stage) != []
        code, said = await forget(stage, issue, "--stop")
        assert (code, said.startswith(f"Forgot {issue}")) == (0, True), said
        assert stage.finals(session)[0][1].startswith("Stopped")
        assert found_in(stage) == []


@pytest.mark.deep
async def test_forgetting_goes_on_after_a_crash(make_stage: MakeStage) -> None:
    async with talked(make_stage, apart=True) as (stage, issue, _):
        held = stage.agent.hold("delete", after=True)
        asking = asyncio.create_task(forget(stage, issue))
        await held.wait_reached()
        await stage.kill()
        held.release()
        await stage.start()
        code, said = await asking
        assert (code, said.startswith(f"Forgot {issue}: 1 session(s)")) == (0, True), said
        assert found_in(stage) == []


@pytest.mark.deep
async def test_an_agent_that_locked_its_folders_is_forgotten_with_them(make_stage: MakeStage) -> None:
    async with talked(make_stage) as (stage, issue, _):
        [workspace] = (stage.folder / "data" / "workspaces").glob("*/*")
        locked = workspace / "locked" / "inside"
        locked.mkdir(parents=True)
        (locked / "file.txt").write_text(WORD, "utf-8")
        locked.chmod(0o500)
        locked.parent.chmod(0o000)
        assert (await forget(stage, issue))[0] == 0
        assert not workspace.exists()


async def test_a_command_line_that_may_change_nothing_forgets_nothing(make_stage: MakeStage) -> None:
    async with talked(make_stage, settings={"ENABLE_SESSION_MANAGEMENT": "false"}) as (stage, issue, _):
        code, said = await forget(stage, issue)
        assert (code, "ENABLE_SESSION_MANAGEMENT is false" in said) == (1, True)
        assert found_in(stage) != []


@pytest.mark.deep
async def test_a_forgotten_issue_leaves_the_copy_in_redis_too(
    make_stage: MakeStage, valkey_server: Path, tmp_path: Path
) -> None:
    valkey = Valkey(valkey_server, tmp_path)
    await valkey.start()
    try:
        async with talked(make_stage, settings={"SESSION_STORAGE_URL": valkey.url}) as (stage, issue, session):
            await until_copied(stage, valkey, lambda held: WORD in held)
            code, said = await forget(stage, issue)
            assert (code, "Not removed" in said) == (0, False), said
            held = json.dumps(await valkey.everything()).lower()
            assert WORD not in held
            assert session not in held
    finally:
        await valkey.close()


async def until_copied(stage: Stage, valkey: Valkey, true: Callable[[str], bool]) -> None:
    async def copied() -> bool:
        return true(json.dumps(await valkey.everything()).lower())

    await stage.until_known(copied, "the copy")
