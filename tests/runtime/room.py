"""A room with a pretend OpenCode in it, where a test performs each effect by its own hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from dragoman.core.effects import InspectWork
from dragoman.core.events import Event
from dragoman.core.events.desk import WorkFound
from dragoman.core.events.linear import IssueRead, Prompted, SessionOpened, StopRequested
from dragoman.core.limits import Rules
from dragoman.core.session import Session
from dragoman.errors import OpenCodeDown
from dragoman.ids import OrganizationId, RunId, SessionId, run_id
from dragoman.ledger import effects
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import open_linear
from dragoman.opencode.client import OpenCode
from dragoman.repositories.configured import Repository
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.agent import AgentWork
from dragoman.runtime.performers.attachments import Attachments
from dragoman.runtime.workers import Postponed, Workers
from tests.builders import ORGANIZATION, a_prompt, an_issue
from tests.runtime.conftest import HOST
from tests.runtime.waiting import until
from tests.stories.agent_threads import Thread
from tests.stories.scripted_agent import ScriptedAgent

LEASE_S = 600.0


class PretendHost:
    """Knows where OpenCode is, unless it is said to be down."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.down = False
        self.roomy = True
        self._client: OpenCode | None = None

    async def client(self) -> OpenCode:
        if self.down:
            raise OpenCodeDown("OpenCode is starting")
        if self._client is None:
            self._client = OpenCode(self.url, "pass-word")
        return self._client

    def away(self) -> str | None:
        return "OpenCode is starting" if self.down else None

    @property
    def cause(self) -> str:
        return "network"

    def room(self) -> bool:
        return self.roomy

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


async def _nothing_changed(claimed: Claimed) -> Event | None:
    """The pretend agent writes no files, whatever tools it says to use."""
    assert isinstance(claimed.effect, InspectWork)
    return WorkFound(run=claimed.effect.run, changed=False)


class Room:
    """`async with Room(folder, upstream) as room`."""

    def __init__(self, folder: Path, upstream: Path) -> None:
        self._folder = folder
        self._upstream = upstream
        self.ours: bool | None = True
        self.agent = ScriptedAgent(password="pass-word")
        self._waiting: list[Claimed] = []

    async def __aenter__(self) -> Self:
        await self.agent.come_up()
        self.ledger = await SqliteLedger.open("memory://")
        self.engine = Engine(self.ledger, host=HOST, rules=Rules(), crowd=0)
        self.host = PretendHost(self.agent.url)
        repository = Repository(name="acme/shop", url=str(self._upstream))
        self.desk = Desk(
            self.ledger,
            [repository],
            workspaces_dir=self._folder / "workspaces",
            trusted_dir=self._folder / "trusted",
        )
        self.engine.listen(self.desk.told)
        self.linear = open_linear("http://127.0.0.1:9", access_token="nobody answers there")
        self.work = AgentWork(
            self.engine,
            self.host,
            self.desk,
            model=None,
            agent="build",
            attachments=Attachments(self.linear),
            is_ours=self._is_ours,
            confine=None,
            environment={},
        )
        self._looking = Workers(self.engine, "desk", 1, _nothing_changed)
        self._looked = asyncio.create_task(self._looking.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.linear.close()
        await self._looking.stop(1.0)
        await self._looked
        await self.host.close()
        await self.agent.die()
        await self.ledger.close()

    # ── people ───────────────────────────────────────────────────────────
    async def open(self, session: SessionId, text: str = "please fix it") -> RunId:
        """Somebody mentions the agent; the run is about to be started."""
        await self.engine.receive(
            session, ORGANIZATION, SessionOpened(issue=an_issue(f"ENG-{session}"), prompt=a_prompt(text))
        )
        await self.engine.tell(session, IssueRead(run=run_id(session, 1)))
        return run_id(session, 1)

    async def started(self, session: SessionId, text: str = "please fix it") -> RunId:
        """Somebody mentions the agent, and the run is under way."""
        run = await self.open(session, text)
        await self.perform("StartRun")
        return run

    async def write(self, session: SessionId, text: str) -> None:
        outcome = await self.engine.tell(session, Prompted(prompt=a_prompt(text, sent_at=4e9)))
        assert outcome.session is not None
        await self.engine.tell(session, IssueRead(run=run_id(session, outcome.session.turns)))

    async def stop(self, session: SessionId) -> None:
        await self.engine.tell(session, StopRequested(sent_at=1.0))

    # ── effects ──────────────────────────────────────────────────────────
    async def claim(self, kind: str) -> Claimed:
        """Take the first effect of a kind, as a worker does."""
        found: list[Claimed] = []

        async def there() -> bool:
            pools: tuple[Pool, ...] = ("start", "agent", "abort")
            for pool in pools:
                self._waiting += await self.ledger.turn(effects.claim, pool, host=HOST, limit=50, lease_s=LEASE_S)
            found.extend(one for one in self._waiting if type(one.effect).__name__ == kind)
            return bool(found)

        await until(there)
        self._waiting.remove(found[0])
        return found[0]

    async def do(self, claimed: Claimed) -> Event | None:
        """Perform it and tell the outcome, as a worker does. Raises what it raised."""
        try:
            event = await self.work.perform(claimed)
        except Postponed as put_off:
            await self.engine.postpone(claimed, 0.0, str(put_off), put_off.event)
            raise
        assert await self.engine.finish(claimed, event)
        return event

    async def perform(self, kind: str) -> Event | None:
        """Claim and do."""
        return await self.do(await self.claim(kind))

    # ── looking ──────────────────────────────────────────────────────────
    async def session(self, session: SessionId) -> Session:
        known = await self.engine.session(session)
        assert known is not None
        return known

    async def phase(self, session: SessionId) -> str:
        return type((await self.session(session)).phase).__name__

    async def journal(self, session: SessionId) -> list[str]:
        sql = "SELECT kind FROM journal WHERE session = ? ORDER BY n"
        return [kind for (kind,) in await self.ledger.read(lambda tx: tx.execute(sql, (session,)).fetchall())]

    async def heard(self, session: SessionId, kind: str, count: int = 1) -> None:
        """Wait until the session was told so often of a kind of event."""

        async def told() -> bool:
            return (await self.journal(session)).count(kind) >= count

        await until(told)

    def thread(self, session: SessionId) -> Thread:
        return self.agent.thread_of(session)

    async def _is_ours(self, _: OrganizationId) -> bool | None:
        return self.ours
