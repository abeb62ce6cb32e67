"""Webhooks as Linear sends them: signed, with a deadline, retried, and on command duplicated, delayed, reordered or lost.

Source  linear.app/developers/webhooks: 5 s for an answer, retries after 1 min, 1 h and 6 h with the same bytes
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from dragoman.clock import Clock
from dragoman.record import Record
from dragoman.sim.world import World

ANSWER_WITHIN_S = 5.0
RETRY_AFTER_S = (60.0, 3600.0, 6 * 3600.0)
_AT_ONCE = 256  # deliveries in flight; more wait for a place


class Attempt(Record):
    """One POST of a delivery. `status` is None when no answer came (`problem` says why); `took_ms` milliseconds."""

    at: float
    status: int | None
    took_ms: float
    problem: str | None = None


class Delivery:
    """One webhook: the exact bytes, its headers, and what became of it.

    state  held, sending, waiting (for a retry), delivered, failed (after the last retry), lost (dropped on command)
    """

    def __init__(self, delivery_id: str, body: dict[str, Any], raw: bytes, headers: dict[str, str]) -> None:
        self.id = delivery_id
        self.body = body
        self.raw = raw
        self.headers = headers
        self.attempts: list[Attempt] = []
        self.state = "sending"

    @property
    def event(self) -> str:
        """Type and action: "AgentSessionEvent created"."""
        return f"{self.body['type']} {self.body['action']}"

    @property
    def status(self) -> int | None:
        """The last HTTP status that came back."""
        return self.attempts[-1].status if self.attempts else None


class Mischief(Record):
    """What is done to the deliveries from now on.

    copies   how often each is sent at once (1 = once); all copies have the same id and bytes
    delay_s  how long each waits first
    hold     keep all back until `release`
    drop     lose all: never sent, never retried
    forge    "" sends the right signature; "unsigned" leaves it out; "badly" signs with another secret
    """

    copies: int = 1
    delay_s: float = 0.0
    hold: bool = False
    drop: bool = False
    forge: str = ""


class Hooks:
    """Sends the world's webhooks.

    url         where to; None keeps everything back as lost
    time_scale  factor on the retry schedule: 0.001 makes 1 min of retry 60 ms
    """

    def __init__(self, world: World, *, url: str | None, secret: str, clock: Clock, time_scale: float = 1.0) -> None:
        self.url = url
        self.secret = secret
        self.mischief = Mischief()
        self.deliveries: list[Delivery] = []
        self.time_scale = time_scale
        self._next: list[Mischief] = []
        self._world = world
        self._clock = clock
        self._held: list[Delivery] = []
        self._begun = 0  # deliveries whose first request is not over; also those that are sent again
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is being sent, sent again, or waits for a retry."""
        return not self._begun and all(one.state not in ("sending", "waiting") for one in self.deliveries)

    async def start(self) -> None:
        """Begin to send what the world emits."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        self._client = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        self._world.send_through(self._send)

    async def close(self) -> None:
        """End all sending, retries included."""
        self._world.send_through(None)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def next(self, *mischief: Mischief) -> None:
        """Apply these to the next deliveries, one each, instead of the standing one."""
        self._next.extend(mischief)

    def send(self, body: dict[str, Any]) -> Delivery:
        """Sign a body and send it; returns at once."""
        mischief = self._next.pop(0) if self._next else self.mischief
        raw = msgspec.json.encode(body)
        delivery = Delivery(self._world.new_id(), body, raw, {})
        delivery.headers = self.headers_of(delivery.id, body, raw, forge=mischief.forge)
        self.deliveries.append(delivery)
        if mischief.drop or self.url is None:
            delivery.state = "lost"
        elif mischief.hold:
            delivery.state = "held"
            self._held.append(delivery)
        else:
            for _ in range(mischief.copies):
                self._begin(delivery, mischief.delay_s)
        return delivery

    def _send(self, body: dict[str, object]) -> None:
        self.send(body)

    def resend(self, delivery: Delivery, *, copies: int = 1) -> None:
        """Send a delivery again as it was: same id, same bytes, same signature, same timestamp."""
        for _ in range(copies):
            self._begin(delivery, 0.0)

    def release(self, order: Callable[[Sequence[Delivery]], Sequence[Delivery]] | None = None) -> list[Delivery]:
        """Send what is held, in the order that `order` makes of it (the order of arrival by default), one after
        another: each waits for the answer to the one before.
        """
        released = list(order(self._held) if order else self._held)
        self._held.clear()
        for delivery in released:
            delivery.state = "sending"
        self._track(self._one_by_one(released))
        return released

    def headers_of(self, delivery_id: str, body: dict[str, Any], raw: bytes, *, forge: str = "") -> dict[str, str]:
        """The headers of a delivery; the signature is the lower-case hex HMAC-SHA256 of the raw bytes."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Linear-Webhook",
            "Linear-Delivery": delivery_id,
            "Linear-Event": str(body["type"]),
            "Linear-Timestamp": str(body["webhookTimestamp"]),
        }
        secret = "not-the-secret" if forge == "badly" else self.secret
        if forge != "unsigned":
            headers["Linear-Signature"] = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        return headers

    def of_session(self, session_id: str) -> list[Delivery]:
        """The deliveries about a session, oldest first."""
        return [d for d in self.deliveries if d.body.get("agentSession", {}).get("id") == session_id]

    def _begin(self, delivery: Delivery, delay_s: float) -> None:
        self._begun += 1
        self._track(self._deliver(delivery, delay_s))

    def _track(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a bug of ours must not go unseen

    async def _one_by_one(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            await self._attempt(delivery)
            if delivery.state == "waiting":
                self._track(self._retry(delivery))

    async def _deliver(self, delivery: Delivery, delay_s: float) -> None:
        try:
            if delay_s:
                await self._clock.sleep(delay_s)
            await self._attempt(delivery)
        finally:
            self._begun -= 1
        await self._retry(delivery)

    async def _retry(self, delivery: Delivery) -> None:
        for after_s in RETRY_AFTER_S:
            if delivery.state == "delivered":
                return
            await self._clock.sleep(after_s * self.time_scale)
            await self._attempt(delivery)
        if delivery.state != "delivered":
            delivery.state = "failed"
            self._world.changed()

    async def _attempt(self, delivery: Delivery) -> None:
        assert self._client is not None
        if self.url is None:
            delivery.state = "lost"
            return
        status, problem = None, None
        async with self._places:
            at, began = self._clock.now(), time.perf_counter()
            try:
                async with self._client.post(self.url, data=delivery.raw, headers=delivery.headers) as answer:
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = type(error).__name__
        took_ms = (time.perf_counter() - began) * 1000
        delivery.attempts.append(Attempt(at=at, status=status, took_ms=took_ms, problem=problem))
        # Linear documents 200 alone as success.
        delivery.state = "delivered" if status == 200 or delivery.state == "delivered" else "waiting"
        self._world.changed()
