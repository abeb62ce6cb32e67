"""One call of a route of OpenCode: with the password, for a directory, within a deadline, the answer checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from dragoman.errors import OpenCodeDown, OpenCodeError
from dragoman.opencode.refusal import bare, refusal

T = TypeVar("T")

USER: Final = "opencode"  # OpenCode's own name for the one user of a server with a password
CALL_DEADLINE_S: Final = 15.0


class Calls:
    """The calls to one server, over one pool of connections. Arguments as for `client.OpenCode`.

    auth  the header with the credentials; empty without a password
    """

    def __init__(self, url: str, password: str | None, http: aiohttp.ClientSession | None = None) -> None:
        self.url = url.rstrip("/")
        self.auth: Mapping[str, str] = {"authorization": aiohttp.encode_basic_auth(USER, password)} if password else {}
        self._http = http
        self._owned = http is None
        self._closed = False

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use because it belongs to the running loop.

        Raises  OpenCodeDown when it was closed: a new connection could meet a server that does not listen yet
        """
        if self._closed:
            raise OpenCodeDown("OpenCode has ended and is being started anew")
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64), trust_env=False)
        return self._http

    async def close(self) -> None:
        """Let the connections go."""
        self._closed = True
        if self._owned and self._http is not None:
            await self._http.close()
            self._http = None

    async def read(
        self,
        method: str,
        path: str,
        directory: str | None,
        decode: Callable[[bytes], T],
        deadline_s: float = CALL_DEADLINE_S,
        body: Mapping[str, object] | None = None,
    ) -> T:
        """What a route answers, decoded. Arguments and errors as for `call`; OpenCodeError when it has another shape."""
        content = await self.call(method, path, directory, deadline_s, body, json_wanted=True)
        try:
            return decode(content)
        except msgspec.MsgspecError as error:
            raise OpenCodeError(
                f"OpenCode's answer to {method} {bare(path)} is not what 1.18 sends: {error}", retryable=False
            ) from error

    async def call(
        self,
        method: str,
        path: str,
        directory: str | None,
        deadline_s: float = CALL_DEADLINE_S,
        body: Mapping[str, object] | None = None,
        *,
        json_wanted: bool = False,
    ) -> bytes:
        """What a route answers.

        path         with its query, as it is to be sent
        directory    whose instance is meant; None for what is the server's own
        json_wanted  an answer of another kind is refused
        Raises       OpenCodeDown when it cannot be reached or is too slow; OpenCodeError, NotFound
        """
        headers = dict(self.auth)
        if directory is not None:
            headers["x-opencode-directory"] = quote(directory, safe="/")
        if body is not None:
            headers["content-type"] = "application/json"
        what = f"{method} {bare(path)}"
        try:
            async with self.http.request(
                method,
                self.url + path,
                headers=headers,
                data=None if body is None else msgspec.json.encode(body),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=deadline_s),
            ) as answer:
                content = await answer.read()
                status, kind = answer.status, answer.content_type
        except TimeoutError as error:
            raise OpenCodeDown(f"OpenCode did not answer {what} within {deadline_s:g} s", cause="timeout") from error
        except aiohttp.ClientError as error:
            raise OpenCodeDown(f"OpenCode could not be reached for {what}: {type(error).__name__}") from error
        if status >= 300:
            raise refusal(status, content, what)
        if json_wanted and kind != "application/json":
            raise OpenCodeError(
                f"{self.url} answered {what} with {kind}, not JSON: "
                "it is no OpenCode server of version 1.18, or the address has a path too many",
                retryable=False,
            )
        return content
