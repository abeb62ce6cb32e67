"""A server on a free port of the loopback that answers as it was told, byte for byte, and remembers what it was asked."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """One answer. `lost`: the request was heard, the connection is closed without a word. `silent`: nothing ever comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> str:
        """The name of the GraphQL document."""
        return str(json.loads(self.body)["query"].split("(")[0].split("{")[0].split()[-1])

    @property
    def variables(self) -> Any:
        return json.loads(self.body)["variables"]


Answering = Callable[[Asked], Reply]


def data(**fields: Any) -> Reply:
    return Reply(body=json.dumps({"data": fields}).encode())


WRITTEN = data(agentActivityCreate={"success": True})


class FakeLinear:
    """`answers` are used up one by one; then `always` answers."""

    def __init__(self, *answers: Reply, always: Answering = lambda _: WRITTEN) -> None:
        self.answers = list(answers)
        self.always = always
        self.asked: list[Asked] = []
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    def hang_up(self, *, rudely: bool = False) -> None:
        """Close every connection, as a server does with idle ones; rudely: reset it, as a balancer does."""
        for writer in list(self._open):
            if rudely:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked = Asked(path=head[0].split()[1], headers=headers, body=body)
                self.asked.append(asked)
                reply = self.answers.pop(0) if self.answers else self.always(asked)
                if reply.silent:
                    await reader.read()  # until the other side gives up
                    return
                if reply.lost:
                    return
                fields = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))} | reply.headers
                lines = [f"HTTP/1.1 {reply.status} Said", *(f"{name}: {value}" for name, value in fields.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
