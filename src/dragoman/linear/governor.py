"""One budget of requests per organization, and who may still spend when it runs low.

Linear refills a bucket of 5,000 requests an hour, shared by all sessions of the organization. Each priority leaves a
reserve to those above it: a busy tool loses its live ticker long before an answer is lost. `Bucket` decides and is
pure; `Governor` is the shell that waits, in order of priority, and first come first served inside one.

Source  linear.app/developers/rate-limiting
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum

from dragoman.clock import Clock
from dragoman.errors import LinearError
from dragoman.linear.graphql import RateLimited
from dragoman.linear.quota import Quota

CAPACITY = 5000  # requests; an OAuth app's in one organization
PERIOD_S = 3600.0
_CLOSED_S = 30.0  # how long we stay away when Linear refuses without saying until when


class Priority(IntEnum):
    """What a request is for; the lower goes first."""

    FINAL = 0
    ASK = 1
    ACK = 2
    PLAN = 3
    ACTION = 4
    EPHEMERAL = 5


# The share of the budget that a priority leaves to those above it.
RESERVE = {
    Priority.FINAL: 0.0,
    Priority.ASK: 0.02,
    Priority.ACK: 0.05,
    Priority.PLAN: 0.12,
    Priority.ACTION: 0.20,
    Priority.EPHEMERAL: 0.50,
}


class Dropped(Exception):
    """An ephemeral activity is not sent: the budget is for others now, and later it would be of no use."""


class Bucket:
    """How many requests are left, and for whom. Knows no clock: `now` is seconds, never going back far."""

    def __init__(self, *, capacity: float = CAPACITY, period_s: float = PERIOD_S, now: float = 0.0) -> None:
        self._capacity = capacity
        self._period_s = period_s
        self._rate = capacity / period_s  # requests a second
        self._left = capacity
        self._at = now
        self._closed_until = 0.0
        self._unanswered = 0

    def left(self, now: float) -> float:
        """Requests that may be made now, were there no reserves."""
        self._refill(now)
        return self._left

    def wait_s(self, priority: Priority, now: float) -> float:
        """Seconds until a request of this priority may be made, if nobody else makes one; 0 = now."""
        self._refill(now)
        closed_s = max(self._closed_until - now, 0.0)
        missing = self._capacity * RESERVE[priority] + 1 - self._left
        # A reserve must never be so large that a tiny budget admits nobody.
        missing = min(missing, max(self._capacity - self._left, 1 - self._left))
        return max(closed_s, missing / self._rate if missing > 1e-9 else 0.0)

    def take(self, now: float) -> None:
        """Spend one."""
        self._refill(now)
        self._left -= 1
        self._unanswered += 1

    def give_back(self, now: float) -> None:
        """Return one that was taken and never sent."""
        self._refill(now)
        self._unanswered -= 1
        self._left = min(self._left + 1, self._capacity)

    def answered(self, quota: Quota, now: float) -> None:
        """A request that was taken has been answered, or has failed (then `quota` is empty). What Linear says counts."""
        self._unanswered = max(self._unanswered - 1, 0)
        self._refill(now)
        if quota.limit is not None:
            self._capacity = float(quota.limit)
            self._rate = self._capacity / self._period_s
        if quota.remaining is not None:
            if quota.reset_at is not None and quota.reset_at > now:
                # Whole again at the reset. Without this an empty bucket would keep actions back long after it, and
                # with nobody sending no reply would tell us better.
                missing = self._capacity - quota.remaining
                self._rate = max(self._rate, missing / max(quota.reset_at - now, 0.1))
            # Linear has not counted those that are on their way.
            self._left = float(quota.remaining - self._unanswered)
        self._left = min(max(self._left, 0.0), self._capacity)

    def close(self, until: float) -> None:
        """Linear refuses: nobody goes before `until`."""
        self._closed_until = max(self._closed_until, until)

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._left = min(self._left + (now - self._at) * self._rate, self._capacity)
        self._at = now


class Governor:
    """Lets requests pass in order of priority, as the budget allows."""

    def __init__(self, clock: Clock, *, capacity: int = CAPACITY, period_s: float = PERIOD_S) -> None:
        self._clock = clock
        self._bucket = Bucket(capacity=capacity, period_s=period_s, now=clock.now())
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._changed = asyncio.Event()
        self._gatekeeper: asyncio.Task[None] | None = None

    def left(self) -> float:
        """Requests left in this hour, as far as we know."""
        return self._bucket.left(self._clock.now())

    def wait_s(self, priority: Priority) -> float:
        """Seconds until a request of this priority could pass, those who wait already left aside."""
        return self._bucket.wait_s(priority, self._clock.now())

    async def admit(self, priority: Priority, *, patience_s: float = 10.0) -> None:
        """Wait for leave to send one request; then `answered` must be called once.

        patience_s  longest wait; a longer one is refused at once, so that nobody stands in the way meanwhile
        Raises      Dropped for an ephemeral one that would have to wait; RateLimited with the time to come again
        """
        now = self._clock.now()
        wait_s = self._bucket.wait_s(priority, now)
        if wait_s <= 0 and not self._someone_waits(priority):
            self._bucket.take(now)
            return
        if priority is Priority.EPHEMERAL:
            raise Dropped
        if wait_s >= patience_s:
            raise RateLimited("Dragoman saves what is left of Linear's quota.", retry_after_s=wait_s)
        await self._queue_up(priority, patience_s)

    def answered(self, quota: Quota) -> None:
        """A request is over; `quota` is what its reply told."""
        self._bucket.answered(quota, self._clock.now())
        self._changed.set()

    def refused(self, retry_after_s: float | None) -> None:
        """Linear has said that the quota is used up: nobody goes for so long."""
        self._bucket.close(self._clock.now() + (_CLOSED_S if retry_after_s is None else retry_after_s))
        self._changed.set()

    def _someone_waits(self, priority: Priority) -> bool:
        return any(self._waiting[other] for other in Priority if other <= priority)

    async def _queue_up(self, priority: Priority, patience_s: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting[priority]
        queue.append(turn)
        self._changed.set()
        if self._gatekeeper is None or self._gatekeeper.done():
            self._gatekeeper = asyncio.create_task(self._keep_gate())
        impatience = asyncio.create_task(self._clock.sleep(patience_s))
        try:
            await asyncio.wait({turn, impatience}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise RateLimited("Dragoman saves what is left of Linear's quota.", retry_after_s=self.wait_s(priority))
            turn.result()
        except asyncio.CancelledError:
            if turn.done() and turn.exception() is None:
                self._bucket.give_back(self._clock.now())
                self._changed.set()
            raise
        finally:
            impatience.cancel()
            if not turn.done():
                queue.remove(turn)

    async def _keep_gate(self) -> None:
        """Let those who wait pass, one by one; ends when nobody waits."""
        while (queue := next((queue for queue in self._waiting.values() if queue), None)) is not None:
            priority = next(priority for priority, waiting in self._waiting.items() if waiting is queue)
            now = self._clock.now()
            wait_s = self._bucket.wait_s(priority, now)
            if wait_s <= 0:
                self._bucket.take(now)
                queue.popleft().set_result(None)
                continue
            self._changed.clear()
            timer = asyncio.create_task(self._clock.sleep(wait_s))
            change = asyncio.create_task(self._changed.wait())
            await asyncio.wait({timer, change}, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            change.cancel()

    async def close(self) -> None:
        """End the gatekeeper; whoever still waits is refused."""
        for queue in self._waiting.values():
            while queue:
                queue.popleft().set_exception(LinearError("Dragoman is stopping."))
        if self._gatekeeper is not None:
            self._gatekeeper.cancel()
            await asyncio.gather(self._gatekeeper, return_exceptions=True)
            self._gatekeeper = None
