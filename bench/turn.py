"""The cost of a turn: CPU time of the machine and the ledger, without HTTP around them.

Heard are a mention that opens a session (the largest turn there is: session, journal, message, three effects, two
dedupe keys, the delivery's line) and the end of a tool within a run (the most frequent one). Many at a time, so that
their commits are grouped; the time is the whole process's, both threads, until the last one is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from bench import deliveries, native
from bench.figures import median, table, verdict
from bench.servers import folder
from dragoman import logs
from dragoman.core.events.opencode import Tool, ToolFinished
from dragoman.core.events.runs import RunStarted
from dragoman.core.limits import Rules
from dragoman.core.session import Session
from dragoman.core.step import step
from dragoman.ids import AgentThread, HostId, PartId, run_id
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.turns import Delivery
from dragoman.linear import inbound
from dragoman.linear.webhook import open_delivery
from dragoman.runtime.engine import Engine

SESSIONS = 3_000
AT_ONCE = 256
ROUNDS = 3
_HOST = HostId("bench")


def measure() -> str:
    """One table."""
    readings = [_reading() for _ in range(SESSIONS)]
    rows = [["core.step alone, a mention", f"{_step_us(readings):.0f}", ""]]
    opened: list[float] = []
    ended: list[float] = []
    alone: list[float] = []
    for _ in range(ROUNDS):
        with folder() as data:
            one, two, three = uvloop.run(_turns(data, readings))
        opened.append(one)
        ended.append(two)
        alone.append(three)
    for name, seen in (("a mention", opened), ("the end of a tool", ended)):
        cost = median(seen)
        rows.append([f"{name}, {AT_ONCE} at a time", f"{cost:.0f}", verdict(cost, 200, at_least=False)])
    rows.append(["the end of a tool, one at a time (a commit each)", f"{median(alone):.0f}", ""])
    return table(f"A turn (medians of {ROUNDS} × {SESSIONS})", ["turn", "CPU µs", "target"], rows)


def _reading() -> inbound.Relevant:
    signed = deliveries.make()
    delivery = open_delivery(signed.headers, signed.body, secrets=(native.SECRET,), now=time.time())
    reading = inbound.read(delivery)
    if not isinstance(reading, inbound.Relevant):
        raise TypeError(f"the delivery means nothing: {reading!r}")
    return reading


def _step_us(readings: Sequence[inbound.Relevant]) -> float:
    sessions = [Session(id=one.session, organization=one.organization, host=_HOST) for one in readings]
    began = time.process_time()
    for session, one in zip(sessions, readings, strict=True):
        step(session, one.event, 1_000.0)
    return (time.process_time() - began) / len(readings) * 1e6


async def _turns(data: Path, readings: Sequence[inbound.Relevant]) -> tuple[float, float, float]:
    logs.configure(level="info", stream=(data / "log").open("w"))
    ledger = await SqliteLedger.open(f"sqlite:///{data}/ledger.db")
    engine = Engine(ledger, host=_HOST, rules=Rules(), crowd=20)

    async def open_session(one: inbound.Relevant) -> None:
        note = Delivery(
            key=one.keys[0],
            kind="AgentSessionEvent",
            action="created",
            organization=one.organization,
            session=one.session,
        )
        await engine.receive(one.session, one.organization, one.event, keys=one.keys, delivery=note)

    async def begin_run(one: inbound.Relevant) -> None:
        started = RunStarted(
            run=run_id(one.session, 1), thread=AgentThread(f"ses_{one.session}"), repository="acme/shop",
            directory=f"/srv/{one.session}", branch="eng-1423",
        )  # fmt: skip
        await engine.tell(one.session, started)

    async def end_tool(one: inbound.Relevant) -> None:
        tool = Tool(name="bash", input='{"command":"make check"}', title="make check", output="ok\n" * 200)
        part = PartId(f"prt_{one.session}")
        fact = ToolFinished(run=run_id(one.session, 1), part=part, tool=tool)
        await engine.tell_all(one.session, [(f"{fact.run}:{part}", fact)])

    opened = await _cpu_us(open_session, readings, AT_ONCE)
    await _cpu_us(begin_run, readings, AT_ONCE)
    half = len(readings) // 8
    ended = await _cpu_us(end_tool, readings[half:], AT_ONCE)
    alone = await _cpu_us(end_tool, readings[:half], 1)
    await ledger.close()
    return opened, ended, alone


async def _cpu_us(
    hear: Callable[[inbound.Relevant], Awaitable[None]], readings: Sequence[inbound.Relevant], at_once: int
) -> float:
    """CPU microseconds of the process for one of them."""
    waiting = iter(readings)

    async def work() -> None:
        for one in waiting:
            await hear(one)

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return (time.process_time() - began) / len(readings) * 1e6
