"""One process, one port: GraphQL, tokens, the scripted model, the control API and the page."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.applications import Starlette

from dragoman import threads
from dragoman.clock import Clock, SystemClock
from dragoman.ports import free_port
from dragoman.sim import store
from dragoman.sim.agent import Agent
from dragoman.sim.asgi import Receive, Scope, Send, TooLarge, header, read_body, send_json, send_whole, start
from dragoman.sim.control import control_routes
from dragoman.sim.faults import Cut, Faults
from dragoman.sim.forge import PREFIX as FORGE_PREFIX
from dragoman.sim.forge import Forge
from dragoman.sim.graphql import GraphQL
from dragoman.sim.hooks import Hooks
from dragoman.sim.model import Model
from dragoman.sim.page import Page
from dragoman.sim.people import People
from dragoman.sim.quota import POINTS_PER_HOUR, REQUESTS_PER_HOUR, Quota
from dragoman.sim.tokens import Tokens
from dragoman.sim.world import DEFAULT_RESOURCES, World

T = TypeVar("T")

HOST = "127.0.0.1"
_START_WITHIN_S = 10.0
_STOP_WITHIN_S = 5.0
_HEADERS_WITHIN_MS = 5000


class Simulator:
    """A pretend Linear with a scripted model, running inside `async with`.

    webhook_url     where webhooks go; None until `set_webhook_url` loses them
    secret          what they are signed with; a random one when None
    access_token    opens the API; a random one when None, "" for none (then only /oauth/token gives tokens)
    client_id, client_secret   what /oauth/token accepts; a random secret when None
    port            0 = a free one
    clock           for every rule about time
    resources       webhook resource types, see world.DEFAULT_RESOURCES
    agent_sessions  see World
    requests_per_hour, points_per_hour   rate limits
    retry_scale     factor on the webhook retry schedule of 1 min, 1 h, 6 h
    story           the scripted model's story for texts without a tag
    forge           a pretend GitHub to serve as well, see forge.py
    """

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        secret: str | None = None,
        access_token: str | None = None,
        client_id: str = "sim-client",
        client_secret: str | None = None,
        port: int = 0,
        clock: Clock | None = None,
        agent_name: str = "OpenCode",
        resources: Iterable[str] = DEFAULT_RESOURCES,
        agent_sessions: bool = True,
        requests_per_hour: int = REQUESTS_PER_HOUR,
        points_per_hour: int = POINTS_PER_HOUR,
        retry_scale: float = 1.0,
        story: str = "default",
        forge: Forge | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.secret = secret or secrets.token_urlsafe(24)
        self.access_token = f"lin_sim_{secrets.token_urlsafe(24)}" if access_token is None else access_token
        self.client_id = client_id
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.world = World(clock=clock, agent_name=agent_name, resources=resources, agent_sessions=agent_sessions)
        self.people = People(self.world)
        self.agent = Agent(self.world)
        self.quota = Quota(clock, requests=requests_per_hour, points=points_per_hour)
        fixed = (self.access_token,) if self.access_token else ()
        self.tokens = Tokens(clock, fixed=fixed, client_id=client_id, client_secret=self.client_secret)
        self.store = store.Store(self.tokens, clock, lambda: self.url)
        self.graphql = GraphQL(self.world, self.agent, self.tokens, self.quota, self.store)
        self.faults = Faults(clock, self.world.changed)
        self.hooks = Hooks(self.world, url=webhook_url, secret=self.secret, clock=clock, time_scale=retry_scale)
        self.model = Model(clock=clock, default=story)
        self.port = port
        self.forge = forge
        self._page = Page(self)
        self._starlette = Starlette(routes=[*control_routes(self), *self._page.routes()])
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._threads: frozenset[int] = frozenset()  # the server's own
        self._answering = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def url(self) -> str:
        """The base URL: the page at "/", GraphQL at "/graphql", tokens at "/oauth/token"."""
        return f"http://{HOST}:{self.port}"

    @property
    def model_url(self) -> str:
        """The base URL of the scripted model, as an OpenAI-compatible provider wants it."""
        return f"{self.url}/v1"

    def set_webhook_url(self, url: str | None) -> None:
        """Send webhooks there from now on."""
        self.hooks.url = url

    async def wait_for(self, predicate: Callable[[World], T | None], timeout_s: float = 30.0) -> T:
        """Wait until `predicate(world)` is true and return what it gave; looked at again after each change.

        Raises TimeoutError
        """
        async with asyncio.timeout(timeout_s):
            while True:
                woken = self._woken
                value = predicate(self.world)
                if value:
                    return value
                await woken.wait()

    async def __aenter__(self) -> Self:
        self.world.watch(self._wake)
        await self.hooks.start()
        chosen = self.port
        for _ in range(3):  # a free port can be taken by somebody else before the server has it
            self.port = chosen or free_port()
            self._server = Server(
                self._app,
                address=HOST,
                port=self.port,
                interface=Interfaces.ASGINL,
                http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS),
                log_enabled=False,
            )
            before = threads.foreign()
            self._serving = asyncio.create_task(self._server.serve())
            if await _answers(self.port, self._serving):
                self._threads = threads.foreign() - before
                if self.forge is not None:
                    self.forge.url = self.url
                return self
        await self.hooks.close()
        raise OSError(f"the simulator could not listen on {self.url}")

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything: open streams, hanging requests, pauses of the model, retries of webhooks, the server."""
        self.faults.clear()
        if self.forge is not None:
            self.forge.orders.clear()
        self.model.close()
        self._page.close()
        await self.hooks.close()
        # Answers that are still being written when the server's threads end can abort the whole process.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN_S):
                await self._quiet.wait()
        assert self._server is not None
        assert self._serving is not None
        self._server.stop()  # type: ignore[no-untyped-call]  # granian's is untyped
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._serving, _STOP_WITHIN_S)
        await threads.gone(self._threads)

    def _wake(self, _: str | None) -> None:
        self._woken.set()
        self._woken = asyncio.Event()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self._answering += 1
        self._quiet.clear()
        try:
            if path == "/graphql" and scope["method"] == "POST":
                await self._graphql(scope, receive, send)
            elif path == "/oauth/token" and scope["method"] == "POST":
                await self._token(scope, receive, send)
            elif path.startswith((store.PREFIX, store.STORAGE)):
                await self.store.serve(scope, receive, send)
            elif self.forge is not None and path.startswith(FORGE_PREFIX):
                await self.forge.serve(scope, receive, send)
            elif path.startswith("/v1/"):
                await self.model.serve(scope, receive, send)
            elif not self._from_here(scope):
                await send_json(send, 403, {"problem": "requests from other sites are refused"})
            else:
                await self._starlette(scope, receive, send)
        except TooLarge:
            await send_json(send, 413, {"problem": "the body is too large"})
        finally:
            self._answering -= 1
            if not self._answering:
                self._quiet.set()

    async def _graphql(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        try:
            reply = await self.faults.answer(self.graphql, self.quota, header(scope, b"authorization"), body)
        except Cut:
            # An answer that has begun and ends without its last chunk: the server closes the connection.
            await start(send, 200, (("content-type", "application/json"),))
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise
        await send_whole(send, reply.status, reply.body, reply.headers)

    def _from_here(self, scope: Scope) -> bool:
        """Whether a request for the page or the control API can come from our own page or from a tool.

        A page of another site gives itself away by its Origin, a name that was bent to this machine by its Host.
        """
        places = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        origin = header(scope, b"origin")
        foreign = origin is not None and origin.removeprefix("http://") not in places
        if foreign and scope["method"] not in ("GET", "HEAD"):
            return False
        return header(scope, b"host") in places

    async def _token(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_type = header(scope, b"content-type") or ""
        status, body = self.tokens.grant(content_type, header(scope, b"authorization"), await read_body(receive))
        await send_json(send, status, body)


async def _answers(port: int, serving: asyncio.Task[None]) -> bool:
    """Whether the server takes connections within the time that a start may last."""
    deadline = asyncio.get_running_loop().time() + _START_WITHIN_S
    while not serving.done() and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        await writer.wait_closed()
        return True
    return False
