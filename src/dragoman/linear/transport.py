"""The pool of connections to Linear, and replies of bounded size."""

from __future__ import annotations

import aiohttp

import dragoman
from dragoman.errors import LinearError

IN_FLIGHT = 32  # requests at a time; more would only wait for the quota
_KEPT_S = 55.0  # idle connections, a little less than servers commonly keep them


def open_pool() -> aiohttp.ClientSession:
    """A pool without deadlines of its own (its users have one for a call as a whole) and without cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT, limit_per_host=IN_FLIGHT, keepalive_timeout=_KEPT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"dragoman/{dragoman.__version__}"},
    )


async def read_bounded(reply: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of a reply. Raises LinearError when it is longer than `limit` bytes."""
    body = bytearray()
    async for chunk in reply.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise LinearError("Linear's reply is larger than anything it should send.", retryable=False)
    return bytes(body)
