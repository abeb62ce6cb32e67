"""OpenCode asks, people answer."""

from __future__ import annotations

import pytest

from dragoman.sim.script import Ask, Say, Use
from tests.stories.agent_script import Delegated, Guarded
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

COLOUR = Ask(question="Which colour?", header="Colour", options=(("Red", "warm"), ("Blue", "cold")))
PUSH = Guarded(tool="bash", args={"command": "git push"}, always=("git push *",))


async def asked(stage: Stage, *steps: object, text: str = "") -> str:
    """A session whose agent plays these steps, once its question is before people."""
    stage.agent.plays("", *steps)  # type: ignore[arg-type]  # parts, as they are
    session = stage.mention("fix go")
    await stage.until_shown(session, "elicitation", text)
    await stage.until(lambda: stage.world.open_elicitation(session), "an open elicitation")
    return session


@pytest.mark.parametrize("by_label", [False, True])
async def test_a_question_is_answered_with_one_of_its_options(make_stage: MakeStage, by_label: bool) -> None:
    async with make_stage() as stage:
        session = await asked(stage, COLOUR, Say(text="{answer}"))
        stage.people.answer(session, "Blue", by_label=by_label)
        assert '"Which colour?"="Blue"' in (await stage.final(session))[1]


async def test_a_question_may_be_answered_in_free_text(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(stage, COLOUR, Say(text="{answer}"))
        stage.people.answer(session, "Dark green please")
        assert '"Which colour?"="Dark green please"' in (await stage.final(session))[1]


async def test_several_questions_are_put_one_after_another(make_stage: MakeStage) -> None:
    both = [
        {"question": "Which colour?", "header": "Colour", "options": [{"label": "Red", "description": ""}]},
        {"question": "Which size?", "header": "Size", "options": [{"label": "Small", "description": ""}]},
    ]
    async with make_stage() as stage:
        session = await asked(
            stage, Use(tool="question", args={"questions": both}), Say(text="{answer}"), text="colour"
        )
        assert [text for kind, text in stage.shown(session) if kind == "elicitation" and "size" in text] == []
        stage.people.answer(session, "Red")
        await stage.until_shown(session, "elicitation", "Which size?")
        stage.people.answer(session, "Small")
        answer = (await stage.final(session))[1]
        assert '"Which colour?"="Red"' in answer
        assert '"Which size?"="Small"' in answer


@pytest.mark.parametrize("choice, says", [("once", "Allowed once"), ("always", "from now on")])
async def test_a_permission_that_is_given_lets_the_tool_run(make_stage: MakeStage, choice: str, says: str) -> None:
    async with make_stage() as stage:
        session = await asked(stage, PUSH, Say(text="Pushed."), text="git push")
        stage.people.answer(session, choice)
        assert await stage.final(session) == ("response", "Pushed.")
        assert any(says in thought for thought in stage.thoughts(session))
        assert any("git push" in text for kind, text in stage.shown(session) if kind == "action")


async def test_always_covers_the_next_call_too(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(stage, PUSH, PUSH, Say(text="Pushed twice."))
        stage.people.answer(session, "always")
        assert await stage.final(session) == ("response", "Pushed twice.")
        assert len([kind for kind, _ in stage.shown(session) if kind == "elicitation"]) == 1


@pytest.mark.deep
async def test_once_covers_one_call_only(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(stage, PUSH, PUSH, Say(text="Pushed twice."))
        stage.people.answer(session, "once")
        await stage.until_shown(session, "elicitation", "git push", count=2)
        stage.people.answer(session, "once")
        assert await stage.final(session) == ("response", "Pushed twice.")


@pytest.mark.parametrize("words", ["reject", "not on a Friday, use a branch"])
async def test_a_permission_that_is_declined_lets_the_agent_go_on_without_it(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        session = await asked(stage, PUSH, Say(text="{result}"))
        stage.people.answer(session, words)
        kind, text = await stage.final(session)
        assert (kind, "with the following feedback" in text) == ("response", True)
        assert "Friday" not in words or "not on a Friday, use a branch" in text
        assert any("Declined" in thought for thought in stage.thoughts(session))


async def test_a_permission_that_nobody_answers_is_declined_and_the_agent_goes_on(make_stage: MakeStage) -> None:
    async with make_stage(session={"permission_s": 0.5}) as stage:
        session = await asked(stage, PUSH, Say(text="{result}"))
        kind, text = await stage.final(session)
        assert (kind, "Nobody was there to approve" in text) == ("response", True)
        assert any("Nobody answered" in thought for thought in stage.thoughts(session))


async def test_a_question_that_nobody_answers_is_put_again(make_stage: MakeStage) -> None:
    async with make_stage(session={"reminder_s": 0.4}) as stage:
        session = await asked(stage, COLOUR, Say(text="{answer}"))
        await stage.until_shown(session, "elicitation", "Which colour?", count=2)
        stage.people.answer(session, "Red")
        assert '"Which colour?"="Red"' in (await stage.final(session))[1]


async def test_nothing_is_posted_while_a_question_is_open(make_stage: MakeStage) -> None:
    async with make_stage(session={"heartbeat_s": 0.3}) as stage:
        session = await asked(stage, COLOUR, Say(text="Good."))
        before = stage.shown(session)
        beats = [line.kind for line in (await stage.details(session)).journal].count("HeartbeatDue")
        await stage.until_heard(session, "HeartbeatDue", beats + 3)
        assert stage.shown(session) == before
        stage.people.answer(session, "Red")
        assert await stage.final(session) == ("response", "Good.")


@pytest.mark.deep
async def test_an_ask_of_a_sub_agent_is_put_before_people(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(
            stage, Delegated(description="look around", steps=((PUSH,), (Say(text="looked"),))), Say(text="All done.")
        )
        stage.people.answer(session, "once")
        assert await stage.final(session) == ("response", "All done.")


async def test_two_asks_of_a_sub_agent_are_put_one_after_the_other(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(
            stage,
            Delegated(description="look around", steps=((COLOUR,), (PUSH,), (Say(text="looked"),))),
            Say(text="Done."),
        )
        stage.people.answer(session, "Red")
        await stage.until_shown(session, "elicitation", "git push")
        stage.people.answer(session, "once")
        assert await stage.final(session) == ("response", "Done.")


async def test_slash_queue_during_an_ask_is_no_answer(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await asked(stage, COLOUR, Say(text="{answer}"))
        stage.agent.plays("docs", Say(text="Documented."))
        stage.people.follow_up(session, "/queue write the docs")
        await stage.until_delivered()
        stage.people.follow_up(session, "Red")
        assert '"Which colour?"="Red"' in (await stage.final(session))[1]
        assert await stage.final(session, 2) == ("response", "Documented.")
