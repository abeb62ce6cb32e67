"""The few lines of ASGI that the simulator's own routes need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 16 * 1024 * 1024


class TooLarge(Exception):
    """The body is larger than any that the simulator takes."""


async def read_body(receive: Receive) -> bytes:
    """The whole request body. Raises TooLarge."""
    message = await receive()
    body = bytes(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise TooLarge
    return body


async def start(send: Send, status: int, headers: Iterable[tuple[str, str]]) -> None:
    """Begin an answer."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def send_whole(send: Send, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
    """Send an answer that is ready."""
    await start(send, status, (*headers, ("content-length", str(len(body)))))
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_json(send: Send, status: int, body: object, headers: Iterable[tuple[str, str]] = ()) -> None:
    """Send an answer as JSON."""
    await send_whole(send, status, msgspec.json.encode(body), (("content-type", "application/json"), *headers))


def header(scope: Scope, name: bytes) -> str | None:
    """A request header by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None
