"""A pretend Linear without HTTP, one with it, and somebody who takes its webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from dragoman.sim import Simulator
from dragoman.sim.agent import Agent
from dragoman.sim.graphql import GraphQL
from dragoman.sim.people import People
from dragoman.sim.quota import Quota
from dragoman.sim.records import AgentSession
from dragoman.sim.store import Store
from dragoman.sim.tokens import Tokens
from dragoman.sim.world import World

DEADLINE_S = 60.0  # of a machine that is busy with something else


class HeldClock:
    """A clock that moves only when told; sleepers wake when their time has come."""

    def __init__(self) -> None:
        self.at = 1_795_000_000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._gone_to_sleep = asyncio.Event()

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.at + seconds, woken))
        self._gone_to_sleep.set()
        await woken.wait()

    def forward(self, seconds: float) -> None:
        self.at += seconds
        for due, woken in self._sleepers:
            if due <= self.at:
                woken.set()
        self._sleepers = [(due, woken) for due, woken in self._sleepers if due > self.at]

    async def until_asleep(self, *seconds: float) -> None:
        """Wait until there are sleepers that wait just these seconds from now."""
        async with asyncio.timeout(DEADLINE_S):
            while sorted(round(due - self.at, 6) for due, _ in self._sleepers) != sorted(seconds):
                self._gone_to_sleep.clear()
                await self._gone_to_sleep.wait()


@dataclass
class Stage:
    """A world without HTTP and everything that acts on it."""

    clock: HeldClock
    world: World
    people: People
    agent: Agent
    tokens: Tokens
    quota: Quota
    graphql: GraphQL
    token: str = "open-sesame"

    def mentioned(self) -> AgentSession:
        """A new session on a new issue."""
        return self.people.mention(self.people.create_issue("It is broken").id, "please fix it")

    def post(self, session: AgentSession, kind: str, body: str = "words", **more: Any) -> str:
        """An activity of the agent; its id."""
        return self.agent.create_activity(session.id, {"type": kind, "body": body}, **more).id

    def status(self, session: AgentSession) -> str:
        return self.world.status(self.world.session(session.id))

    def ask(self, document: str, **variables: Any) -> tuple[int, Any]:
        """Status and body of a GraphQL request."""
        body = msgspec.json.encode({"query": document, "variables": variables})
        reply = self.graphql.answer(f"Bearer {self.token}", body)
        return reply.status, msgspec.json.decode(reply.body)


def make_stage(*, requests: int = 5000, resources: frozenset[str] | None = None) -> Stage:
    clock = HeldClock()
    world = World(clock=clock) if resources is None else World(clock=clock, resources=resources)
    agent = Agent(world)
    tokens = Tokens(clock, fixed=(Stage.token,), client_id="app", client_secret="sesame")
    quota = Quota(clock, requests=requests)
    graphql = GraphQL(world, agent, tokens, quota, Store(tokens, clock, lambda: "http://sim"))
    return Stage(clock, world, People(world), agent, tokens, quota, graphql)


@pytest.fixture
def stage() -> Stage:
    return make_stage()


@dataclass
class Receiver:
    """Takes webhooks and answers as told: the statuses in `answers` first, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    def bodies(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(raw) for _, raw in self.got]

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taken = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks", taken.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taken.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    yield taken
    await runner.cleanup()


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(sim.url, timeout=timeout) as client:
        yield client
