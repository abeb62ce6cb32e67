"""Things that happen at the same moment: nothing is lost, nothing is answered twice."""

from __future__ import annotations

import pytest

from dragoman.sim.faults import Fault
from dragoman.sim.script import Ask, Pause, Say, Use
from tests.marks import deep
from tests.stories.conftest import UNHURRIED, MakeStage

WAIT = Use(tool="bash", args={"command": "wait tool"})


async def test_a_message_that_crosses_with_the_end_of_the_run_is_answered(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        stage.agent.plays("second", Say(text="Two."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.agent.release("tool")
        thread = stage.agent.thread_of(session)
        await stage.until(lambda: not thread.busy, "the end of the run")
        stage.people.follow_up(session, "second")
        await stage.until(lambda: ("response", "Two.") in stage.finals(session), "the answer to the second message")
        await stage.quiet()
        assert not stage.agent.runs_twice()
        assert sum(text == "One." for _, text in stage.shown(session)) == 1


async def test_two_messages_at_once_to_a_resting_session_are_both_given_to_the_agent(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.mention("fix first")
        await stage.final(session)
        for text in ("second", "third"):
            stage.people.follow_up(session, text)
        await stage.final(session, 2)
        await stage.quiet()
        told = stage.prompts(session)
        assert [sum(text in prompt for prompt in told) for text in ("second", "third")] == [1, 1]


@pytest.mark.parametrize("cut_seen_first", [False, deep(True)])
async def test_a_message_written_while_opencode_is_dead_in_the_middle_of_a_run_brings_the_word_of_the_cut(
    make_stage: MakeStage, cut_seen_first: bool
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        stage.agent.plays("second", Say(text="Both."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.agent.die()
        stage.people.follow_up(session, "second")
        await stage.until_shown(session, "thought", "passing this on")
        held = stage.agent.hold("message" if cut_seen_first else "events")
        await stage.agent.come_up()
        if cut_seen_first:
            await held.wait_reached()
            await stage.until_heard(session, "RunInterrupted")
        else:
            await stage.until_written(session, "second")
        held.release()
        final = await stage.final(session)
        await stage.quiet()
        assert final == ("response", "Both.")
        first, second = stage.prompts(session)
        assert "interrupted" not in first
        assert "interrupted" in second
        assert not stage.agent.runs_twice()
        assert any("interrupted" in thought for thought in stage.thoughts(session))


@pytest.mark.deep
async def test_an_answer_and_a_message_given_just_before_opencode_died_are_both_told(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Ask(question="Which?", options=(("One", ""), ("Two", ""))), Say(text="Done so."))
        stage.agent.plays("second", Say(text="Both."))
        session = stage.mention()
        await stage.until(lambda: stage.world.open_elicitation(session), "a question")
        await stage.agent.die()
        stage.people.answer(session, "Two")
        await stage.until_shown(session, "thought", "Thanks")
        stage.people.follow_up(session, "second")
        await stage.until_shown(session, "thought", "passing this on")
        held = stage.agent.hold("events")
        await stage.agent.come_up()
        await stage.until_written(session, "second")
        held.release()
        assert await stage.final(session) == ("response", "Both.")
        assert "Two" in stage.prompts(session)[-1]


@pytest.mark.deep
async def test_a_steered_run_that_is_cut_is_resumed_with_both_messages(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        stage.agent.plays("second", (Pause(until="word"), Say(text="Both.")))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, "second")
        await stage.until_written(session, "second")
        stage.agent.release("tool")
        await stage.until(lambda: len(stage.agent.player.runs) == 2, "the second message's step")
        await stage.agent.restart()
        stage.agent.release("word")
        assert await stage.final(session) == ("response", "Both.")


@pytest.mark.deep
async def test_stop_right_after_opencode_was_cut_is_one_final(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", WAIT, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.agent.restart()
        stage.people.stop(session)
        kind, text = await stage.final(session)
        assert (kind, text.startswith("Stopped")) == ("response", True)
        stage.agent.plays("go on then", Say(text="Went on."))
        stage.people.follow_up(session, "go on then")
        assert await stage.final(session, 2) == ("response", "Went on.")


@pytest.mark.deep
async def test_a_thread_that_vanishes_in_the_middle_of_a_run_is_said_and_the_next_message_begins_a_new_one(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.agent.threads.clear()
        stage.agent.cut_streams()
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "no longer knows this conversation" in text
        stage.agent.plays("again", Say(text="Anew."))
        stage.people.follow_up(session, "again")
        assert await stage.final(session, 2) == ("response", "Anew.")


@pytest.mark.deep
async def test_an_answer_given_just_before_opencode_died_is_told_again(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Ask(question="Which?", options=(("One", ""), ("Two", ""))), Say(text="Done so."))
        session = stage.mention()
        await stage.until(lambda: stage.world.open_elicitation(session), "a question")
        await stage.agent.die()
        stage.people.answer(session, "Two")
        await stage.until_shown(session, "thought", "Thanks")
        await stage.agent.come_up()
        assert await stage.final(session) == ("response", "Done so.")
        assert "Two" in stage.prompts(session)[-1]


@pytest.mark.parametrize("after", [deep(False), deep(True)])
async def test_a_crash_while_a_message_steers_gives_it_to_the_agent_once(make_stage: MakeStage, after: bool) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        stage.agent.plays("second", Say(text="Both."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        held = stage.agent.hold("prompt", after=after)
        stage.people.follow_up(session, "second")
        await held.wait_reached()
        await stage.kill()
        await stage.start()
        await stage.until_written(session, "second")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Both.")
        assert sum("second" in prompt for prompt in stage.prompts(session)) == 1
        assert not stage.agent.runs_twice()


@pytest.mark.deep
async def test_a_queued_message_survives_a_crash(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", WAIT, Say(text="One."))
        stage.agent.plays("second", Say(text="Two."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, "/queue second")
        await stage.until_shown(session, "thought", "Queued")
        await stage.kill()
        await stage.start()
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "One.")
        assert await stage.final(session, 2) == ("response", "Two.")


@pytest.mark.usefixtures("unhurried")
async def test_stop_while_linear_is_away_stops_at_once_and_is_confirmed_when_it_is_back(make_stage: MakeStage) -> None:
    async with make_stage(session=UNHURRIED) as stage:
        stage.agent.plays("please", WAIT, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.linear.faults.order(Fault(kind="server_error", operation="agentActivityCreate", times=None))
        stage.people.stop(session)
        thread = stage.agent.thread_of(session)
        await stage.until(lambda: not thread.busy, "the end of the run")
        assert stage.finals(session) == []
        stage.linear.faults.clear()
        assert "Stopped." in (await stage.final(session))[1]
