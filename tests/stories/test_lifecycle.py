"""A session rests, times out, is completed, fails, and comes back with its context."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core.events.operators import CompletionRequested
from dragoman.ids import SessionId
from dragoman.ledger import effects, read
from dragoman.ledger.pools import Job
from dragoman.sim.script import Ask, Fail, Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

SOON_S = 0.05  # stands for the minutes of SESSION_TIMEOUT_MINUTES


async def look_for_expired(stage: Stage) -> None:
    """The clean-up job, now instead of in some minutes."""
    assert stage.service is not None
    await stage.service.ledger.turn(effects.insert_job, Job(name="cleanup"))


async def until_status(stage: Stage, session: str, status: str) -> None:
    assert stage.service is not None
    ledger = stage.service.ledger

    async def has_it() -> bool:
        await look_for_expired(stage)
        return [one.status for one in await ledger.read(read.sessions) if one.id == session] == [status]

    await stage.until_known(has_it, f"status {status}")


@pytest.mark.deep
async def test_a_session_at_rest_times_out_silently_and_a_later_message_goes_on_in_its_thread(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        stage.service.engine.rules = replace(stage.service.engine.rules, timeout_s=SOON_S)
        stage.agent.plays("fix it", Say(text="Fixed."))
        stage.agent.plays("one more", Say(text="Done, too."))
        session = stage.mention("please fix it")
        await stage.final(session)
        seen = stage.shown(session)
        await until_status(stage, session, "timeout")
        await stage.quiet()
        assert stage.shown(session) == seen
        assert "SessionExpired" in [line.kind for line in (await stage.details(session)).journal]

        stage.service.engine.rules = replace(stage.service.engine.rules, timeout_s=1_800.0)
        stage.people.follow_up(session, "one more thing")
        assert await stage.final(session, 2) == ("response", "Done, too.")
        assert len(stage.prompts(session)) == 2, "both in the same thread"
        statuses = [change.status for change in (await stage.details(session)).statuses]
        assert statuses == ["creating", "active", "timeout", "active"]


async def test_an_open_ask_never_times_out(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        stage.service.engine.rules = replace(stage.service.engine.rules, timeout_s=SOON_S)
        stage.agent.plays("", Ask(question="Which colour?", options=(("Red", ""), ("Blue", ""))), Say(text="Painted."))
        session = stage.mention("fix and paint it")
        await stage.until_shown(session, "elicitation")
        removed = await stage.service.engine.expire()
        assert removed == 0
        assert (await stage.details(session)).summary.status == "active"
        stage.people.follow_up(session, "Red")
        assert await stage.final(session) == ("response", "Painted.")


async def test_three_failed_turns_in_a_row_are_an_error_and_an_answer_ends_it(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("break", Fail(status=401))
        stage.agent.plays("now work", Say(text="Worked."))
        session = stage.mention("fix the break")
        for number in (1, 2, 3):
            assert (await stage.final(session, number))[0] == "error"
            assert (await stage.details(session)).summary.status == ("error" if number == 3 else "active")
            stage.people.follow_up(session, "break" if number < 3 else "now work")
        assert await stage.final(session, 4) == ("response", "Worked.")
        assert (await stage.details(session)).summary.status == "active"


async def test_completion_by_command_ends_the_run_with_one_final_and_a_message_brings_the_session_back(
    make_stage: MakeStage,
) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        stage.agent.plays("fix it", Use(tool="bash", args={"command": "wait tool"}), Say(text="Never."))
        session = stage.mention("please fix it")
        await stage.until_shown(session, "action", "wait tool")
        await stage.service.engine.tell(SessionId(session), CompletionRequested(reason="not needed"))
        kind, text = await stage.final(session)
        assert (kind, text.split(",")[0]) == ("response", "The session was completed from outside")
        details = await stage.details(session)
        assert details.summary.status == "completed"
        assert "Session completed: not needed" in [line.text for line in details.messages]
        stage.agent.plays("go on", Say(text="Went on."))
        stage.people.follow_up(session, "go on")
        assert await stage.final(session, 2) == ("response", "Went on.")
