"""The first thought: 200 webhooks a second, each on an issue of its own, while OpenCode is frozen (SIGSTOP).

The service tends a real OpenCode (OPENCODE_BIN, or `opencode` on PATH). Linear is a stub in this process that says yes
at once, grants any quota, and notes when the first activity of each session came. Times count from the moment at which
the webhook was due to be sent, so that a sender that falls behind makes them longer, not shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp
import msgspec
import uvloop

from bench import deliveries, servers
from bench.figures import percentile, table, verdict
from bench.machine import descendants
from bench.servers import Process, folder, service, until_up

RATE = 200  # webhooks a second
SECONDS = 20.0
PATIENCE_S = 15.0  # for the last thoughts
_WEBHOOKS = int(RATE * SECONDS)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_SESSION = re.compile(rb'"agentSessionId":"([0-9a-f-]{36})"')


@dataclass
class Seen:
    """What happened, by the monotonic clock."""

    due: dict[str, float] = field(default_factory=dict)
    thought: dict[str, float] = field(default_factory=dict)
    ack_s: list[float] = field(default_factory=list)
    refused: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class _Linear(asyncio.Protocol):
    """One connection of the stub."""

    def __init__(self, seen: Seen, reply: bytes) -> None:
        self._seen = seen
        self._reply = reply
        self._bytes = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while (end := self._bytes.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._bytes, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._bytes) < whole:
                return
            session = _SESSION.search(self._bytes, end, whole)
            if session is not None:
                self._seen.thought.setdefault(session[1].decode(), time.monotonic())
                if len(self._seen.thought) == _WEBHOOKS:
                    self._seen.complete.set()
            del self._bytes[:whole]
            self._transport.write(self._reply)


def measure() -> str:
    """One table, and a line about what else was done meanwhile."""
    binary = os.environ.get("OPENCODE_BIN") or shutil.which("opencode")
    if binary is None:
        return "\n### First thought\n\nNot measured: there is no OpenCode. Set OPENCODE_BIN."
    with folder() as data:
        seen = uvloop.run(_run(data, binary))
    took = [seen.thought[session] - due for session, due in seen.due.items() if session in seen.thought]
    missing = len(seen.due) - len(took)
    rows = [
        [name, *(f"{percentile(times, share):.3f}" for share in (0.5, 0.99, 1.0)), verdict(p99, target, at_least=False)]
        for name, times, p99, target in (
            ("first thought at Linear", took, percentile(took, 0.99), 2.0),
            ("acknowledgement", seen.ack_s, percentile(seen.ack_s, 0.99), 5.0),
        )
    ]
    title = f"First thought: {RATE} webhooks/s for {SECONDS:g} s, OpenCode stopped by SIGSTOP"
    shown = table(title, ["seconds", "p50", "p99", "longest", "target (p99)"], rows)
    return f"{shown}\n\n{len(seen.due)} sessions, {missing} without a thought, {seen.refused} webhooks not answered with 200."


async def _run(data: Path, binary: str) -> Seen:
    seen = Seen()
    body = msgspec.json.encode(servers.LINEAR_ANSWER)
    reply = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nX-RateLimit-Requests-Limit: 1000000000\r\n"
        b"X-RateLimit-Requests-Remaining: 1000000000\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    stub = await asyncio.get_running_loop().create_server(lambda: _Linear(seen, reply), "127.0.0.1", 0)
    linear_url = f"http://127.0.0.1:{stub.sockets[0].getsockname()[1]}"
    managed = {"OPENCODE_SESSION_API_URL": "", "OPENCODE_BIN": binary, "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    entering = service(data, linear_url, more=managed)
    process = await asyncio.to_thread(entering.__enter__)
    frozen: list[int] = []
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await until_up(process)
            frozen = descendants(process.pid)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            await _send_all(http, process, seen)
            await _last_thoughts(seen)
    finally:
        await asyncio.to_thread(entering.__exit__, None, None, None)
        for pid in frozen:
            # The service leaves it running on purpose.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        stub.close()
    return seen


async def _send_all(http: aiohttp.ClientSession, process: Process, seen: Seen) -> None:
    """Open loop: each is sent when it is due, whatever became of those before."""
    url = f"http://127.0.0.1:{process.port}{servers.WEBHOOK}"
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(_WEBHOOKS):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_send(http, url, due, seen))


async def _send(http: aiohttp.ClientSession, url: str, due: float, seen: Seen) -> None:
    signed = deliveries.make()
    seen.due[signed.session] = due
    headers = {name.decode(): value.decode() for name, value in signed.headers}
    async with http.post(url, data=signed.body, headers=headers) as reply:
        await reply.read()
        if reply.status == 200:
            seen.ack_s.append(time.monotonic() - due)
        else:
            seen.refused += 1


async def _last_thoughts(seen: Seen) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await seen.complete.wait()
