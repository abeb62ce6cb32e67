"""What a piece of streaming text costs from the socket to its dispatch: CPU time of the reader alone.

`python -m bench.sse PORT EVENTS PER_WRITE` is the other side: it sends that many deltas to the first who asks.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import uvloop

from bench.figures import median, table, verdict
from bench.servers import Process
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stream import EventStream
from dragoman.ports import free_port

EVENTS = 30_000
ROUNDS = 3
_THREAD = "ses_0000000000000000000000000001"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nconnection: close\r\n\r\n"
_WAIT_S = 60.0


def measure() -> str:
    """One table."""
    rows = []
    for per_write in (1, 16):
        seen = []
        for _ in range(ROUNDS):
            port = free_port()
            sender = Process([sys.executable, "-m", "bench.sse", str(port), str(EVENTS), str(per_write)], port)
            try:
                seen.append(uvloop.run(_read(port)))
            finally:
                sender.end()
        cost = median(seen)
        rows.append([str(per_write), f"{cost:.1f}", verdict(cost, 40, at_least=False)])
    return table(f"SSE deltas (medians of {ROUNDS} × {EVENTS})", ["deltas a write", "CPU µs a delta", "target"], rows)


async def _read(port: int) -> float:
    """CPU microseconds of one delta."""
    client = OpenCode(f"http://127.0.0.1:{port}", None)
    stream = EventStream(client)
    stream.follow(_THREAD)
    began = time.process_time()

    async def read() -> None:
        async for _ in stream.signals():
            if stream.deltas(_THREAD) >= EVENTS:
                stream.close()

    try:
        await asyncio.wait_for(read(), _WAIT_S)
    finally:
        await client.close()
    return (time.process_time() - began) / EVENTS * 1e6


def _delta(number: int) -> bytes:
    """As OpenCode sends it, about 230 bytes."""
    properties = {
        "sessionID": _THREAD,
        "messageID": "msg_0000000000000000000000000001",
        "partID": "prt_0000000000000000000000000001",
        "field": "text",
        "delta": f"word{number} ",
    }
    payload = {"id": f"evt_{number:024}", "type": "message.part.delta", "properties": properties}
    event = {"directory": "/srv/workspaces/eng-1423", "payload": payload}
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


async def _send(port: int, events: int, per_write: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.readline():
            writer.close()
            return
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD)
        for first in range(0, events, per_write):
            writer.write(b"".join(_delta(number) for number in range(first, first + per_write)))
            await writer.drain()
            await asyncio.sleep(0)  # one write, one packet: as a model's words come
        # What ends the reading: it looks at its count after each signal, and this one is no delta.
        end = {"directory": "", "payload": {"id": "evt_end", "type": "session.created", "properties": {"info": {
            "id": "ses_end", "parentID": _THREAD, "title": "", "directory": "", "time": {"created": 1, "updated": 1}}}}}  # fmt: skip
        writer.write(b"data: " + msgspec.json.encode(end) + b"\n\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_send(*(int(argument) for argument in sys.argv[1:4])))
