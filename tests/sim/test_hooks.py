"""Webhooks as they leave: signature, schedule, and the mischief that tests need."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dragoman.sim.hooks import Hooks, Mischief
from tests.sim.conftest import DEADLINE_S, Receiver, Stage

SECRET = "whsec"


@asynccontextmanager
async def hooks_of(stage: Stage, receiver: Receiver) -> AsyncIterator[Hooks]:
    hooks = Hooks(stage.world, url=receiver.url, secret=SECRET, clock=stage.clock)
    await hooks.start()
    yield hooks
    await hooks.close()


async def until(stage: Stage, true: Callable[[], bool]) -> None:
    """Wait for a condition; looked at again after each change of the world."""
    changed = asyncio.Event()
    end = stage.world.watch(lambda _: changed.set())
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            changed.clear()
            await changed.wait()
    end()


async def test_a_webhook_is_signed_over_its_bytes_and_carries_linears_headers(stage: Stage, receiver: Receiver) -> None:
    async with hooks_of(stage, receiver) as hooks:
        session = stage.mentioned()
        await until(stage, lambda: all(d.state == "delivered" for d in hooks.deliveries))
        (delivery,) = hooks.of_session(session.id)
        headers, raw = next((h, b) for h, b in receiver.got if h["linear-delivery"] == delivery.id)
    assert headers["linear-signature"] == hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert (headers["linear-event"], headers["user-agent"]) == ("AgentSessionEvent", "Linear-Webhook")
    assert headers["linear-timestamp"] == str(delivery.body["webhookTimestamp"])
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert raw == delivery.raw


async def test_a_refused_webhook_is_tried_after_a_minute_an_hour_and_six_hours_with_the_same_bytes(
    stage: Stage, receiver: Receiver
) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    receiver.answers = [503, 204, 500, 404]
    async with hooks_of(stage, receiver) as hooks:
        stage.mentioned()
        for wait in (60, 3600, 6 * 3600):
            await stage.clock.until_asleep(wait)
            assert hooks.deliveries[0].state == "waiting"
            stage.clock.forward(wait)
        await until(stage, lambda: hooks.deliveries[0].state == "failed")
    assert [attempt.status for attempt in hooks.deliveries[0].attempts] == [503, 204, 500, 404]
    assert len({raw for _, raw in receiver.got}) == 1
    assert len({headers["linear-delivery"] for headers, _ in receiver.got}) == 1


async def test_a_retry_that_succeeds_is_the_last(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    receiver.answers = [500]
    async with hooks_of(stage, receiver) as hooks:
        hooks.time_scale = 0.5
        stage.mentioned()
        await stage.clock.until_asleep(30)
        stage.clock.forward(30)
        await until(stage, lambda: hooks.deliveries[0].state == "delivered")
        await stage.clock.until_asleep()
    assert len(receiver.got) == 2


async def test_nobody_listening_is_a_problem_with_a_name(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    async with hooks_of(stage, receiver) as hooks:
        hooks.url = "http://127.0.0.1:9/nobody"
        stage.mentioned()
        await until(stage, lambda: bool(hooks.deliveries[0].attempts))
    attempt = hooks.deliveries[0].attempts[0]
    assert (attempt.status, attempt.problem) == (None, "ClientConnectorError")


async def test_copies_delays_and_losses(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    async with hooks_of(stage, receiver) as hooks:
        hooks.next(Mischief(copies=5), Mischief(drop=True), Mischief(delay_s=42))
        for _ in range(3):
            stage.mentioned()
        await until(stage, lambda: len(hooks.deliveries[0].attempts) == 5)
        assert [delivery.state for delivery in hooks.deliveries[1:]] == ["lost", "sending"]
        await stage.clock.until_asleep(42)
        stage.clock.forward(42)
        await until(stage, lambda: hooks.deliveries[2].state == "delivered")
    assert len(receiver.got) == 6


async def test_held_webhooks_come_in_the_order_they_are_released_in(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    async with hooks_of(stage, receiver) as hooks:
        hooks.mischief = Mischief(hold=True)
        session = stage.mentioned()
        stage.people.follow_up(session.id, "before created")
        hooks.mischief = Mischief()
        released = hooks.release(lambda held: held[::-1])
        await until(stage, lambda: all(delivery.state == "delivered" for delivery in released))
    assert [body["action"] for body in receiver.bodies()] == ["prompted", "created"]


async def test_a_forged_webhook_has_no_or_a_wrong_signature(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    async with hooks_of(stage, receiver) as hooks:
        hooks.next(Mischief(forge="unsigned"), Mischief(forge="badly"))
        stage.mentioned()
        await until(stage, lambda: hooks.deliveries[0].state == "delivered")
        stage.mentioned()
        await until(stage, lambda: hooks.deliveries[-1].state == "delivered")
    (first, _), (second, raw) = receiver.got
    assert "linear-signature" not in first
    assert second["linear-signature"] != hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()


async def test_a_delivery_can_be_sent_again_as_it_was(stage: Stage, receiver: Receiver) -> None:
    stage.world.resources = {"AgentSessionEvent"}
    async with hooks_of(stage, receiver) as hooks:
        stage.mentioned()
        await until(stage, lambda: hooks.deliveries[0].state == "delivered")
        stage.clock.forward(3600)
        hooks.resend(hooks.deliveries[0], copies=2)
        await until(stage, lambda: len(hooks.deliveries[0].attempts) == 3)
    seen: set[Any] = {(headers["linear-signature"], raw) for headers, raw in receiver.got}
    assert len(seen) == 1
