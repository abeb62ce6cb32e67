"""What the agent does is shown, and what goes wrong with it is said in words."""

from __future__ import annotations

import pytest

from dragoman.sim.script import Drop, Fail, Pause, Say, Think, Use
from tests.stories.agent_script import Compacts, Delegated
from tests.stories.conftest import MakeStage

TOOL = Use(tool="bash", args={"command": "echo hello"})


def plan(*items: tuple[str, str]) -> Use:
    todos = [{"content": content, "status": status, "priority": "high"} for content, status in items]
    return Use(tool="todowrite", args={"todos": todos})


async def test_thoughts_actions_and_their_results_come_in_the_order_of_the_work(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        await stage.until_opencode_is_up()
        edit = Use(tool="edit", args={"filePath": "{cwd}/readme.md", "oldString": "A shop.", "newString": "Our shop."})
        stage.agent.plays(
            "",
            (Think(text="Let me see."), Say(text="I look first."), TOOL),
            edit,
            (Say(text=" "), TOOL),
            Say(text="Done so."),
        )
        session = stage.mention()
        assert await stage.final(session) == ("response", "Done so.")
        shown = stage.shown(session)[1:]
        assert [kind for kind, _ in shown] == ["thought", "thought", "action", "action", "action", "response"]
        assert shown[0][1] == "Let me see."
        assert shown[1][1] == "I look first."
        assert "echo hello" in shown[2][1]
        assert "hello" in shown[2][1].split("→")[1]
        assert "Our shop." in shown[3][1]
        assert str(stage.folder) not in shown[3][1].split("→")[0]


async def test_a_failed_tool_is_the_result_of_an_action_and_no_error(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", Use(tool="bash", args={"command": "fail"}), Say(text="It failed, never mind."))
        session = stage.mention()
        assert await stage.final(session) == ("response", "It failed, never mind.")
        assert any(kind == "action" and "exit 1" in text for kind, text in stage.shown(session))


async def test_the_first_plan_is_shown_as_written_and_what_is_open_at_the_end_is_canceled(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        first = plan(("Read", "in_progress"), ("Fix", "pending"))
        later = plan(("Read", "completed"), ("Fix", "in_progress"))
        stage.agent.plays("", first, Use(tool="bash", args={"command": "wait tool"}), later, Say(text="Half of it."))
        session = stage.mention()
        await stage.until(lambda: stage.plan(session), "a plan")
        assert stage.plan(session) == [("Read", "inProgress"), ("Fix", "pending")]
        stage.agent.release("tool")
        await stage.final(session)
        await stage.quiet()
        assert stage.plan(session) == [("Read", "completed"), ("Fix", "canceled")]


async def test_a_sub_agents_work_is_one_action_with_its_result(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays(
            "",
            Delegated(description="look around", steps=((TOOL,), (Say(text="nothing there"),))),
            Say(text="All done."),
        )
        session = stage.mention()
        assert await stage.final(session) == ("response", "All done.")
        actions = [text for kind, text in stage.shown(session) if kind == "action"]
        assert len(actions) == 1
        assert "look around" in actions[0]


async def test_a_compaction_is_one_thought_and_its_summary_is_not_the_answer(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", (TOOL, Compacts()), Say(text="After all that: done."))
        session = stage.mention()
        assert await stage.final(session) == ("response", "After all that: done.")
        assert sum("summarised" in thought for thought in stage.thoughts(session)) == 1
        assert not any("for the model alone" in text for _, text in stage.shown(session))


async def test_a_refusing_provider_is_one_error_in_words_and_the_next_message_works(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Fail(status=401, message="Incorrect API key"))
        session = stage.mention()
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "refused our credentials" in text
        stage.agent.plays("again", Say(text="Now it works."))
        stage.people.follow_up(session, "again")
        assert await stage.final(session, 2) == ("response", "Now it works.")


@pytest.mark.parametrize("trouble", [Fail(status=429, message="slow down", times=2), Drop(times=2)])
async def test_a_provider_that_recovers_is_one_thought_and_then_the_answer(
    make_stage: MakeStage, trouble: Fail | Drop
) -> None:
    async with make_stage() as stage:
        stage.agent.player.retry_s = 0.2
        step = (trouble, Say(text="Recovered."))
        stage.agent.plays("", Use(tool="bash", args={"command": "wait follower"}), step)
        session = stage.mention()
        await stage.until_shown(session, "action", "wait follower")
        stage.agent.release("follower")
        assert await stage.final(session) == ("response", "Recovered.")
        assert sum("has trouble" in thought for thought in stage.thoughts(session)) == 1


async def test_a_provider_that_never_recovers_is_given_up_with_an_honest_error(make_stage: MakeStage) -> None:
    async with make_stage(session={"retry_attempts": 3}) as stage:
        stage.agent.player.retry_s = 0.2
        stage.agent.plays("please", Fail(status=500, message="overloaded", times=None))
        session = stage.mention()
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "kept failing" in text
        assert not any(thread.busy for thread in stage.agent.threads.values())


async def test_a_run_that_is_aborted_from_outside_ends_with_one_error(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Use(tool="bash", args={"command": "wait for ever"}))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        await stage.agent.player.abort(stage.agent.thread_of(session))
        kind, text = await stage.final(session)
        assert kind == "error"
        assert "ended from outside" in text


async def test_a_silent_turn_says_now_and_then_that_it_lives(make_stage: MakeStage) -> None:
    async with make_stage(session={"heartbeat_s": 0.5}) as stage:
        stage.agent.plays("", (Pause(until="word"), Say(text="Here it is.")))
        session = stage.mention()
        await stage.until_shown(session, "thought", "Still working", count=2)
        stage.agent.release("word")
        assert await stage.final(session) == ("response", "Here it is.")


async def test_an_agent_without_closing_words_ends_the_turn_all_the_same(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", TOOL, Say(text=" "))
        session = stage.mention()
        kind, text = await stage.final(session)
        assert kind == "response"
        assert "no closing words" in text
