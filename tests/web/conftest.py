"""The webhook door over a real server and a real ledger; who we are in Linear is known."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from dragoman.core.limits import Rules
from dragoman.ids import HostId, OrganizationId
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import open_linear
from dragoman.runtime.engine import Engine
from dragoman.runtime.tenant import Tenant
from dragoman.web.asgi import HttpServer
from dragoman.web.webhooks import LinearWebhook
from tests.web.sockets import OLD_SECRET, ORGANIZATION, SECRET


@dataclass
class Doorway:
    url: str
    webhook: LinearWebhook
    ledger: SqliteLedger
    file: Path

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What is on disk, seen past the ledger, as after a crash."""
        connection = sqlite3.connect(self.file)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


OpenDoorway = Callable[..., Awaitable[Doorway]]


@pytest.fixture
async def open_doorway(tmp_path: Path) -> AsyncIterator[OpenDoorway]:
    async with AsyncExitStack() as stack:

        async def open_(
            *, body_s: float = 10.0, decide_s: float = 4.0, header_s: float = 5.0, ledger_url: str = ""
        ) -> Doorway:
            file = tmp_path / "ledger.db"
            ledger = await SqliteLedger.open(ledger_url or f"sqlite:///{file}")
            stack.push_async_callback(ledger.close)
            engine = Engine(ledger, host=HostId("host"), rules=Rules(), crowd=20)
            linear = open_linear("http://127.0.0.1:9", access_token="token", client_id="", client_secret="")
            stack.push_async_callback(linear.close)
            tenant = Tenant(linear, ledger)
            tenant.organization = OrganizationId(ORGANIZATION)
            webhook = LinearWebhook(engine, tenant, [SECRET, OLD_SECRET], body_s=body_s, decide_s=decide_s)
            server = HttpServer(webhook, host="127.0.0.1", port=0, header_s=header_s)
            await server.start()
            stack.push_async_callback(server.stop)
            return Doorway(server.url, webhook, ledger, file)

        yield open_


@pytest.fixture
async def door(open_doorway: OpenDoorway) -> Doorway:
    return await open_doorway()
