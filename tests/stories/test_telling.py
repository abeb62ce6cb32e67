"""People edit the issue and write comments on it while the agent works: it is told, once, and nothing begins by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dragoman.ledger import read
from dragoman.sim.script import Say, Use
from tests.stories.comment_stage import CommentStage
from tests.stories.conftest import MakeStage
from tests.stories.test_access import ALICE_ONLY, WORDS, decisions, nobody_kept
from tests.stories.world import Stage

WAIT = Use(tool="bash", args={"command": "wait tool"})
SOON: Mapping[str, object] = {"gather_s": 0.2}
LINEAR: Mapping[str, Any] = {"resources": ("AgentSessionEvent", "AppUserNotification", "Comment", "Issue")}


async def at_work(stage: Stage, issue: str) -> str:
    """A session on the issue whose agent waits for the gate "tool"."""
    stage.agent.plays("", WAIT, Say(text="Fixed."))
    session = stage.mention(issue=issue)
    await stage.until_shown(session, "action", "wait tool")
    return session


def how_often(stage: Stage, session: str, words: str) -> int:
    """In how many messages the agent has read that."""
    return sum(words in prompt for prompt in stage.prompts(session))


@pytest.mark.deep
async def test_a_working_agent_is_told_once_what_people_change_and_write(make_stage: MakeStage) -> None:
    async with make_stage(session=SOON, linear=LINEAR) as stage:
        issue = stage.issue(description="Line one.\nIt drops the last line.")
        session = await at_work(stage, issue)
        stage.people.edit_issue(issue, title="The lexer drops it", description="Line one.\nOnly in v2.")
        comment = stage.people.comment(issue, "It is in line seven.", by=stage.world.bob)
        for words in ("Only in v2.", "It is in line seven.", "The lexer drops it"):
            await stage.until_written(session, words)
        stage.people.edit_comment(comment.id, "It is in line eight.")
        await stage.until_written(session, "It is in line eight.")
        await stage.until_shown(session, "thought", "a rewritten comment by Bob Example. I have told the agent.")
        for delivery in list(stage.linear.hooks.deliveries):
            stage.linear.hooks.resend(delivery)
        await stage.until_delivered()
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        told = ("Only in v2.", "It is in line seven.", "It is in line eight.", "The lexer drops it")
        assert [how_often(stage, session, words) for words in told] == [1, 1, 1, 1]
        assert len(stage.finals(session)) == 1
        # The agent's own answer is a comment, too, and people write on: nothing begins by that.
        stage.people.comment(issue, "Thank you.")
        stage.people.edit_issue(issue, title="Done")
        await stage.quiet()
        assert len(stage.finals(session)) == 1
        stage.people.follow_up(session, "and one more thing")
        await stage.final(session, 2)
        assert [how_often(stage, session, words) for words in ("Thank you.", "Done", "one more")] == [0, 1, 1]


async def test_what_is_said_to_a_session_is_not_told_twice_nor_to_another_one(make_stage: MakeStage) -> None:
    async with make_stage(session=SOON, linear=LINEAR) as stage:
        issue = stage.issue()
        first = await at_work(stage, issue)
        stage.people.follow_up(first, "and the tests")
        second = stage.mention("fix the docs, too", issue=issue)
        await stage.until_shown(second, "action", "wait tool")
        stage.people.follow_up(second, "the readme first")
        stage.people.comment(issue, "It is urgent.")
        for session, words in ((first, "and the tests"), (second, "the readme first")):
            await stage.until_written(session, words)
        for session in (first, second):
            await stage.until_written(session, "It is urgent.")
        stage.agent.release("tool")
        for session in (first, second):
            await stage.final(session)
        assert [how_often(stage, first, words) for words in ("and the tests", "the docs", "the readme")] == [1, 0, 0]
        assert [how_often(stage, second, words) for words in ("fix the docs", "the readme first")] == [1, 1]


@pytest.mark.deep
async def test_what_comes_too_late_goes_along_with_the_next_message(make_stage: MakeStage) -> None:
    async with make_stage(session={"gather_s": 600}, linear=LINEAR) as stage:
        issue = stage.issue()
        session = await at_work(stage, issue)
        stage.people.comment(issue, "It is in line seven.")
        await stage.until_heard(session, "CommentWritten")
        stage.agent.release("tool")
        await stage.final(session)
        assert how_often(stage, session, "line seven") == 0
        stage.people.follow_up(session, "go on")
        await stage.final(session, 2)
        assert "line seven" in stage.prompts(session)[-1]
        assert "go on" in stage.prompts(session)[-1]


async def test_whoever_may_not_speak_to_the_agent_does_not_reach_it_by_the_issue(make_stage: MakeStage) -> None:
    async with make_stage(session=SOON, linear=LINEAR, settings=ALICE_ONLY) as stage:
        issue = stage.issue()
        session = await at_work(stage, issue)
        stage.people.comment(issue, f"do {WORDS}", by=stage.world.bob)
        stage.people.edit_issue(issue, description=f"do {WORDS}", by=stage.world.bob)
        await stage.until_heard(session, "RequestRefused", 2)
        stage.people.comment(issue, "It is in line seven.")
        await stage.until_written(session, "line seven")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")
        await nobody_kept(stage, WORDS)
        assert stage.service is not None
        heard = [line.verdict for line in await stage.service.ledger.read(read.deliveries)]
        assert heard.count("refused: user") == 2
        assert stage.finals(session) == [("response", "Fixed.")]
        allowed, refused = ("start", "allowed"), ("start", "user")
        assert await decisions(stage) == [allowed, refused, refused, allowed]


@pytest.mark.deep
async def test_a_crash_while_changes_are_gathered_loses_and_repeats_none(make_stage: MakeStage) -> None:
    async with make_stage(session={"gather_s": 1.0}, linear=LINEAR, apart=True) as stage:
        issue = stage.issue()
        session = await at_work(stage, issue)
        stage.people.comment(issue, "It is in line seven.")
        stage.people.edit_issue(issue, description="Only in v2.")
        await stage.until_delivered()
        await stage.kill()
        await stage.start()
        for words in ("It is in line seven.", "Only in v2."):
            await stage.until_written(session, words)
        for delivery in list(stage.linear.hooks.deliveries):
            stage.linear.hooks.resend(delivery)
        await stage.until_delivered()
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")
        assert [how_often(stage, session, words) for words in ("line seven", "Only in v2.")] == [1, 1]


async def test_it_can_be_switched_off(make_stage: MakeStage) -> None:
    async with make_stage(session=SOON, linear=LINEAR, tables="[issue]\ntell_edits = false") as stage:
        issue = stage.issue()
        session = await at_work(stage, issue)
        stage.people.comment(issue, "It is in line seven.")
        await stage.until_delivered()
        stage.agent.release("tool")
        await stage.final(session)
        assert len(stage.prompts(session)) == 1


async def test_in_comments_other_threads_are_told_and_the_own_one_is_the_conversation(
    tmp_path: Any, upstream: Any
) -> None:
    async with CommentStage(tmp_path, upstream, session=SOON) as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        issue = stage.issue()
        session = stage.call(issue=issue)
        await stage.until_heard(session, "ToolStarted")
        other = stage.people.comment(issue, "It is in line seven.")
        stage.people.comment(issue, "No, in line eight.", parent=other.id, by=stage.world.bob)
        stage.reply(session, "and the tests")
        for words in ("line seven", "line eight", "and the tests"):
            await stage.until_written(session, words)
        stage.agent.release("tool")
        await stage.final(session)
        await stage.quiet()
        assert [how_often(stage, session, words) for words in ("line seven", "line eight", "and the tests")] == [
            1,
            1,
            1,
        ]
