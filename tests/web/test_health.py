"""`/health`, `/healthz`, `/readyz` of a whole service whose OpenCode and Linear are away."""

import asyncio
import json
import re
import threading
from typing import Never

import pytest

from dragoman.core.events.linear import SessionOpened
from dragoman.core.events.operators import StatusRequested
from dragoman.core.events.runs import RunFailed
from dragoman.errors import LedgerError
from dragoman.ids import OrganizationId, SessionId, run_id
from dragoman.runtime.service import Service
from dragoman.web import health
from tests.builders import a_prompt, an_issue
from tests.runtime.waiting import until
from tests.web.conftest import CANARY
from tests.web.sockets import DEADLINE_S, Answer, ask, get, recording, request


async def hear(service: Service, number: int, *, failed: bool = False) -> None:
    session = SessionId(f"session-{number}")
    opened = SessionOpened(issue=an_issue(f"ENG-{number}"), prompt=a_prompt())
    await service.engine.receive(session, OrganizationId("ours"), opened)
    if failed:
        await service.engine.tell(session, RunFailed(run=run_id(session, 1), reason="no such repository"))
        await service.engine.tell(session, StatusRequested(status="error"))


async def test_health_has_the_promised_keys_while_everybody_else_is_away(service: Service, url: str) -> None:
    await hear(service, 1)
    await hear(service, 2, failed=True)
    answer = await get(url, "/health")
    assert answer.status == 200
    told = answer.json
    assert set(told) == {"status", "agent", "timestamp", "sessions", "config", "deliveries"}
    assert told["status"] == "healthy"
    assert told["agent"] == "OpenCode"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["timestamp"])
    assert told["sessions"] == {"total": 2, "active": 1, "completed": 0, "error": 1, "timeout": 0}
    assert told["config"]["repositories"] == ["acme/shop"]


async def test_health_counts_what_became_of_deliveries(url: str) -> None:
    assert (await ask(url, request(recording("created-by-mention")))).status == 401
    assert (await get(url, "/health")).json["deliveries"] == {"BadSignature": 1}


async def test_no_answer_holds_a_secret(url: str) -> None:
    for path in ("/health", "/readyz", "/healthz", "/nothing"):
        answer = await get(url, path)
        assert b"canary" not in answer.body
        assert "canary" not in json.dumps(answer.headers)


@pytest.mark.parametrize("hangs", [False, True])
async def test_health_says_so_when_the_ledger_cannot_be_read(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    async def unreadable(_function: object) -> Never:
        if hangs:
            await asyncio.Event().wait()
        raise LedgerError(f"disk I/O error at {CANARY}-token")

    monkeypatch.setattr(health, "LEDGER_S", 0.2)
    monkeypatch.setattr(service.ledger, "read", unreadable)
    answer = await get(url, "/health")
    monkeypatch.undo()
    assert answer.status == 200
    assert answer.json["status"] == "degraded"
    said = "no answer in time" if hangs else "disk I/O error at [secret]"
    assert answer.json["ledger"] == f"cannot be read: {said}"
    assert set(answer.json["sessions"].values()) == {None}


async def test_readiness_tells_what_is_missing_and_is_ready_all_the_same(service: Service, url: str) -> None:
    await until(lambda: service.opencode_state().startswith("away") and service.tenant.trouble)
    answer = await get(url, "/readyz")
    assert answer.status == 200
    told = answer.json
    assert told["ready"] is True
    assert told["opencode"].startswith("away: OpenCode could not be reached")
    assert told["sandbox"].startswith("not ours: OPENCODE_SESSION_API_URL names a server")
    assert told["linear"] == "unknown"
    first, second = told["problems"]
    assert first == f"opencode: {told['opencode']}"
    assert second.startswith("linear: has not told yet who we are: Linear cannot be reached")


async def test_readiness_is_503_only_while_nothing_can_be_written(service: Service, url: str) -> None:
    await service.ledger.turn(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchone())
    full = await get(url, "/readyz")
    assert full.status == 503
    assert full.json["ready"] is False
    assert "database or disk is full" in full.json["problems"][-1]
    await service.ledger.turn(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchone())
    assert (await get(url, "/readyz")).status == 200


async def test_readiness_is_503_while_the_disk_hangs(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LEDGER_S", 0.3)
    released = threading.Event()
    hanging = service.ledger.turn(lambda _: released.wait(DEADLINE_S))
    first = asyncio.ensure_future(hanging)
    try:
        answer: Answer = await get(url, "/readyz")
        assert answer.status == 503
        assert answer.json["problems"][-1] == "ledger: no answer in time"
    finally:
        released.set()
        await first


async def test_the_process_is_alive(url: str) -> None:
    answer = await get(url, "/healthz")
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/linear/", "/health/x", "/../health", "/%2e%2e/etc", "/HEALTH"]
)
async def test_an_unknown_path_is_not_found(url: str, path: str) -> None:
    assert (await get(url, path)).status == 404


async def test_a_bug_of_ours_is_a_500_and_the_next_request_is_served(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(service, "opencode_state", broken)
    answer = await get(url, "/readyz")
    assert answer.status == 500
    assert b"ZeroDivisionError" not in answer.body
    assert (await get(url, "/healthz")).status == 200
