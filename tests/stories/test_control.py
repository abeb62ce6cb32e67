"""Operators act over HTTP: what people in Linear see of it."""

from __future__ import annotations

from dragoman.ledger import audit
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage
from tests.web.sockets import Answer, ask, request

LONG = Use(tool="bash", args={"command": "wait for ever"})


async def told(stage: Stage, session: str, command: str, body: bytes = b"") -> Answer:
    """Tell the service as an operator."""
    assert stage.service is not None
    key = f"Authorization: Bearer {stage.service.operator_key}"
    path = f"/api/v1/sessions/{session}/{command}"
    return await ask(f"http://127.0.0.1:{stage._port}", request(body, path=path, signature=None, more=[key]))


async def test_an_operator_stops_a_turn_and_the_next_message_works(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        assert (await told(stage, session, "stop")).status == 202
        kind, text = await stage.final(session)
        assert (kind, "Stopped" in text) == ("response", True)
        stage.agent.plays("go on then", Say(text="Went on."))
        stage.people.follow_up(session, "go on then")
        assert await stage.final(session, 2) == ("response", "Went on.")


async def test_a_session_that_an_operator_completed_ends_its_turn_once_and_opens_again(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait for ever")
        assert (await told(stage, session, "complete", b'{"reason": "not needed"}')).status == 202
        await stage.final(session)
        await stage.quiet()
        assert (await stage.details(session)).summary.status == "completed"
        refused = await told(stage, session, "complete")
        assert (refused.status, "is completed; it cannot become completed" in refused.json["error"]) == (409, True)
        stage.agent.plays("once more", Say(text="Here again."))
        stage.people.follow_up(session, "once more")
        assert await stage.final(session, 2) == ("response", "Here again.")
        assert stage.service is not None
        rows = await stage.service.ledger.read(audit.newest)
        assert [(row.source, row.action, row.verdict) for row in rows if row.source != "linear"] == [
            ("http", "complete", "status"),
            ("http", "complete", "allowed"),
        ]
