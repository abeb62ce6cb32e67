"""A conversation beyond its limit, with the real OpenCode: the fresh thread knows what the old one summed up."""

from __future__ import annotations

import pytest

from dragoman.core.prompts import SUMMARISE
from dragoman.sim.script import Say
from tests.live.conftest import Serving

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

GROWN = "Our conversation has grown long"


async def test_a_long_conversation_goes_on_in_a_fresh_thread_that_starts_from_the_agents_summary(
    serving: Serving,
) -> None:
    async with serving(settings={"SESSION_MAX_MESSAGES": "2"}) as service:
        model = service.linear.model
        model.tell("old", [Say(text="The colour is teal.")], after=[[Say(text="We chose teal. [story=fresh]")]])
        model.tell("fresh", [Say(text="Teal, as I wrote to myself.")])
        session = service.ask("[story=old] choose a colour")
        await service.ends(session)
        service.linear.people.follow_up(session.id, "which colour was it?")
        await service.becomes(
            lambda: [row for row in service.rows(session) if row.body == "Teal, as I wrote to myself."]
        )

        asked, fresh = (
            next(one for one in model.requests if text in one.newest and not one.utility)
            for text in (SUMMARISE[:60], "which colour was it?")
        )
        assert len(asked.users) == 2, "the summary is asked for in the old thread"
        assert len(fresh.users) == 1, "the message begins a fresh one"
        assert "We chose teal." in fresh.newest
        assert [row.body for row in service.rows(session) if GROWN in row.body] == [
            f"{GROWN}, so I go on in a fresh thread that starts from the agent's own summary of it."
        ]
