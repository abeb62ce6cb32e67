"""More work than places: an order that people can follow, across a restart, too."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

ONE_PLACE = {"MAX_CONCURRENT_SESSIONS": "1"}


def waits(number: int) -> str:
    return f"All places are taken by running work. Yours is number {number} in the queue and starts by itself."


def queue_words(stage: Stage, session: str) -> list[str]:
    """What people have read of the queue."""
    return [text for text in stage.thoughts(session) if "in the queue" in text]


async def queued(stage: Stage, *names: str, priorities: tuple[int, ...] = ()) -> list[str]:
    """Sessions, each of which works until the test releases it; all but the first wait, told of it."""
    await stage.until_opencode_is_up()  # while it is looked for people are told of that instead
    for name in names:
        stage.agent.plays(name, Use(tool="bash", args={"command": f"wait {name}"}), Say(text=f"{name} is done."))
    sessions = []
    for place, name in enumerate(names):
        priority = priorities[place] if priorities else 0
        sessions.append(stage.mention(f"fix {name}", issue=stage.issue(priority=priority)))
        if place == 0:
            await stage.until_shown(sessions[0], "action", "wait")
        else:
            await stage.until_shown(sessions[-1], "thought", "in the queue")
    return sessions


async def test_with_one_place_five_issues_are_worked_on_one_by_one_in_order(make_stage: MakeStage) -> None:
    async with make_stage(settings=ONE_PLACE) as stage:
        names = ("alpha", "beta", "gamma", "delta", "epsilon")
        sessions = await queued(stage, *names)
        assert [stage.thoughts(session)[1:] for session in sessions] == [[], *([waits(n)] for n in (1, 2, 3, 4))]
        for place, (session, name) in enumerate(zip(sessions, names, strict=True)):
            await stage.until_shown(session, "action", f"wait {name}")
            assert len(stage.agent.player.runs) == place + 1, "one at a time"
            stage.agent.release(name)
            assert await stage.final(session) == ("response", f"{name} is done.")
        assert [len(stage.thoughts(session)) for session in sessions] == [1, 2, 2, 2, 2]


@pytest.mark.deep
async def test_what_is_urgent_overtakes_what_waits_and_not_what_works(make_stage: MakeStage) -> None:
    async with make_stage(settings=ONE_PLACE) as stage:
        names = ("alpha", "beta", "gamma")
        alpha, beta, gamma = await queued(stage, *names, priorities=(4, 0, 1))
        assert stage.thoughts(gamma)[1:] == [waits(1)]
        for session, name in ((alpha, "alpha"), (gamma, "gamma"), (beta, "beta")):
            await stage.until_shown(session, "action", f"wait {name}")
            stage.agent.release(name)
            await stage.final(session)


@pytest.mark.deep
async def test_the_queue_is_the_same_after_a_restart_and_nobody_is_told_twice(make_stage: MakeStage) -> None:
    async with make_stage(settings=ONE_PLACE) as stage:
        names = ("alpha", "beta", "gamma")
        sessions = await queued(stage, *names)
        before = [queue_words(stage, session) for session in sessions[1:]]
        await stage.stop()
        await stage.start()
        stage.agent.release("alpha")
        await stage.final(sessions[0])
        await stage.until_shown(sessions[1], "action", "wait beta")
        assert [queue_words(stage, session) for session in sessions[1:]] == before
        for session, name in zip(sessions[1:], names[1:], strict=True):
            stage.agent.release(name)
            assert await stage.final(session) == ("response", f"{name} is done.")


@pytest.mark.deep
async def test_the_place_is_told_again_when_it_has_changed_and_time_has_passed(make_stage: MakeStage) -> None:
    async with make_stage(settings=ONE_PLACE) as stage:
        assert stage.service is not None
        stage.service.engine.rules = replace(stage.service.engine.rules, queue_s=0.2)  # stands for five minutes
        alpha, beta, gamma = await queued(stage, "alpha", "beta", "gamma")
        stage.agent.release("alpha")
        await stage.until_shown(beta, "action", "wait beta")
        await stage.until_shown(gamma, "thought", "Still in the queue: number 1 now.")
        stage.agent.release("beta")
        stage.agent.release("gamma")
        await stage.final(gamma)
        assert await stage.final(alpha) == ("response", "alpha is done.")


@pytest.mark.deep
async def test_who_is_stopped_in_the_queue_leaves_it_and_the_next_moves_up(make_stage: MakeStage) -> None:
    async with make_stage(settings=ONE_PLACE) as stage:
        alpha, beta, gamma = await queued(stage, "alpha", "beta", "gamma")
        stage.people.stop(beta)
        assert (await stage.final(beta))[1].startswith("Stopped.")
        stage.agent.release("alpha")
        await stage.final(alpha)
        await stage.until_shown(gamma, "action", "wait gamma")
        stage.agent.release("gamma")
        await stage.final(gamma)
        stage.agent.plays("again", Say(text="Here I am."))
        stage.people.follow_up(beta, "again")
        assert await stage.final(beta, 2) == ("response", "Here I am.")
