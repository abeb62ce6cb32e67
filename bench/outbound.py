"""What an activity costs on its way out: CPU time of the client, governor and encoding included, the ledger not."""

from __future__ import annotations

import asyncio
import time

import uvloop

from bench.figures import median, table, verdict
from bench.servers import canned_linear, folder
from dragoman.core.activities import Thought
from dragoman.ids import SessionId, activity_id
from dragoman.linear.client import open_linear

POSTS = 4_000
ROUNDS = 3


def measure() -> str:
    """One table."""
    rows = []
    with folder() as data, canned_linear(data) as linear:
        for in_flight in (1, 32):
            seen = [uvloop.run(_posts(linear.port, in_flight)) for _ in range(ROUNDS)]
            cost, rate = median([one[0] for one in seen]), median([one[1] for one in seen])
            target = verdict(cost, 300, at_least=False) if in_flight == 32 else ""
            rows.append([str(in_flight), f"{cost:.0f}", target, f"{rate:,.0f}"])
    head = ["in flight", "CPU µs an activity", "target", "activities/s"]
    return table(f"Outbound (medians of {ROUNDS} × {POSTS})", head, rows)


async def _posts(port: int, in_flight: int) -> tuple[float, float]:
    """CPU microseconds of one, and how many a second."""
    async with open_linear(f"http://127.0.0.1:{port}", access_token="lin_bench_token") as linear:
        numbers = iter(range(POSTS))

        async def work() -> None:
            for number in numbers:
                session = SessionId(f"5e551011-0000-4000-8000-{number:012}")
                await linear.post(session, activity_id(session, 1, "begin"), Thought(body="I have begun to work. " * 8))

        await linear.viewer()  # the connection, and the quota, are there from here on
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return (time.process_time() - cpu) / POSTS * 1e6, POSTS / (time.monotonic() - began)
