"""People press Stop, at every moment: one final within five seconds, nothing after it, and the next prompt works.

Two limits of ours see to the five seconds; they are long here, so that a final shows that the end was seen, however slow
the machine is. What comes when it is not seen is the story of an OpenCode that hangs.
"""

from __future__ import annotations

from functools import partial

import pytest

from dragoman.core.limits import Rules
from dragoman.runtime.performers import agent, fence
from dragoman.runtime.performers.fence import ABORT_S
from dragoman.sim.faults import Fault
from dragoman.sim.script import Ask, Pause, Say, Use
from tests.stories.agent_script import Delegated, Guarded
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

AT_ONCE_S = 5.0
NEVER_S = 600.0
LONG = Use(tool="bash", args={"command": "wait for ever"})


@pytest.fixture
def make_stage(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> MakeStage:
    """Give stages on which no stop is confirmed because its time is over."""
    stopped_in(NEVER_S, monkeypatch)
    return partial(make_stage, session={"stop_s": NEVER_S})


def stopped_in(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So long OpenCode has to show that the work has ended."""
    for module in (agent, fence):
        monkeypatch.setattr(module, "ABORT_S", seconds)


async def stopped(stage: Stage, session: str, number: int = 1) -> str:
    """Press Stop; what the final activity says."""
    stage.people.stop(session)
    kind, text = await stage.final(session, number)
    assert kind == "response"
    return text


async def goes_on(stage: Stage, session: str, number: int = 2) -> None:
    """The next prompt works."""
    stage.agent.plays("go on then", Say(text="Went on."))
    stage.people.follow_up(session, "go on then")
    assert await stage.final(session, number) == ("response", "Went on.")
    assert not stage.agent.runs_twice()


async def test_stop_before_the_issue_was_read(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.faults.order(Fault(kind="hang", operation="issue"))
        session = stage.mention()
        await stage.until(lambda: stage.linear.faults.hits.get("hang"), "the reading of the issue")
        assert "Stopped." in await stopped(stage, session)
        stage.linear.faults.clear()
        await goes_on(stage, session)
        assert len(stage.prompts(session)) == 1


@pytest.mark.parametrize("label", ["find_thread", "create_thread", "message", "prompt"])
@pytest.mark.parametrize("after", [False, True])
async def test_stop_while_the_prompt_is_on_its_way(make_stage: MakeStage, label: str, after: bool) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        held = stage.agent.hold(label, after=after)
        session = stage.mention()
        await held.wait_reached()
        assert "Stopped" in await stopped(stage, session)
        held.release()
        await goes_on(stage, session)
        assert not any("never said" in text for _, text in stage.shown(session))


async def test_stop_while_the_model_writes(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", (Say(text="I think that"), Pause(until="never"), Say(text="never said")))
        session = stage.mention()
        await stage.until(lambda: stage.agent.player.runs, "the run")
        await stage.until_heard(session, "RunStarted")
        assert "Stopped." in await stopped(stage, session)
        await goes_on(stage, session)


async def test_stop_during_a_tool(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        assert "Stopped." in await stopped(stage, session)
        await goes_on(stage, session)


async def test_stop_during_a_sub_agents_tool_stops_the_sub_agent_too(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Delegated(description="look", steps=((LONG,), (Say(text="looked"),))))
        session = stage.mention()
        await stage.until(lambda: len(stage.agent.threads) == 2, "the sub-agent")
        await stage.until_heard(session, "RunStarted")
        assert "Stopped." in await stopped(stage, session)
        assert set(stage.agent.aborts) == set(stage.agent.threads)  # the child too: it does not end with its parent
        await goes_on(stage, session)


@pytest.mark.parametrize(
    "ask",
    [Ask(question="Which?", options=(("One", ""), ("Two", ""))), Guarded(tool="bash", args={"command": "rm -r x"})],
)
async def test_stop_while_a_question_is_open(make_stage: MakeStage, ask: Ask | Guarded) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", ask, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "elicitation")
        assert "Stopped." in await stopped(stage, session)
        await goes_on(stage, session)


async def test_stop_just_as_the_run_settles(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="Fixed."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        stage.agent.release("for ever")
        thread = stage.agent.thread_of(session)
        await stage.until(lambda: not thread.busy, "the end of the run")
        await stopped(stage, session)
        await stage.quiet()
        await goes_on(stage, session, len(stage.finals(session)) + 1)


async def test_stop_when_nothing_runs_says_so(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.mention()
        await stage.final(session)
        assert "Nothing was running" in await stopped(stage, session, 2)
        await goes_on(stage, session, 3)


async def test_stop_pressed_twice_is_confirmed_once(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        held = stage.agent.hold("abort")
        stage.people.stop(session)
        await held.wait_reached()
        stage.people.stop(session)
        await stage.until_delivered()
        held.release()
        assert "Stopped." in (await stage.final(session))[1]
        await goes_on(stage, session)


async def test_stop_with_opencode_out_of_reach_says_what_could_not_be_seen(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        await stage.agent.die()
        assert "could not be reached" in await stopped(stage, session)
        await stage.agent.come_up()
        await goes_on(stage, session)


@pytest.mark.parametrize("limit", ["of the work", "of the turn"])
async def test_stop_with_an_opencode_that_hangs_is_confirmed_in_time_and_says_so(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    assert ABORT_S < Rules().stop_s < AT_ONCE_S
    if limit == "of the work":
        stopped_in(0.3, monkeypatch)
    async with make_stage(session={"stop_s": 0.3 if limit == "of the turn" else NEVER_S}) as stage:
        stage.agent.plays("please", LONG)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        held = stage.agent.hold("abort")
        text = await stopped(stage, session)
        assert "as far as I can tell" in text
        held.release()
        await goes_on(stage, session)


async def test_what_waited_when_stop_was_pressed_is_not_started_and_the_final_says_so(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        stage.people.follow_up(session, "/queue this later")
        await stage.until_shown(session, "thought", "Queued")
        assert "1 waiting message was not started" in await stopped(stage, session)
        await goes_on(stage, session)
        assert not any("this later" in prompt for prompt in stage.prompts(session))


async def test_a_message_written_while_it_stops_begins_the_next_turn(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        held = stage.agent.hold("abort")
        stage.people.stop(session)
        await held.wait_reached()
        stage.agent.plays("go on then", Say(text="Went on."))
        stage.people.follow_up(session, "go on then")
        await stage.until_delivered()
        held.release()
        assert "Stopped." in (await stage.final(session))[1]
        assert await stage.final(session, 2) == ("response", "Went on.")


async def test_unassigning_the_agent_ends_the_work(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", LONG)
        issue = stage.issue()
        session = stage.people.delegate(issue).id
        await stage.until_shown(session, "action", "wait for ever")
        stage.people.unassign(issue)
        assert "unassigned" in (await stage.final(session))[1]
        await goes_on(stage, session)
