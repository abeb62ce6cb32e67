"""OpenCode is unavailable or refuses: people read the cause in one line and what happens next, and can go on.

One story for each way in which OpenCode was seen to fail.
"""

from __future__ import annotations

import pytest

from dragoman.sim.script import Drop, Fail, Say
from tests.marks import deep
from tests.stories.conftest import MakeStage
from tests.stories.world import CANARY, Stage

IMPATIENT = {"patience_s": 0.6}
GIVE_UP = {"retry_attempts": 2}
CONTEXT = "This model's maximum context length is 200000 tokens."


async def told(stage: Stage, session: str, first: str, then: str) -> None:
    """Wait for the one final: its first line begins with the cause and says what next, and no secret is in it."""
    kind, text = await stage.final(session)
    line = text.splitlines()[0]
    assert kind == "error", text
    assert line.startswith(first), text
    assert then in line, text
    assert CANARY not in text
    await stage.quiet()
    assert len(stage.finals(session)) == 1


async def works_again(stage: Stage, session: str) -> None:
    """The next message in the session is answered."""
    stage.agent.plays("again", Say(text="Here I am."))
    stage.people.follow_up(session, "again")
    assert await stage.final(session, 2) == ("response", "Here I am.")


@pytest.mark.deep
async def test_t32_opencode_cannot_make_a_session_and_people_get_an_answer_all_the_same(make_stage: MakeStage) -> None:
    async with make_stage(session=IMPATIENT) as stage:
        stage.agent.refuse("create_thread", 500)
        session = stage.mention("help me implement it")
        await stage.until_shown(session, "thought", "(it has an internal error). I keep trying")
        await told(stage, session, "🔧 OpenCode has not answered (it has an internal error)", "Write to me again")
        assert stage.prompts(session) == []
        stage.agent.refuse("create_thread", 0)
        await works_again(stage, session)


async def test_t32_a_session_that_can_be_made_after_all_is_answered_by_the_agent(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", Say(text="Here I am."))
        stage.agent.refuse("create_thread", 503)
        session = stage.mention("help me implement it")
        await stage.until_shown(session, "thought", "OpenCode is not answering")
        stage.agent.refuse("create_thread", 0)
        assert await stage.final(session) == ("response", "Here I am.")


@pytest.mark.parametrize(
    "status, first",
    [
        deep(500, "🔧 OpenCode has not answered (it has an internal error)"),
        deep(429, "⏱️ OpenCode has not answered (it limits our rate)"),
        deep(504, "⏰ OpenCode has not answered (requests time out)"),
    ],
)
async def test_opencode_that_keeps_failing_is_named_by_its_cause(
    make_stage: MakeStage, status: int, first: str
) -> None:
    async with make_stage(session=IMPATIENT) as stage:
        stage.agent.refuse("prompt", status)
        session = stage.mention()
        await told(stage, session, first, "Write to me again and I try anew")
        stage.agent.refuse("prompt", 0)
        await works_again(stage, session)


async def test_opencode_that_cannot_be_reached_is_named_so(make_stage: MakeStage) -> None:
    async with make_stage(opencode=False, session=IMPATIENT) as stage:
        session = stage.mention()
        await stage.until_shown(session, "thought", "OpenCode is not answering")
        await told(stage, session, "🔌 OpenCode has not answered (it cannot be reached)", "Write to me again")


async def test_opencode_that_refuses_our_password_ends_the_turn_at_once(make_stage: MakeStage) -> None:
    async with make_stage(settings={"OPENCODE_SESSION_TOKEN": f"{CANARY}-of-yesterday"}) as stage:
        session = stage.mention()
        await told(stage, session, "🔐 OpenCode refused our credentials", "Whoever runs me must check them")


@pytest.mark.deep
async def test_opencode_that_does_not_know_the_agent_ends_the_turn(make_stage: MakeStage) -> None:
    """The real one takes such a prompt and stores nothing."""
    async with make_stage() as stage:
        stage.agent.forgets_prompts = True
        session = stage.mention()
        await told(stage, session, "🔍 OpenCode does not know what was asked for", "check the settings")
        stage.agent.forgets_prompts = False
        await works_again(stage, session)


async def test_opencode_that_finds_a_request_wrong_ends_the_turn(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        body = {"name": "BadRequest", "data": {"message": "Missing key", "kind": "Payload"}}
        stage.agent.refuse("prompt", 400, body)
        session = stage.mention()
        await told(stage, session, "❌ OpenCode could not do this", "Write to me to try again")
        assert "Missing key" in stage.finals(session)[0][1]
        stage.agent.refuse("prompt", 0)
        await works_again(stage, session)


@pytest.mark.parametrize(
    "trouble, first, then",
    [
        (
            Fail(status=401, message="Incorrect API key"),
            "🔐 The model's provider refused our credentials",
            "must check",
        ),
        deep(Fail(status=403, message="Forbidden"), "🔐 The model's provider refused our credentials", "must check"),
        (Fail(status=404, message="No such model"), "🔍 The model was not found", "`OPENCODE_MODEL`"),
        (Fail(status=400, message=CONTEXT), "📏 The conversation no longer fits the model", "Start a new session"),
        (Fail(status=400, message="tools.3: bad schema"), "The model did not deliver a usable answer", "Write to me"),
    ],
)
async def test_a_provider_that_refuses_is_named_by_its_cause(
    make_stage: MakeStage, trouble: Fail, first: str, then: str
) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", trouble)
        session = stage.mention()
        await told(stage, session, first, then)
        assert f"What was said: `{trouble.message}`" in stage.finals(session)[0][1]
        await works_again(stage, session)


@pytest.mark.parametrize(
    "trouble, first",
    [
        (Fail(status=429, message="Rate limit reached"), "⏱️ The model's provider limits our rate, and kept failing"),
        (Fail(status=500, message="fake error 500"), "🔧 The model's provider had an internal error, and kept failing"),
        (Fail(status=408, message="The operation timed out."), "⏰ Request timed out: the model's provider"),
        (Drop(times=None), "🔌 The model's provider could not be reached, and kept failing"),
        (Fail(status=500, message="?"), "❌ OpenCode could not finish this, and kept failing"),
    ],
)
async def test_a_provider_that_keeps_failing_is_named_by_its_cause(
    make_stage: MakeStage, trouble: Fail | Drop, first: str
) -> None:
    async with make_stage(session=GIVE_UP) as stage:
        stage.agent.plays("", trouble)
        session = stage.mention()
        await told(stage, session, first, "Write to me")
        await works_again(stage, session)


async def test_a_provider_that_recovers_is_no_failure(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", (Fail(status=429, message="Rate limit reached", times=1), Say(text="Here I am.")))
        assert await stage.final(stage.mention()) == ("response", "Here I am.")


async def test_a_stop_while_the_provider_is_tried_again_is_a_stop(make_stage: MakeStage) -> None:
    """The real one then leaves a message that looks like an empty success."""
    async with make_stage() as stage:
        stage.agent.player.retry_s = 30.0
        stage.agent.plays("", Fail(status=429, message="Rate limit reached"))
        session = stage.mention()
        await stage.until_shown(session, "thought", "Trying again")
        stage.people.stop(session)
        kind, text = await stage.final(session)
        assert (kind, text.startswith("Stopped")) == ("response", True)
