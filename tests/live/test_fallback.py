"""What people read when the real OpenCode, or the model behind it, fails: the cause in one line, and what is next."""

from __future__ import annotations

import json

import pytest

from dragoman.sim.script import Drop, Fail, Pause, Say
from tests.live.conftest import Serving
from tests.live.service import LiveService, provider

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

BUDGET = "[session]\nretry_attempts = 2\n"  # the real one waits 2 s before its second try, then ever longer
CHUNKS_S = 1.0


async def reads(service: LiveService, story: str, first: str, then: str) -> None:
    """Mention the agent and wait for the final that begins with `first`; then the session must still work."""
    session = service.ask(f"[story={story}] try")
    final = await service.ends(session)
    line = final.body.splitlines()[0]
    assert (final.kind, line.startswith(first), then in line) == ("error", True, True), final.body
    service.linear.people.follow_up(session.id, "[story=fine] again")
    assert (await service.ends(session, turns=2)).body == "Here I am."


async def test_a_provider_that_fails_is_named_by_its_cause(serving: Serving) -> None:
    async with serving(toml=BUDGET) as service:
        model = service.linear.model
        model.tell("fine", [Say(text="Here I am.")])
        model.tell("denied", [Fail(status=401, message="Incorrect API key provided.")])
        model.tell("limited", [Fail(status=429, message="Rate limit reached.")])
        model.tell("broken", [Fail(status=500, message="Internal server error.")])
        model.tell("cut", [Drop(times=None)])
        model.tell("unknown", [Fail(status=404, message="The model does not exist.")])
        await reads(
            service, "denied", "🔐 The model's provider refused our credentials", "must check the provider's key"
        )
        await reads(service, "unknown", "🔍 The model was not found", "must check `OPENCODE_MODEL`")
        await reads(service, "limited", "⏱️ The model's provider limits our rate, and kept failing", "Write to me again")
        await reads(service, "broken", "🔧 The model's provider had an internal error, and kept failing", "Write to me")
        await reads(service, "cut", "🔌 The model's provider could not be reached, and kept failing", "Write to me")


async def test_a_model_that_opencode_does_not_know_is_named(serving: Serving) -> None:
    async with serving(settings={"OPENCODE_MODEL": "scripted/none"}) as service:
        final = await service.ends(service.ask("try"))
        assert final.kind == "error"
        assert final.body.startswith("🔍 The model was not found. Whoever runs me must check `OPENCODE_MODEL`")


async def test_an_agent_that_opencode_does_not_know_is_named(serving: Serving) -> None:
    async with serving(settings={"OPENCODE_AGENT": "nobody"}) as service:
        final = await service.ends(service.ask("try"))
        assert final.kind == "error"
        assert final.body.startswith("🔍 OpenCode does not know what was asked for. Whoever runs me must check")
        assert "'nobody'" in final.body


async def test_a_provider_that_does_not_answer_in_time_is_named(serving: Serving) -> None:
    async with serving(toml=BUDGET, start=False) as service:
        configured = provider(service.linear)
        configured["provider"]["scripted"]["options"]["chunkTimeout"] = int(CHUNKS_S * 1000)  # type: ignore[index]
        (service.folder / "opencode.json").write_text(json.dumps(configured), "utf-8")
        await service.start()
        service.linear.model.tell("slow", [Pause(seconds=20.0), Say(text="Too late.")])
        final = await service.ends(service.ask("[story=slow] try"))
        assert final.kind == "error"
        assert final.body.startswith("⏰ Request timed out: the model's provider did not answer in time"), final.body
