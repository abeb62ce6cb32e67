"""A conversation beyond SESSION_MAX_MESSAGES: a summary, a fresh thread, one thought."""

from __future__ import annotations

import pytest

from dragoman.core.prompts import SUMMARISE
from dragoman.sim.script import Fail, Pause, Say
from tests.stories.conftest import UNHURRIED, MakeStage

SHORT = {"SESSION_MAX_MESSAGES": "2"}
ASKED = SUMMARISE[:40]
GROWN = "Our conversation has grown long"


async def test_the_fresh_thread_starts_from_the_agents_summary_and_people_are_told_once(make_stage: MakeStage) -> None:
    async with make_stage(settings=SHORT) as stage:
        stage.agent.plays(ASKED, Say(text="The parser was fixed; colour is red."))
        stage.agent.plays("which colour", Say(text="Red."))
        stage.agent.plays("and now", Say(text="Still red."))
        session = stage.mention("please fix it")
        await stage.final(session)
        stage.people.follow_up(session, "which colour?")
        assert await stage.final(session, 2) == ("response", "Red.")
        assert [text for text in stage.thoughts(session) if GROWN in text] == [
            f"{GROWN}, so I go on in a fresh thread that starts from the agent's own summary of it."
        ]
        [told] = stage.prompts(session)
        assert "The parser was fixed; colour is red." in told
        assert "which colour?" in told
        assert "please fix it" not in told.partition("The issue and what was written there")[0]
        assert len(stage.agent.threads) == 2
        lines = [line.text for line in (await stage.details(session)).messages]
        assert "Summary of the conversation so far: The parser was fixed; colour is red." in lines


@pytest.mark.deep
async def test_an_agent_that_gives_no_summary_does_not_keep_people_from_their_answer(make_stage: MakeStage) -> None:
    async with make_stage(settings=SHORT) as stage:
        stage.agent.plays(ASKED, Fail(status=400, message="no"))
        stage.agent.plays("which colour", Say(text="Red."))
        session = stage.mention("please fix it")
        await stage.final(session)
        stage.people.follow_up(session, "which colour?")
        assert await stage.final(session, 2) == ("response", "Red.")
        assert [text for text in stage.thoughts(session) if "gave no summary" in text]
        [told] = stage.prompts(session)
        assert "please fix it" in told, "then it starts from what was said"


@pytest.mark.deep
async def test_a_restart_during_the_summary_asks_for_it_once(make_stage: MakeStage) -> None:
    async with make_stage(settings=SHORT) as stage:
        stage.agent.plays(ASKED, (Pause(until="thought"), Say(text="All is well.")))
        stage.agent.plays("which colour", Say(text="Red."))
        session = stage.mention("please fix it")
        await stage.final(session)
        stage.people.follow_up(session, "which colour?")
        await stage.until_written(session, ASKED)
        await stage.stop()
        await stage.start()
        stage.agent.release("thought")
        assert await stage.final(session, 2) == ("response", "Red.")
        old, _ = stage.agent.threads.values()
        assert len(old.users()) == 2, "asked once"
        assert "All is well." in stage.prompts(session)[0]


@pytest.mark.usefixtures("unhurried")
@pytest.mark.deep
async def test_stop_during_the_summary_ends_it_and_the_next_message_tries_again(make_stage: MakeStage) -> None:
    async with make_stage(settings=SHORT, session=UNHURRIED) as stage:
        stage.agent.plays(ASKED, (Pause(until="thought"), Say(text="All is well.")))
        stage.agent.plays("and now", Say(text="Red."))
        session = stage.mention("please fix it")
        await stage.final(session)
        stage.people.follow_up(session, "which colour?")
        await stage.until_written(session, ASKED)
        stage.people.stop(session)
        assert (await stage.final(session, 2))[1].startswith("Stopped.")
        await stage.until(lambda: not stage.agent.thread_of(session).busy, "the end of the summary")
        stage.agent.release("thought")
        stage.people.follow_up(session, "and now?")
        assert await stage.final(session, 3) == ("response", "Red.")
        assert "All is well." in stage.prompts(session)[0]
