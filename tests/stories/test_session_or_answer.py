"""Whether a mention becomes a session or is answered simply, and how people go from one to the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core import wording
from dragoman.core.status import Status, status
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

QUESTION = "what does the parser do at the end of a file?"


async def status_of(stage: Stage, session: str) -> Status:
    return status((await stage.details(session)).session)


def denied(stage: Stage, session: str) -> set[str]:
    """What the thread of a session may not do in the end: of several rules the last counts."""
    last = {rule["permission"]: rule["action"] for rule in stage.agent.thread_of(session).rules}
    return {permission for permission, action in last.items() if action == "deny"}


def folders(stage: Stage) -> list[str]:
    """The workspaces on disk."""
    root = stage.folder / "data" / "workspaces"
    return [place.name for place in root.glob("*/*") if place.is_dir()]


async def is_session(stage: Stage, words: str) -> bool:
    """Whether a mention with these words becomes a session, as people and the agent see it."""
    session = stage.mention(words)
    kind, _ = await stage.final(session)
    began = any("Session Started" in thought for thought in stage.thoughts(session))
    assert began == (not denied(stage, session)) == (kind == "response")
    return began


async def test_t27_help_me_implement_begins_a_session(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert await is_session(stage, "help me implement a parser")


async def test_t28_can_you_implement_begins_a_session(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert await is_session(stage, "Can you IMPLEMENT this?")


async def test_t29_a_long_comment_begins_a_session_and_one_of_200_characters_does_not(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert await is_session(stage, "so " * 68)
        assert not await is_session(stage, "x" * 200)


async def test_t30_thanks_for_the_help_begins_no_session_and_is_answered(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("thanks", Say(text="You are welcome."))
        session = stage.mention("thanks for the help")
        assert await stage.final(session) == ("elicitation", "You are welcome.")
        assert not any("Session Started" in thought for thought in stage.thoughts(session))


@pytest.mark.parametrize("words", ["please start a session", "tests pass, I think", "who did the review?"])
async def test_words_decide(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        assert await is_session(stage, words) == (words != "tests pass, I think")


async def test_a_delegation_is_always_a_session(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.people.delegate(stage.issue()).id
        assert (await stage.final(session))[0] == "response"
        assert not denied(stage, session)


async def test_a_simple_answer_may_not_write_leaves_the_issue_alone_and_throws_its_checkout_away(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("parser", Use(tool="read", args={"filePath": "wait look"}), Say(text="It drops a line."))
        issue = stage.issue()
        session = stage.mention(QUESTION, issue=issue)
        await stage.until_shown(session, "action", "wait look")
        assert folders(stage)
        stage.agent.release("look")
        assert await stage.final(session) == ("elicitation", "It drops a line.")
        await stage.quiet()
        assert {"bash", "edit", "write", "task", "*"} <= denied(stage, session)
        assert await status_of(stage, session) == "completed"
        assert stage.world.issue(issue).delegate is None
        assert folders(stage) == []


async def test_one_click_makes_a_simple_answer_a_session_that_knows_what_was_said(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("parser", Say(text="It drops a line."))
        stage.agent.plays("Work on it", Say(text="Fixed."))
        session = stage.mention(QUESTION)
        await stage.final(session)
        stage.people.answer(session, wording.beginning.WORK_ON_IT, by_label=True)
        assert await stage.final(session, 2) == ("response", "Fixed.")
        assert not denied(stage, session)
        assert len(stage.agent.threads) == 2
        told = stage.prompts(session)[0]
        assert QUESTION in told
        assert "It drops a line." in told
        assert any("Session Started" in thought for thought in stage.thoughts(session))
        await stage.quiet()
        assert await status_of(stage, session) == "active"
        assert len(folders(stage)) == 1


async def test_a_follow_up_after_a_simple_answer_decides_anew(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.mention(QUESTION)
        await stage.final(session)
        stage.people.follow_up(session, "and at its beginning?")
        assert (await stage.final(session, 2))[0] == "elicitation"
        assert len(stage.agent.threads) == 1
        stage.people.follow_up(session, "then fix it")
        assert (await stage.final(session, 3))[0] == "response"
        stage.people.follow_up(session, "thanks for the help")
        assert (await stage.final(session, 4))[0] == "response"
        assert len(stage.agent.threads) == 2


async def test_a_request_for_work_during_a_simple_answer_waits_and_becomes_a_session(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("parser", Use(tool="read", args={"filePath": "wait look"}), Say(text="It drops a line."))
        stage.agent.plays("then fix it", Say(text="Fixed."))
        session = stage.mention(QUESTION)
        await stage.until_shown(session, "action", "wait look")
        stage.people.follow_up(session, "then fix it")
        await stage.until_shown(session, "thought", "Queued")
        stage.agent.release("look")
        assert await stage.final(session) == ("elicitation", "It drops a line.")
        assert await stage.final(session, 2) == ("response", "Fixed.")
        assert not denied(stage, session)


@pytest.mark.parametrize("words", ["help", "Guide!"])
async def test_help_as_the_whole_message_gets_the_guide(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        session = stage.mention(words)
        kind, text = await stage.final(session)
        assert (kind, text) == ("response", wording.beginning.GUIDE)
        assert not stage.agent.threads
        assert await status_of(stage, session) == "completed"
        stage.people.follow_up(session, "then fix it")
        assert (await stage.final(session, 2))[0] == "response"
        assert stage.agent.threads


async def test_without_sessions_everything_is_answered_simply_delegations_too(make_stage: MakeStage) -> None:
    async with make_stage(settings={"ENABLE_SESSIONS": "false"}) as stage:
        session = stage.people.delegate(stage.issue()).id
        assert (await stage.final(session))[0] == "response"
        assert {"bash", "edit", "write", "task"} <= denied(stage, session)
        stage.people.follow_up(session, "fix it")
        assert (await stage.final(session, 2))[0] == "response"
        assert not any("Session Started" in thought for thought in stage.thoughts(session))
        await stage.quiet()
        assert folders(stage) == []


@pytest.mark.deep
async def test_a_killed_service_still_throws_the_checkout_away(make_stage: MakeStage, tmp_path: Path) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("parser", Use(tool="read", args={"filePath": "wait look"}), Say(text="It drops a line."))
        session = stage.mention(QUESTION)
        await stage.until_shown(session, "action", "wait look")
        await stage.kill()
        stage.agent.release("look")
        await stage.start()
        assert await stage.final(session) == ("elicitation", "It drops a line.")
        await stage.until_done("DisposeInstance")
        assert not list((tmp_path / "data" / "workspaces").glob("*/[!.]*"))
