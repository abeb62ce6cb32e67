"""OpenCode is away, is cut off, dies, forgets: people hear of it, nothing runs twice, and the answer comes."""

from __future__ import annotations

import pytest

from dragoman.sim.script import Ask, Pause, Say, Use
from tests.stories.agent_script import Guarded
from tests.stories.conftest import MakeStage

WAIT = Use(tool="bash", args={"command": "wait tool"})


async def test_opencode_down_at_start_is_said_and_the_run_begins_when_it_is_back(make_stage: MakeStage) -> None:
    async with make_stage(opencode=False) as stage:
        stage.agent.plays("", Say(text="Here I am."))
        session = stage.mention()
        await stage.until_shown(session, "thought", "Session Started")
        await stage.until_shown(session, "thought", "OpenCode is not answering")
        await stage.agent.come_up()
        assert await stage.final(session) == ("response", "Here I am.")
        assert len(stage.thoughts(session)) == 2


async def test_opencode_away_for_too_long_is_one_honest_final_and_the_next_message_tries_again(
    make_stage: MakeStage,
) -> None:
    async with make_stage(opencode=False, session={"patience_s": 1.0}) as stage:
        stage.agent.plays("again", Say(text="Here I am."))
        session = stage.mention()
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "has not answered" in text
        await stage.agent.come_up()
        await stage.until_opencode_is_up()
        stage.people.follow_up(session, "again")
        assert await stage.final(session, 2) == ("response", "Here I am.")


async def test_a_stream_that_is_cut_in_the_middle_of_a_run_loses_nothing(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays(
            "", WAIT, (Say(text="Then this."), Use(tool="bash", args={"command": "echo x"})), Say(text="End.")
        )
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        held = stage.agent.hold("events")
        stage.agent.cut_streams()
        await held.wait_reached()
        stage.agent.release("tool")
        thread = stage.agent.thread_of(session)
        await stage.until(lambda: not thread.busy, "the end of the run")
        held.release()
        assert await stage.final(session) == ("response", "End.")
        assert [kind for kind, _ in stage.shown(session)] == ["thought", "action", "thought", "action", "response"]


@pytest.mark.deep
async def test_a_run_that_was_cut_before_any_tool_is_resumed_under_the_same_ids(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", (Say(text="I think"), Pause(until="word"), Say(text="so.")))
        session = stage.mention()
        await stage.until_heard(session, "RunStarted")
        await stage.agent.restart()
        await stage.until_shown(session, "thought", "OpenCode was interrupted")
        stage.agent.release("word")
        kind, text = await stage.final(session)
        assert (kind, text) == ("response", "I think\n\nso.")
        assert len(stage.prompts(session)) == 1
        assert list(stage.agent.player.runs.values()) == [2]


@pytest.mark.deep
async def test_a_run_that_was_cut_during_a_tool_goes_on_and_the_agent_is_told(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.agent.restart()
        assert await stage.final(session) == ("response", "Fixed.")
        first, second = stage.prompts(session)
        assert "interrupted" in second
        assert "interrupted" not in first
        assert not stage.agent.runs_twice()
        assert any("interrupted" in thought for thought in stage.thoughts(session))


@pytest.mark.parametrize(
    "ask",
    [Ask(question="Which?", options=(("One", ""), ("Two", ""))), Guarded(tool="bash", args={"command": "git push"})],
)
@pytest.mark.deep
async def test_a_run_that_was_cut_while_it_asked_goes_on_and_people_are_told(
    make_stage: MakeStage, ask: Ask | Guarded
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", ask, Say(text="Without an answer."))
        session = stage.mention()
        await stage.until_shown(session, "elicitation")
        await stage.agent.restart()
        await stage.until_shown(session, "thought", "while it waited for you")
        assert await stage.final(session) == ("response", "Without an answer.")


@pytest.mark.deep
async def test_an_agent_that_dies_again_and_again_is_given_up(make_stage: MakeStage) -> None:
    async with make_stage(session={"resumes": 1}) as stage:
        stage.agent.plays("", (Say(text="I think"), Pause(until="word")))
        session = stage.mention()
        await stage.until_heard(session, "RunStarted")
        await stage.agent.restart()
        await stage.until_done("ResumeRun")
        await stage.agent.restart()
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "interrupted 2 times" in text


@pytest.mark.deep
async def test_opencode_away_during_a_run_is_said_and_the_run_goes_on_afterwards(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.agent.die()
        await stage.until_shown(session, "thought", "go on as soon as it is back")
        await stage.agent.come_up()
        assert await stage.final(session) == ("response", "Fixed.")


@pytest.mark.parametrize("label", ["create_thread", "prompt", "message", "find_thread"])
async def test_a_lost_reply_while_the_run_begins_makes_no_second_run(make_stage: MakeStage, label: str) -> None:
    async with make_stage() as stage:
        stage.agent.lose_reply(label)
        session = stage.mention()
        assert (await stage.final(session))[0] == "response"
        assert len(stage.agent.threads) == 1
        assert len(stage.prompts(session)) == 1
        assert not stage.agent.runs_twice()


@pytest.mark.parametrize(
    "ask, label, words",
    [
        (Ask(question="Which?", options=(("One", ""), ("Two", ""))), "question_reply", "One"),
        (Guarded(tool="bash", args={"command": "git push"}), "permission_reply", "once"),
    ],
)
async def test_a_lost_reply_to_an_answer_leaves_the_answer_given(
    make_stage: MakeStage, ask: Ask | Guarded, label: str, words: str
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", ask, Say(text="Thank you."))
        session = stage.mention()
        await stage.until(lambda: stage.world.open_elicitation(session), "a question")
        stage.agent.lose_reply(label)
        stage.people.answer(session, words)
        assert await stage.final(session) == ("response", "Thank you.")


async def test_a_message_that_steers_while_opencode_is_away_gets_there_once(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", WAIT, Say(text="Fixed."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.agent.lose_reply("prompt")
        stage.people.follow_up(session, "and the docs")
        await stage.until_written(session, "and the docs")
        stage.agent.release("tool")
        assert (await stage.final(session))[0] == "response"
        assert sum("and the docs" in prompt for prompt in stage.prompts(session)) == 1


async def test_a_thread_that_opencode_has_lost_is_begun_anew_from_our_history(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("first", Say(text="The lexer was at fault."))
        session = stage.mention("fix first")
        await stage.final(session)
        await stage.quiet()
        stage.agent.threads.clear()
        stage.agent.plays("second", Say(text="Two."))
        stage.people.follow_up(session, "second")
        assert await stage.final(session, 2) == ("response", "Two.")
        assert "The lexer was at fault." in stage.prompts(session)[0]
