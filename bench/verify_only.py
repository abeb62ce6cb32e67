"""Our HTTP server with a route that verifies and decodes a delivery and stores nothing: the floor under the real one.

`python -m bench.verify_only PORT SECRET`
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from dragoman.linear import inbound
from dragoman.linear.webhook import open_delivery
from dragoman.web.asgi import HttpServer, Receive, Scope, Send, send_text
from dragoman.web.body import read_body


async def serve(port: int, secret: str) -> None:
    """Serve until killed."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(scope["headers"], receive)
        inbound.read(open_delivery(scope["headers"], body, secrets=(secret,), now=time.time()))
        await send_text(send, 200, "ok")

    server = HttpServer(answer, host="127.0.0.1", port=port)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
