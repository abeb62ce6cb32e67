"""The few words of ASGI that we speak ourselves, and a server for them in our own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from dragoman import threads
from dragoman.ports import free_port

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER_S = 5.0
LISTEN_S = 10.0
STOP_S = 2.0
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


async def send_text(send: Send, status: int, text: str) -> None:
    """Answer with a line of text."""
    body = text.encode()
    await send({"type": "http.response.start", "status": status, "headers": [*_TEXT, _length(body)]})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: object, *, headers: Headers = ()) -> None:
    """Answer with JSON."""
    body = msgspec.json.encode(value)
    await send({"type": "http.response.start", "status": status, "headers": [*_JSON, *headers, _length(body)]})
    await send({"type": "http.response.body", "body": body})


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


class HttpServer:
    """Serves an application on one address until stopped.

    port      0 = a free one; `url` tells which. Raises OSError when there is none, since the host is not ours
    header_s  a connection whose headers are not complete by then is cut
    `lost` is done, with the reason, when it has ended though nobody stopped it.
    """

    def __init__(self, application: Application, *, host: str, port: int, header_s: float = HEADER_S) -> None:
        self._application = application
        self.host = host
        self._header_ms = round(header_s * 1000)
        self.port = port or free_port(host)
        self._task: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self._threads: frozenset[int] = frozenset()  # the server's own
        self._stopping = False
        self.lost: asyncio.Future[BaseException]  # from `start` on
        self._answering = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken or not ours."""
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
            # The server underneath would only log that it could not bind.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))
        self._server = Server(
            self._count,
            address=self.host,
            port=self.port,
            interface=Interfaces.ASGINL,
            websockets=False,
            backlog=1024,
            http1_settings=HTTP1Settings(header_read_timeout=self._header_ms),
            log_enabled=False,
        )
        before = threads.foreign()
        self.lost = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(LISTEN_S):
            while not await self._listening():
                if self._task.done():
                    raise OSError(f"cannot listen on {self.url}")
                await asyncio.sleep(0.01)
        self._threads = threads.foreign() - before
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stop listening, once what is being answered has been answered; after STOP_S open requests are cut."""
        if self._server is None or self._task is None:
            return
        self._stopping = True
        # An answer that is being written while the server's own threads end can take the whole process down.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), STOP_S)
        self._server.stop()  # type: ignore[no-untyped-call]  # granian's is untyped
        try:
            await asyncio.wait_for(self._task, 3.0)
        except TimeoutError:
            self._task.cancel()
        await threads.gone(self._threads)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopping and not task.cancelled():
            self.lost.set_result(task.exception() or RuntimeError("the server ended by itself"))

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answering += 1
        self._quiet.clear()
        try:
            await self._application(scope, receive, send)
        finally:
            self._answering -= 1
            if not self._answering:
                self._quiet.set()

    async def _listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return False
        writer.close()
        return True
