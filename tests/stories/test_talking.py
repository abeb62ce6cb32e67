"""People begin, write on and read along."""

from __future__ import annotations

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage

LOOKS_MOST = 50  # for OpenCode, while a story lasts


async def test_a_mention_is_answered_with_the_agents_own_words(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", Say(text="I fixed it."))
        session = stage.mention("please fix it")
        assert await stage.final(session) == ("response", "I fixed it.")
        assert "please fix it" in stage.prompts(session)[0]
        assert stage.shown(session)[0][0] == "thought"


async def test_a_delegation_moves_the_issue_makes_us_delegate_and_leaves_the_assignee(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        issue = stage.issue()
        session = stage.people.delegate(issue, by=stage.world.bob).id
        assert (await stage.final(session))[0] == "response"
        await stage.quiet()
        after = stage.world.issue(issue)
        assert stage.world.state(after.state).name == "In Progress"
        assert after.delegate == stage.world.agent.id
        assert after.assignee == stage.world.bob.id
        assert "delegated to you" in stage.prompts(session)[0]


async def test_a_mention_does_not_move_the_issue_but_makes_us_delegate(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        issue = stage.issue()
        await stage.final(stage.mention(issue=issue))
        await stage.quiet()
        after = stage.world.issue(issue)
        assert stage.world.state(after.state).name == "Todo"
        assert (after.delegate, after.assignee) == (stage.world.agent.id, None)


async def test_an_automation_has_the_work_done_without_a_creator_and_without_moving_the_issue(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        issue = stage.issue()
        session = stage.people.automate(issue).id
        assert (await stage.final(session))[0] == "response"
        await stage.quiet()
        assert stage.world.state(stage.world.issue(issue).state).name == "Todo"
        assert "an automation" in stage.prompts(session)[0]


async def test_an_issue_that_has_started_or_ended_is_not_moved_by_a_delegation(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        issues = [stage.issue(state=state) for state in ("In Review", "Done")]
        for issue in issues:
            await stage.final(stage.people.delegate(issue).id)
        await stage.quiet()
        assert [stage.world.state(stage.world.issue(issue).state).name for issue in issues] == ["In Review", "Done"]


async def test_the_first_thought_leaves_before_opencode_has_answered_anything(make_stage: MakeStage) -> None:
    stage = make_stage()
    held = [stage.agent.hold("health") for _ in range(LOOKS_MOST)]  # one that gets no answer is followed by another
    async with stage:
        await held[0].wait_reached()
        session = stage.mention()
        await stage.until_shown(session, "thought", "Session Started")
        assert set(stage.agent.requests) == {"health"}
        for look in held:
            look.release()
        assert (await stage.final(session))[0] == "response"


async def test_a_follow_up_goes_into_the_same_agent_thread(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("first", Say(text="One."))
        stage.agent.plays("second", Say(text="Two."))
        session = stage.mention("fix first")
        assert await stage.final(session) == ("response", "One.")
        stage.people.follow_up(session, "second")
        assert await stage.final(session, 2) == ("response", "Two.")
        assert len(stage.agent.threads) == 1
        assert len(stage.prompts(session)) == 2
        assert "On it: “second”" in stage.thoughts(session)


async def test_a_follow_up_after_a_restart_goes_into_the_same_agent_thread(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.mention("fix first")
        await stage.final(session)
        await stage.stop()
        await stage.agent.restart()
        await stage.start()
        stage.agent.plays("second", Say(text="Two."))
        stage.people.follow_up(session, "second")
        assert await stage.final(session, 2) == ("response", "Two.")
        assert len(stage.agent.threads) == 1


async def test_a_message_during_a_run_steers_it_and_one_final_answers_both(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("fix", Use(tool="bash", args={"command": "wait tool"}), Say(text="Fixed."))
        stage.agent.plays("docs", Say(text="Fixed, with docs."))
        session = stage.mention("please fix it")
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, "and the docs")
        await stage.until_shown(session, "thought", "passing this on")
        await stage.until_written(session, "and the docs")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed, with docs.")


async def test_a_message_to_a_model_that_is_writing_its_answer_is_answered_by_the_same_final(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        held = stage.agent.hold("prompt", after=True)
        stage.agent.plays("fix", Say(text="Fixed."))
        stage.agent.plays("docs", Say(text="With docs."))
        session = stage.mention("please fix it")
        await held.wait_reached()
        stage.people.follow_up(session, "and the docs")
        await stage.until_shown(session, "thought", "passing this on")
        held.release()
        assert await stage.final(session) == ("response", "With docs.")
        assert "Fixed." in stage.thoughts(session)


async def test_slash_queue_waits_for_its_own_turn(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("fix", Use(tool="bash", args={"command": "wait tool"}), Say(text="Fixed."))
        stage.agent.plays("docs", Say(text="Documented."))
        session = stage.mention("please fix it")
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, "/queue write the docs")
        await stage.until_shown(session, "thought", "Queued")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")
        assert await stage.final(session, 2) == ("response", "Documented.")
        assert "/queue" not in stage.prompts(session)[1]


async def test_an_operator_may_have_messages_wait_by_default(make_stage: MakeStage) -> None:
    async with make_stage(session={"while_busy": "queue"}) as stage:
        stage.agent.plays("fix", Use(tool="bash", args={"command": "wait tool"}), Say(text="Fixed."))
        stage.agent.plays("docs", Say(text="Documented."))
        session = stage.mention("please fix it")
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, "write the docs")
        await stage.until_shown(session, "thought", "Queued")
        stage.agent.release("tool")
        assert await stage.final(session, 2) == ("response", "Documented.")


async def test_what_is_written_before_the_run_began_goes_along(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        held = stage.agent.hold("create_thread")
        stage.agent.plays("docs", Say(text="Fixed, with docs."))
        session = stage.mention("please fix it")
        await held.wait_reached()
        stage.people.follow_up(session, "and the docs")
        await stage.until_shown(session, "thought", "Got it")
        held.release()
        assert await stage.final(session) == ("response", "Fixed, with docs.")
        assert len(stage.prompts(session)) == 2
