"""One request to Linear: past the governor, with a token, within a deadline, and said again where that is safe.

Source  linear.app/developers/graphql
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from dragoman.clock import Clock
from dragoman.errors import LinearError
from dragoman.linear.governor import Governor, Priority
from dragoman.linear.graphql import RateLimited, Unauthorized, decipher, request_body
from dragoman.linear.oauth import Credentials
from dragoman.linear.quota import Quota, read_quota
from dragoman.linear.transport import open_pool, read_bounded

_WAIT_SHARE = 0.7  # of the deadline may pass before the governor lets a request go; the rest is for Linear
_REPLY_LIMIT = 8 * 1024 * 1024  # bytes

Reply = TypeVar("Reply")


class Requests:
    """All requests under one token, over one pool of connections.

    url         where GraphQL is answered
    governor    shared by all who use the same token
    deadline_s  for a request as a whole, the wait for the governor and a token included
    """

    def __init__(
        self, url: str, credentials: Credentials, *, clock: Clock, governor: Governor, deadline_s: float
    ) -> None:
        self._url = url
        self.credentials = credentials
        self.governor = governor
        self._clock = clock
        self._deadline_s = deadline_s
        self._http_pool: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self.governor.close()
        if self._http_pool is not None:
            await self._http_pool.close()
            self._http_pool = None

    async def read(
        self, document: str, variables: Mapping[str, object], shape: type[Reply], priority: Priority = Priority.ACK
    ) -> Reply:
        """What Linear says, in its shape. Raises LinearError."""
        data = await self.ask(document, variables, priority)
        try:
            return msgspec.convert(data, shape)
        except msgspec.ValidationError as error:
            raise LinearError(f"Linear's reply to {document} has another shape than documented: {error}") from None

    async def change(
        self, document: str, variables: Mapping[str, object], priority: Priority, *, own_id: bool = False
    ) -> None:
        """Have something written. Arguments and errors as for `ask`; LinearError also when Linear says no success."""
        data = await self.ask(document, variables, priority, own_id=own_id)
        if not any(isinstance(payload, dict) and payload.get("success") is True for payload in data.values()):
            raise LinearError("Linear did not carry out the change and gave no reason.")

    async def ask(
        self, document: str, variables: Mapping[str, object], priority: Priority, *, own_id: bool = False
    ) -> dict[str, Any]:
        """One request, within the deadline; with a fresh token once more when Linear rejects the first.

        own_id  it carries an id of ours: then a refusal of the same id says that it was done before
        Raises  DuplicateWrite in that case, Dropped for what is not worth its quota, LinearError
        """
        body = request_body(document, variables)
        try:
            async with asyncio.timeout(self._deadline_s):
                authorization = await self.credentials.authorization(self.http())
                try:
                    return await self._send(body, authorization, priority, own_id=own_id)
                except Unauthorized:
                    if not self.credentials.reject(authorization):
                        raise
                authorization = await self.credentials.authorization(self.http())
                return await self._send(body, authorization, priority, own_id=own_id)
        except TimeoutError:
            raise LinearError(f"Linear did not answer within {self._deadline_s:g} s.") from None

    async def _send(self, body: bytes, authorization: str, priority: Priority, *, own_id: bool) -> dict[str, Any]:
        await self.governor.admit(priority, patience_s=self._deadline_s * _WAIT_SHARE)
        quota = Quota()
        try:
            status, headers, reply = await self._exchange(body, authorization)
            quota = read_quota(headers)
        finally:
            self.governor.answered(quota)
        answer = decipher(status, headers, reply, now=self._clock.now(), own_id=own_id)
        if isinstance(answer, RateLimited):
            self.governor.refused(answer.retry_after_s)
        if isinstance(answer, LinearError):
            raise answer
        return answer

    async def _exchange(self, body: bytes, authorization: str) -> tuple[int, Mapping[str, str], bytes]:
        try:
            return await self._exchange_once(body, authorization)
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(error) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError, BrokenPipeError):
            # Most often a kept connection that the other side has closed or reset meanwhile. Every request of ours may
            # be repeated, so it is, at once; aiohttp does it for GET only.
            pass
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from None
        try:
            return await self._exchange_once(body, authorization)
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from None

    async def _exchange_once(self, body: bytes, authorization: str) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        async with self.http().post(self._url, data=body, headers=headers, allow_redirects=False) as reply:
            return reply.status, reply.headers, await read_bounded(reply, _REPLY_LIMIT)

    def http(self) -> aiohttp.ClientSession:
        """The pool of connections, opened at first use: it belongs to the running loop."""
        if self._http_pool is None:
            self._http_pool = open_pool()
        return self._http_pool


def _unreachable(error: Exception) -> LinearError:
    return LinearError(f"Linear cannot be reached: {type(error).__name__}")
