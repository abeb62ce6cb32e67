"""The webhook door over a real server and a real ledger; who we are in Linear is known."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from dragoman import config
from dragoman.core.limits import Rules
from dragoman.ids import HostId, OrganizationId
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import open_linear
from dragoman.runtime.engine import Engine
from dragoman.runtime.service import Service
from dragoman.runtime.tenant import Tenant
from dragoman.web import body, health, metrics
from dragoman.web.app import Door
from dragoman.web.asgi import HttpServer
from dragoman.web.webhooks import LinearWebhook
from tests.web.sockets import DEADLINE_S, NOBODY, OLD_SECRET, ORGANIZATION, SECRET


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


CANARY = "canary-5ecr3t&<x>"  # as it would look different on a page
OpenDoorway = Callable[..., Awaitable[Doorway]]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may be busy with something else: what is not about time has more of it."""
    for module, name in ((body, "DISCARD_S"), (health, "LEDGER_S"), (metrics, "LEDGER_S")):
        monkeypatch.setattr(module, name, DEADLINE_S)


@pytest.fixture
async def open_doorway(tmp_path: Path) -> AsyncIterator[OpenDoorway]:
    async with AsyncExitStack() as stack:

        async def open_(
            *,
            body_s: float = DEADLINE_S,
            decide_s: float = DEADLINE_S,
            header_s: float = DEADLINE_S,
            ledger_url: str = "",
        ) -> Doorway:
            file = tmp_path / "ledger.db"
            ledger = await SqliteLedger.open(ledger_url or f"sqlite:///{file}")
            stack.push_async_callback(ledger.close)
            engine = Engine(ledger, host=HostId("host"), rules=Rules(), crowd=20)
            linear = open_linear(NOBODY, access_token="token", client_id="", client_secret="")
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


# ── a whole service ──────────────────────────────────────────────────────
@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "dragoman.toml").write_text(
        f'[[repositories]]\nname = "acme/shop"\nurl = "https://me:{quote(CANARY)}-r@host/x.git"\n'
    )
    environment = {
        "DRAGOMAN_DATA_DIR": str(tmp_path / "data"),
        "LINEAR_API_URL": NOBODY,
        "LINEAR_ACCESS_TOKEN": f"{CANARY}-token",
        "LINEAR_WEBHOOK_SECRET": f"{CANARY}-hook",
        "OPENCODE_SESSION_API_URL": NOBODY.replace("//", f"//opencode:{quote(CANARY)}-pass@"),
    }
    running = Service(config.load(environment, folder=tmp_path))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    server = HttpServer(Door(service), host="127.0.0.1", port=0)
    await server.start()
    yield server.url
    await server.stop()
