"""Reading a request's body: bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from dragoman.web.asgi import Receive, Scope, Send, send_text

BODY_MOST = 5 * 1024 * 1024  # bytes; Linear's own client refuses more
BODY_S = 10.0
DISCARD_MOST = 32 * 1024 * 1024  # bytes that are read and dropped, so that the sender gets to see our answer
DISCARD_S = 5.0


class BodyTooLarge(Exception):
    """More bytes than may be."""


class BodyTooSlow(Exception):
    """Not complete in time."""


class Disconnected(Exception):
    """The sender went away."""


async def read_body(
    headers: list[tuple[bytes, bytes]], receive: Receive, within_s: float = BODY_S, *, most: int = BODY_MOST
) -> bytes:
    """The whole body.

    within_s  seconds until it must be complete
    most      bytes
    Raises    BodyTooLarge after the rest was discarded, BodyTooSlow, Disconnected
    """
    announced = next((value for name, value in headers if name.lower() == b"content-length"), b"")
    too_large = announced.isdigit() and int(announced) > most
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            while not too_large:
                chunk, more = await _next(receive)
                size += len(chunk)
                if size > most:
                    too_large = True
                    break
                chunks.append(chunk)
                if not more:
                    return b"".join(chunks) if len(chunks) != 1 else chunk
    except TimeoutError:
        raise BodyTooSlow from None
    chunks.clear()
    await _discard(receive)
    raise BodyTooLarge


async def read_delivery(
    scope: Scope, receive: Receive, send: Send, counts: Counter[str], within_s: float = BODY_S
) -> bytes | None:
    """The body of a webhook; None when there is none and the sender has its answer, or went away.

    counts  says why there was none
    """
    try:
        return await read_body(scope["headers"], receive, within_s)
    except Disconnected:
        pass
    except BodyTooLarge:
        counts["too_large"] += 1
        await send_text(send, 413, "The body is larger than 5 MiB.")
    except BodyTooSlow:
        counts["too_slow"] += 1
        await send_text(send, 408, "The body did not come in time.")
    return None


async def _discard(receive: Receive) -> None:
    left = DISCARD_MOST
    until = time.monotonic() + DISCARD_S
    try:
        async with asyncio.timeout(DISCARD_S):
            while left > 0 and time.monotonic() < until:
                chunk, more = await _next(receive)
                left -= len(chunk)
                if not more:
                    return
    except (TimeoutError, Disconnected):
        return


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message: dict[str, Any] = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)
