"""How requests to Linear prove who we are: a given token, or one that the app fetches for itself.

client_credentials: a token lives 30 days, and a request with other scopes revokes all earlier ones. So there is one
token, one scope string that never changes, and one fetch at a time.

Source  linear.app/developers/oauth-2-0-authentication
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
import msgspec

from dragoman import logs
from dragoman.clock import Clock
from dragoman.errors import LinearError
from dragoman.linear.transport import read_bounded
from dragoman.linear.wire import TokenRefusal, TokenReply

SCOPE = "read,write,app:assignable,app:mentionable"
_MARGIN_S = 3600.0  # a token is renewed this long before its end, or at nine tenths of a shorter life
_REFETCH_AT_MOST_EVERY_S = 30.0  # Linear also answers 401 under throttling: a new token does not help then
_REPLY_LIMIT = 64 * 1024  # bytes


class TokenRefused(LinearError):
    """Linear gave no token. Retryable: people repair it in the app's settings, and the work should then go on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True, retry_after_s=30.0)


class Credentials(Protocol):
    """Where the value of the header Authorization comes from."""

    async def authorization(self, http: aiohttp.ClientSession) -> str:
        """The header's value, fetched if need be. Raises LinearError."""
        ...

    def reject(self, authorization: str) -> bool:
        """Linear answered 401 to it; return whether asking again may give another one."""
        ...


class GivenToken:
    """A token that somebody put into the settings; nothing can renew it."""

    def __init__(self, token: str) -> None:
        self._authorization = authorization_of(token)

    async def authorization(self, http: aiohttp.ClientSession) -> str:
        del http
        return self._authorization

    def reject(self, authorization: str) -> bool:
        del authorization
        return False


class ClientCredentials:
    """The app's own token, kept in memory.

    url  of the token endpoint
    """

    def __init__(self, url: str, client_id: str, client_secret: str, clock: Clock) -> None:
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._authorization: str | None = None
        self._good_until = 0.0
        self._rejected_at = float("-inf")

    async def authorization(self, http: aiohttp.ClientSession) -> str:
        if (known := self._known()) is not None:
            return known
        async with self._fetching:
            if (known := self._known()) is not None:  # somebody else has fetched it meanwhile
                return known
            return await self._fetch(http)

    def reject(self, authorization: str) -> bool:
        if self._authorization is not None and self._authorization != authorization:
            return True  # it was renewed since
        now = self._clock.now()
        if now - self._rejected_at < _REFETCH_AT_MOST_EVERY_S and self._authorization is not None:
            return False
        self._rejected_at = now
        self._authorization = None
        return True

    def _known(self) -> str | None:
        return self._authorization if self._clock.now() < self._good_until else None

    async def _fetch(self, http: aiohttp.ClientSession) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": SCOPE,
        }
        try:
            async with http.post(self._url, data=form, allow_redirects=False) as reply:
                status, body = reply.status, await read_bounded(reply, _REPLY_LIMIT)
        except (aiohttp.ClientError, OSError) as error:
            raise LinearError(f"Linear's token endpoint cannot be reached: {type(error).__name__}") from None
        token = read_token(status, body, secret=self._client_secret)
        logs.keep_token("linear", token.access_token)
        self._authorization = authorization_of(token.access_token)
        self._good_until = self._clock.now() + token.expires_in - min(_MARGIN_S, token.expires_in / 10)
        return self._authorization


def authorization_of(token: str) -> str:
    """The header's value: a personal key goes as it is, every other token as Bearer."""
    return token if token.startswith("lin_api_") else f"Bearer {token}"


def read_token(status: int, body: bytes, *, secret: str) -> TokenReply:
    """Read the token endpoint's reply.

    secret  never shows in an error, even if the endpoint repeats it
    Raises  TokenRefused with what to do; LinearError when the endpoint is out of order
    """
    if status < 300:
        try:
            reply = msgspec.json.decode(body, type=TokenReply)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LinearError("Linear's token endpoint answered with something else than a token.") from None
        if reply.access_token and reply.access_token.isprintable() and reply.expires_in > 0:
            return reply
        raise LinearError("Linear's token endpoint answered with an unusable token.")
    if status >= 500 or status == 429:
        raise LinearError(f"Linear's token endpoint is out of order (HTTP {status}).")
    try:
        refusal = msgspec.json.decode(body, type=TokenRefusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        refusal = TokenRefusal()
    said = f"{refusal.error} {refusal.error_description}".strip()
    said = logs.masked(said.replace(secret, logs.MASK))[:200]
    if "client_credentials" in refusal.error_description:
        raise TokenRefused(
            "Linear gives this app no token of its own: switch on client credentials for the app in Linear's settings, "
            f"or set LINEAR_ACCESS_TOKEN. Linear said: {said}"
        )
    raise TokenRefused(
        f"Linear refused LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET (HTTP {status}): compare both with the app's "
        f"settings. Linear said: {said or 'nothing'}"
    )
