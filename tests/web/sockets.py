"""HTTP by hand: what a sender may do that no client library does."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECRET = "current-signing-secret"
OLD_SECRET = "former-signing-secret"
ORGANIZATION = "5f1c2f0e-9f5a-4a3c-8d0e-0d6a2f9b7c11"
RECORDINGS = Path(__file__).parent.parent / "recordings" / "linear"
NOBODY = "http://127.0.0.1:9"  # listens there; on a port that is free now, somebody may a moment later
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def recording(name: str, **changes: Any) -> bytes:
    """A recorded body stamped now, with other values at its top."""
    from time import time

    body = json.loads((RECORDINGS / f"{name}.json").read_bytes())
    body["webhookTimestamp"] = round(time() * 1000)
    return json.dumps({**body, **changes}, ensure_ascii=False).encode()


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def request(
    body: bytes,
    *,
    signature: str | None = "",
    delivery: str = "",
    length: int | None = None,
    method: str = "POST",
    path: str = "/webhooks/linear",
    more: Iterable[str] = (),
) -> bytes:
    """The bytes of a delivery. `signature` "" makes the right one, None leaves it out; `length` may lie."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: test",
        f"Content-Length: {len(body) if length is None else length}",
        *more,
    ]
    if signature is not None:
        lines.append(f"Linear-Signature: {signature or sign(body)}")
    if delivery:
        lines.append(f"Linear-Delivery: {delivery}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, raw: bytes) -> Answer:
        """Send, and read one answer."""
        self.writer.write(raw)
        return await self.answer()

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def closed_by_the_other_side(self) -> bytes:
        """What still came before the other side closed."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Line]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def ask(url: str, raw: bytes) -> Answer:
    """One request on a connection of its own."""
    async with connected(url) as line:
        return await line.ask(raw)


async def get(url: str, path: str) -> Answer:
    return await ask(url, request(b"", method="GET", path=path, signature=None))
