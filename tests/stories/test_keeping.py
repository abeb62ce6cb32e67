"""What is in a workspace is kept: saved while it is worked in, removed when the issue is over, back when it is reopened."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.errors import OpenCodeDown
from dragoman.ids import SessionId
from dragoman.opencode.client import OpenCode
from dragoman.repositories.naming import checkpoint_ref, rescue_ref
from dragoman.runtime.performers import people
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import FIX, at_work, commits, git, writes
from tests.stories.world import DEADLINE_S, Stage


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Who does not know the issue in time works on a branch of another name.
    monkeypatch.setattr(people, "ISSUE_S", DEADLINE_S)


def copy_of(stage: Stage) -> Path:
    """Our own copy of the repository."""
    assert stage.service is not None
    return next((stage.service.settings.data_dir / "repositories").glob("*.git"))


async def test_work_is_saved_during_a_turn_and_at_its_end(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        assert stage.service is not None
        stage.service.engine.rules = replace(stage.service.engine.rules, checkpoint_s=0.2)
        session = await at_work(stage)
        writes(stage.workspace(session), "half.py", "half = True\n")
        await stage.until_done("SaveWork")
        ref = checkpoint_ref(SessionId(session))

        async def saved() -> bool:
            listed = await asyncio.to_thread(git, copy_of(stage), "ls-tree", "-r", "--name-only", ref)
            return "half.py" in listed

        await stage.until_known(saved, "a checkpoint with half.py")
        stage.agent.release("work")
        await stage.final(session)


@pytest.mark.deep
async def test_a_finished_issue_leaves_no_workspace_and_a_reopened_one_finds_all_again(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.world.resources.add("Issue")
        session = await at_work(stage)
        workspace = stage.workspace(session)
        writes(workspace)
        commits(workspace)
        writes(workspace, "idea.py", "not committed\n")
        stage.agent.release("work")
        await stage.final(session)
        tip, branch = git(workspace, "rev-parse", "HEAD"), git(workspace, "branch", "--show-current")
        issue = stage.world.session(session).issue or ""
        key = stage.world.issue(issue).identifier

        stage.people.set_state(issue, "Done")
        await stage.until(lambda: not workspace.exists(), "the workspace to go")
        saved = git(copy_of(stage), "ls-tree", "-r", "--name-only", rescue_ref(SessionId(session), key)).split()
        assert {"add.py", "idea.py"} <= set(saved)

        stage.agent.plays("go on", Use(tool="bash", args={"command": "wait again"}), Say(text="Went on."))
        stage.people.follow_up(session, "please go on")
        await stage.until_shown(session, "action", "wait again")
        assert git(workspace, "rev-parse", "HEAD") == tip
        assert git(workspace, "branch", "--show-current") == branch
        assert (workspace / "add.py").read_text() == FIX
        assert (workspace / "idea.py").read_text() == "not committed\n"
        stage.agent.release("again")
        assert (await stage.final(session, 2))[1].startswith("Went on.")


async def test_what_cannot_be_saved_stays(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.world.resources.add("Issue")
        session = await at_work(stage)
        workspace = stage.workspace(session)
        stage.agent.release("work")
        await stage.final(session)
        writes(workspace, "precious.py", "precious\n")
        shutil.rmtree(workspace / ".git")
        (workspace / ".git").write_text("gitdir: /nowhere\n")
        stage.people.set_state(stage.world.session(session).issue or "", "Canceled")
        await stage.until_heard(session, "Withdrawn")
        await stage.quiet()
        assert (workspace / "precious.py").read_text() == "precious\n"
        details = await stage.details(session)
        assert details.summary.status == "completed"


@pytest.mark.deep
async def test_a_workspace_that_nobody_used_for_long_is_saved_and_removed(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        assert stage.service is not None
        session = await at_work(stage)
        workspace = stage.workspace(session)
        stage.agent.release("work")
        await stage.final(session)
        await stage.quiet()
        keeping = stage.service.keeping
        assert await keeping.clear_idle(0) == 0
        assert await keeping.clear_idle(1.0) == 0
        assert await keeping.clear_idle(1e-9) == 1
        await stage.until(lambda: not workspace.exists(), "the workspace to go")
        assert (await stage.details(session)).summary.status == "active"


@pytest.mark.deep
async def test_checkpoints_are_pushed_where_that_is_wanted_and_dropped_when_nobody_needs_them(
    make_stage: MakeStage,
) -> None:
    async with make_stage(forge=True, repository={"checkpoint_push": True}) as stage:
        assert stage.service is not None
        session = await at_work(stage)
        ref = checkpoint_ref(SessionId(session))
        writes(stage.workspace(session), "half.py", "half = True\n")
        stage.agent.release("work")
        await stage.final(session)
        await stage.quiet()
        shop = stage.forge.repositories["acme/shop"]
        assert "half.py" in shop.git("ls-tree", "--name-only", ref)

        workspace, keeping = stage.workspace(session), stage.service.keeping
        await keeping.tidy(365)
        assert shop.git("for-each-ref", ref)
        await keeping.clear_idle(1e-9)
        await stage.until(lambda: not workspace.exists(), "the workspace to go")
        await stage.quiet()
        await keeping.tidy(0)
        assert session in git(copy_of(stage), "for-each-ref", "refs/dragoman/")
        await keeping.tidy(1e-9)
        assert session not in git(copy_of(stage), "for-each-ref", "refs/dragoman/")
        assert shop.git("for-each-ref", "refs/dragoman/") == ""
        assert git(copy_of(stage), "rev-parse", "refs/remotes/origin/main")


@pytest.mark.deep
async def test_submodules_and_large_files_are_told_and_come_through_all_of_it(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    async with make_stage(forge=True) as stage:
        stage.world.resources.add("Issue")
        shop = stage.forge.repositories["acme/shop"]
        people = tmp_path / "people"
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        git(tmp_path, "clone", "--quiet", *identity, str(shop.folder), str(people))
        writes(people, ".gitmodules", '[submodule "parts"]\n\tpath = parts\n\turl = https://example.org/parts.git\n')
        writes(people, ".gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n")
        writes(people, "logo.psd", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        git(people, "update-index", "--add", "--cacheinfo", f"160000,{git(people, 'rev-parse', 'HEAD')},parts")
        (people / "parts").mkdir()
        commits(people, "Add parts and a logo")
        git(people, "push", "--quiet")

        session = await at_work(stage)
        told = "\n".join(stage.thoughts(session))
        assert "submodules. They are not fetched" in told
        assert "Git LFS. They are not fetched" in told
        assert "small pointer files stand in" in stage.prompts(session)[0]
        workspace = stage.workspace(session)
        assert list((workspace / "parts").iterdir()) == []
        writes(workspace)
        commits(workspace)
        stage.agent.release("work")
        assert "**Pull request:**" in (await stage.final(session))[1]

        issue = stage.world.session(session).issue or ""
        stage.people.set_state(issue, "Done")
        await stage.until(lambda: not workspace.exists(), "the workspace to go")
        stage.agent.plays("go on", Use(tool="bash", args={"command": "wait again"}), Say(text="Went on."))
        stage.people.follow_up(session, "please go on")
        await stage.until_shown(session, "action", "wait again")
        writes(workspace, "more.py", "more = True\n")
        stage.agent.plays("not committed yet")
        stage.agent.release("again")
        await stage.final(session, 2)
        branch = stage.world.issue(issue).branch_name
        changed = shop.git("diff", "--name-only", "main", branch).split()
        assert changed == ["add.py", "more.py"]


async def test_what_was_said_long_ago_leaves_opencode_too_and_who_writes_again_begins_anew(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        keeping = stage.service.keeping
        answer = stage.mention("what is in it?")
        await stage.final(answer)
        session = stage.mention("please fix it")
        await stage.final(session)
        await stage.quiet()
        assert len(stage.agent.threads) == 2
        assert await keeping.delete_conversations(0) == 0
        assert await keeping.delete_conversations(1.0) == 0
        assert len(stage.agent.threads) == 2
        assert await keeping.delete_conversations(1e-9) == 2
        assert stage.agent.threads == {}
        assert await keeping.delete_conversations(1e-9) == 0

        stage.people.follow_up(session, "please fix it again")
        assert (await stage.final(session, 2))[0] == "response"
        await stage.quiet()
        assert len(stage.agent.threads) == 1
        assert await keeping.delete_conversations(1e-9) == 1
        assert stage.agent.threads == {}


async def test_what_opencode_could_not_delete_is_deleted_the_next_time(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        keeping = stage.service.keeping
        await stage.final(stage.mention("please fix it"))
        await stage.quiet()
        client = keeping._host.client

        async def away() -> OpenCode:
            raise OpenCodeDown("away")

        keeping._host.client = away  # type: ignore[method-assign]
        assert await keeping.delete_conversations(1e-9) == 0
        keeping._host.client = client  # type: ignore[method-assign]
        assert await keeping.delete_conversations(1e-9) == 1
        assert stage.agent.threads == {}
