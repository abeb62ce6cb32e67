"""The end of a turn's work: pushed, offered as one pull request, and told with a receipt that nobody can dress up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

WORK = Use(tool="bash", args={"command": "wait work"})
FIX = "def add(a, b):\n    return a + b\n"


def git(folder: Path, *args: str) -> str:
    """What git says, as the agent would be told."""
    return subprocess.run(
        ["git", *args], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def writes(folder: Path, path: str = "add.py", text: str = FIX) -> None:
    """The agent writes a file."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text, encoding="utf-8")


def commits(folder: Path, message: str = "Add add()") -> None:
    """The agent commits everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


async def at_work(
    stage: Stage, words: str = "Done: add() is there.", *, request: str = "please fix it", issue: str | None = None
) -> str:
    """A session whose agent is in the middle of its work; `stage.agent.release("work")` lets it end."""
    stage.agent.plays(request, WORK, Say(text=words))
    session = stage.mention(request, issue=issue)
    await stage.until_shown(session, "action", "wait work")
    return session


async def test_committed_work_is_pushed_and_becomes_one_pull_request(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        kind, body = await stage.final(session)
        await stage.quiet()
        shop = stage.forge.repositories["acme/shop"]
        [pull] = shop.pulls
        issue = stage.world.issue(stage.world.session(session).issue or "")
        assert kind == "response"
        assert body.startswith("Done: add() is there.\n\n**Pull request:** " + pull["html_url"])
        assert "+++ Receipt\n**1 commit** on " in body
        assert "Add add()" in body
        assert "(1 file, +2 −0)" in body
        assert body.endswith("\n+++")
        assert pull["title"] == f"{issue.identifier}: {issue.title}"
        assert f"Fixes {issue.identifier}" in pull["body"]
        assert pull["head"]["ref"] == issue.branch_name
        assert shop.git("show", f"{issue.branch_name}:add.py") == FIX.strip()
        assert pull["html_url"] in stage.links(session)
        assert [one.url for one in stage.world.attachments.values() if one.issue == issue.id] == [pull["html_url"]]
        assert len(stage.prompts(session)) == 1


async def test_a_turn_that_changed_nothing_ends_with_the_agents_words_alone(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage, "It is right as it is.")
        stage.agent.release("work")
        assert await stage.final(session) == ("response", "It is right as it is.")
        assert stage.forge.repositories["acme/shop"].branches().keys() == {"main"}
        assert "push" not in stage.forge.requests


async def test_uncommitted_work_gets_one_nudge_whose_answer_replaces_nothing(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.agent.plays(
            "not committed yet", Use(tool="bash", args={"command": "wait commit"}), Say(text="Committed!")
        )
        session = await at_work(stage, "Done: add() is there.")
        folder = stage.workspace(session)
        writes(folder)
        stage.agent.release("work")
        await stage.until_shown(session, "action", "wait commit")
        assert "add.py" in stage.prompts(session)[1]
        commits(folder)
        stage.agent.release("commit")
        _, body = await stage.final(session)
        assert body.startswith("Done: add() is there.")
        assert "Committed!" not in body
        assert "The last one is mine" not in body
        assert len(stage.prompts(session)) == 2
        assert len(stage.forge.repositories["acme/shop"].pulls) == 1


@pytest.mark.deep
async def test_what_is_left_after_the_nudge_is_committed_with_the_agents_summary(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        stage.agent.plays("not committed yet", Say(text="I would rather not."))
        session = await at_work(stage, "Add a function that adds\n\nIt takes two numbers.")
        folder = stage.workspace(session)
        writes(folder)
        writes(folder, ".dragoman/outbox/shot.png", "not for the repository")
        stage.agent.release("work")
        _, body = await stage.final(session)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        message = stage.forge.repositories["acme/shop"].git("log", "-1", "--format=%an%n%B", pull["head"]["ref"])
        issue = stage.world.issue(stage.world.session(session).issue or "")
        assert message.splitlines()[:2] == ["OpenCode via Dragoman", f"{issue.identifier}: Add a function that adds"]
        assert "It takes two numbers." in message
        assert "The last one is mine: the agent had left 1 file uncommitted." in body
        assert len(stage.prompts(session)) == 2
        # The agent finds its work committed: its next turn begins with a clean tree.
        assert git(folder, "status", "--porcelain") == ""


async def test_a_second_turn_updates_the_same_pull_request_and_tells_its_own_commits(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.final(session)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        pull["title"], pull["body"] = "A better title", f"Reviewed by Bob.\n\n{pull['body']}"
        stage.agent.plays("and subtract", Use(tool="bash", args={"command": "wait more"}), Say(text="Both are there."))
        stage.people.follow_up(session, "and subtract")
        await stage.until_shown(session, "action", "wait more")
        writes(stage.workspace(session), "sub.py")
        commits(stage.workspace(session), "Add sub()")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        await stage.quiet()
        assert "**1 commit** on" in body
        assert "Add sub()" in body
        assert len(stage.forge.repositories["acme/shop"].pulls) == 1
        assert pull["title"] == "A better title"
        assert pull["body"].startswith("Reviewed by Bob.\n\n<!-- dragoman: begin -->")
        assert "Both are there." in pull["body"]
        assert "Done: add() is there." not in pull["body"]
        assert stage.links(session).count(pull["html_url"]) == 1


@pytest.mark.deep
async def test_history_that_the_agent_rewrites_is_pushed_over_its_own(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        folder = stage.workspace(session)
        writes(folder)
        commits(folder)
        stage.agent.release("work")
        await stage.final(session)
        stage.agent.plays("amend", Use(tool="bash", args={"command": "wait more"}), Say(text="Amended."))
        stage.people.follow_up(session, "amend")
        await stage.until_shown(session, "action", "wait more")
        git(folder, "commit", "--quiet", "--amend", "-m", "Add add() properly")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        branch = git(folder, "branch", "--show-current")
        assert "⚠️" not in body
        assert stage.forge.repositories["acme/shop"].git("log", "-1", "--format=%s", branch) == "Add add() properly"


async def test_a_message_during_the_hand_over_begins_the_next_turn(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        held = stage.forge.hold("push")
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.until(held.reached.is_set, "the push")
        stage.agent.plays("and what else", Say(text="Nothing else."))
        stage.people.follow_up(session, "and what else?")
        await stage.until_shown(session, "thought", "handing in the finished work")
        held.release()
        assert (await stage.final(session))[1].startswith("Done: add() is there.")
        assert await stage.final(session, 2) == ("response", "Nothing else.")


@pytest.mark.deep
async def test_stop_during_the_hand_over_ends_the_turn_and_nothing_more_is_done(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        held = stage.forge.hold("push", after=True)
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.until(held.reached.is_set, "the push")
        stage.people.stop(session)
        kind, body = await stage.final(session)
        held.release()
        await stage.quiet()
        assert (kind, body[:8]) == ("response", "Stopped.")
        assert stage.forge.repositories["acme/shop"].pulls == []
        # The next turn finds what was done and brings it to its end.
        stage.agent.plays("go on", WORK, Say(text="Here it is."))
        stage.people.follow_up(session, "go on")
        assert "**Pull request:**" in (await stage.final(session, 2))[1]
        assert len(stage.forge.repositories["acme/shop"].pulls) == 1


async def test_a_plain_remote_gets_the_branch_and_people_a_hint(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage()
    shared, own = stage.upstream, tmp_path / "remote.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(shared), str(own))
    stage.upstream = own
    async with stage:
        session = await at_work(stage)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        branch = git(stage.workspace(session), "branch", "--show-current")
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert git(own, "log", "-1", "--format=%s", branch) == "Add add()"
        assert f"**Branch:** `{branch}` is pushed." in body
        assert f"git fetch origin {branch} && git diff main...FETCH_HEAD" in body
