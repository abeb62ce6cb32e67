"""Webhooks come twice, late, in the wrong order, from ourselves, and with things missing."""

from __future__ import annotations

import copy
import subprocess
from typing import Any

import pytest

from dragoman.core.session import live_turn
from dragoman.sim.hooks import Mischief
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

HOUR_MS = 3_600_000
WAIT = Use(tool="bash", args={"command": "wait tool"})


def git(directory: str, *arguments: str) -> str:
    """What git says in a directory."""
    told = subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, timeout=60, text=True)
    return told.stdout


def send_aged(stage: Stage, hours: float, *, times: int = 1) -> None:
    """Send the newest webhook again as one that was first sent hours ago; each time as a delivery of its own."""
    body: dict[str, Any] = copy.deepcopy(stage.world.webhooks[-1])
    body["webhookTimestamp"] -= int(hours * HOUR_MS)
    for _ in range(times):
        stage.linear.hooks.send(body)


async def test_a_delivery_that_comes_five_times_is_one_turn(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.hooks.mischief = Mischief(copies=5)
        stage.agent.plays("first", Say(text="One."))
        stage.agent.plays("second", Say(text="Two."))
        session = stage.mention("fix first")
        assert await stage.final(session) == ("response", "One.")
        stage.people.follow_up(session, "second")
        assert await stage.final(session, 2) == ("response", "Two.")
        for delivery in stage.deliveries(session):
            stage.linear.hooks.resend(delivery)
        await stage.quiet()
        assert len(stage.finals(session)) == 2
        assert not stage.agent.runs_twice()
        assert len(stage.prompts(session)) == 2


async def test_prompted_before_created_loses_nothing(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.hooks.mischief = Mischief(hold=True)
        session = stage.mention("fix the request itself")
        stage.people.follow_up(session, "fix this too")  # a request by itself, however much later the other one comes
        stage.linear.hooks.mischief = Mischief()
        stage.linear.hooks.release(lambda held: held[::-1])
        assert (await stage.final(session))[0] == "response"
        await stage.quiet()
        told = "\n".join(stage.prompts(session))
        assert "the request itself" in told
        assert "fix this too" in told
        assert not stage.agent.runs_twice()


async def test_a_retry_with_an_hour_old_timestamp_is_accepted_once(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.hooks.mischief = Mischief(drop=True)
        session = stage.mention()
        stage.linear.hooks.mischief = Mischief()
        send_aged(stage, 1, times=3)
        assert (await stage.final(session))[0] == "response"
        await stage.quiet()
        assert len(stage.finals(session)) == 1
        assert [one.status for one in stage.deliveries(session)[1:]] == [200, 200, 200]


async def test_a_nine_hours_old_delivery_is_answered_and_has_no_effect(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.hooks.mischief = Mischief(drop=True)
        session = stage.mention()
        stage.linear.hooks.mischief = Mischief()
        send_aged(stage, 9)
        await stage.quiet()
        assert stage.deliveries(session)[-1].status == 200
        assert stage.shown(session) == []


@pytest.mark.parametrize("forge, status", [("badly", 401), ("unsigned", 400)])
async def test_a_forged_delivery_is_refused_and_has_no_effect(make_stage: MakeStage, forge: str, status: int) -> None:
    async with make_stage() as stage:
        stage.linear.hooks.time_scale = 0.0
        stage.linear.hooks.mischief = Mischief(forge=forge)
        session = stage.mention()
        await stage.until_delivered()
        assert stage.deliveries(session)[0].status == status
        assert stage.shown(session) == []


async def test_a_session_without_an_issue_is_served(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.people.mention_in_project(stage.world.add_project("Roadmap"), "please review it").id
        assert (await stage.final(session))[0] == "response"


async def test_what_we_wrote_ourselves_begins_nothing(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        await stage.until_linear_is_known()
        session = stage.mention()
        await stage.final(session)
        stage.people.follow_up(session, "talking to myself", by=stage.world.agent)
        await stage.quiet()
        assert len(stage.finals(session)) == 1
        assert len(stage.prompts(session)) == 1


async def test_three_sessions_on_one_issue_work_side_by_side_on_branches_of_their_own(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        issue = stage.issue()
        sessions = [stage.mention(f"fix part {number}", issue=issue) for number in range(3)]
        for session in sessions:
            await stage.until_shown(session, "action", "wait tool")
        places = [(await stage.details(session)).session.workspace for session in sessions]
        assert len({place.branch for place in places if place}) == 3
        assert len({place.directory for place in places if place}) == 3
        stage.agent.release("tool")
        for session in sessions:
            assert await stage.final(session) == ("response", "Fixed.")


async def test_a_new_session_starts_from_the_branch_and_the_conversation_of_an_earlier_one(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("begin", Say(text="I began with the lexer."))
        issue = stage.issue()
        earlier = stage.mention("fix begin", issue=issue)
        await stage.final(earlier)
        await stage.quiet()
        first = (await stage.details(earlier)).session.workspace
        assert first is not None
        identity = ("-c", "user.name=Agent", "-c", "user.email=agent@example.com")
        git(first.directory, *identity, "commit", "-q", "--allow-empty", "-m", "The lexer")
        later = stage.mention("fix go on", issue=issue)
        await stage.final(later)
        second = (await stage.details(later)).session.workspace
        assert second is not None
        assert second.directory != first.directory
        assert "The lexer" in git(second.directory, "log", "--format=%s")
        assert "I began with the lexer." in stage.prompts(later)[0]


async def test_above_the_cap_there_is_one_reply_and_then_silence(make_stage: MakeStage) -> None:
    async with make_stage(settings={"SESSION_MAX_PER_ISSUE_HOUR": "2"}) as stage:
        issue = stage.issue()
        sessions = []
        for number in range(5):
            sessions.append(stage.mention(f"fix again {number}", issue=issue))
            await stage.until_delivered()
        await stage.quiet()
        kinds = [[kind for kind, _ in stage.shown(session)] for session in sessions]
        assert [len(shown) > 0 for shown in kinds] == [True, True, True, False, False]
        assert "looks like a loop" in stage.shown(sessions[2])[0][1]
        assert len(stage.agent.threads) == 2


async def test_no_more_runs_at_a_time_than_there_are_places(make_stage: MakeStage) -> None:
    async with make_stage(settings={"MAX_CONCURRENT_SESSIONS": "1"}) as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        first = stage.mention("fix one")
        await stage.until_shown(first, "action", "wait tool")
        second = stage.mention("fix two")
        await stage.until_shown(second, "thought", "All places are taken")
        assert len(stage.agent.player.runs) == 1
        stage.agent.release("tool")
        assert await stage.final(first) == ("response", "Fixed.")
        assert await stage.final(second) == ("response", "Fixed.")
        assert live_turn((await stage.details(second)).session) is None
