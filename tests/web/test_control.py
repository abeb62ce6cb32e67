"""`/api/v1`: whoever has the key may look and act, nobody else; each answer says what to do, each act is in the trail."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman import logs
from dragoman.core.events.linear import SessionOpened
from dragoman.core.events.operators import CompletionRequested
from dragoman.errors import LedgerError
from dragoman.ids import OrganizationId, SessionId
from dragoman.ledger import audit
from dragoman.runtime import data_folder
from dragoman.runtime.service import Service
from dragoman.web import control
from tests.builders import a_prompt, an_issue
from tests.web.conftest import CANARY
from tests.web.sockets import DEADLINE_S, Answer, ask, connected, get, request

ONE, TWO = SessionId("session-one"), SessionId("session-two")
CLOSED_DOORS = ["/api/v1/sessions", "/api/v1/sessions/session-one", "/api/v1/stats"]
Call = Callable[..., Any]


@pytest.fixture
def call(service: Service, url: str) -> Call:
    """Ask as an operator."""

    async def called(path: str, body: bytes | None = None, *, method: str = "") -> Answer:
        key = f"Authorization: Bearer {service.operator_key}"
        how = method or ("GET" if body is None else "POST")
        return await ask(url, request(body or b"", method=how, path=f"/api/v1/{path}", signature=None, more=[key]))

    return called


async def opened(service: Service, session: SessionId = ONE, issue: str = "ENG-1") -> None:
    words = SessionOpened(issue=an_issue(issue), prompt=a_prompt(f"fix it, {CANARY}-token"))
    await service.engine.receive(session, OrganizationId("acme"), words)


async def at_rest(call: Call) -> None:
    """Wait until its turn has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while (await call(f"sessions/{ONE}")).json["summary"]["live"]:
            pass  # asking takes its time


async def trail(service: Service) -> list[tuple[str, str, str, str]]:
    rows = await service.ledger.read(audit.newest)
    return [(row.source, row.action, row.verdict, row.session) for row in rows if row.source != "linear"]


# ── the key ──────────────────────────────────────────────────────────────
@pytest.mark.parametrize("path", CLOSED_DOORS)
@pytest.mark.parametrize(
    "given", [[], ["Authorization: Bearer nobody"], ["Authorization: Bearer "], ["Authorization: Basic {}"],
              ["Authorization: Bearer {}", "Authorization: Bearer {}"], ["Authorization: Bearer {}x"]],
)  # fmt: skip
async def test_without_the_key_nothing_is_shown(service: Service, url: str, path: str, given: list[str]) -> None:
    headers = [line.format(service.operator_key) for line in given]
    answer = await ask(url, request(b"", method="GET", path=path, signature=None, more=headers))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "DRAGOMAN_OPERATOR_KEY" in answer.json["error"]
    assert service.operator_key not in answer.body.decode()


async def test_without_the_key_nothing_is_done_and_it_is_counted(service: Service, url: str) -> None:
    await opened(service)
    path = f"/api/v1/sessions/{ONE}/complete"
    assert (await ask(url, request(b"{}", path=path, signature=None))).status == 401
    wrong = ["Authorization: Bearer guessed"]
    assert (await ask(url, request(b"{}", path=path, signature=None, more=wrong))).status == 401
    told = (await get(url, "/metrics")).body.decode()
    for reason in ("no_key", "wrong_key"):
        assert f'dragoman_operator_requests_refused_total{{reason="{reason}"}} 1.0' in told
    assert await trail(service) == []


@pytest.mark.parametrize("path", ["/health", "/healthz", "/metrics"])
async def test_what_machines_ask_stays_open(url: str, path: str) -> None:
    assert (await get(url, path)).status == 200


async def test_the_key_is_made_once_for_nobody_else_to_read_and_never_shown(service: Service, call: Call) -> None:
    file = service.settings.data_dir / "operator.key"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (service.operator_key, 0o600)
    assert len(service.operator_key) == 64
    assert service.operator_key not in logs.masked(f"key={service.operator_key}")


def test_a_key_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.key"
    file.touch()
    made = data_folder.key(file)
    assert (len(made), data_folder.key(file)) == (64, made)


# ── looking ──────────────────────────────────────────────────────────────
async def test_sessions_are_listed_by_status_and_issue_newest_first(service: Service, call: Call) -> None:
    await opened(service)
    await opened(service, TWO, "OPS-7")

    async def ids(query: str = "") -> list[str]:
        answer = await call(f"sessions{query}")
        assert answer.status == 200
        return [one["id"] for one in answer.json["sessions"]]

    assert await ids() == [TWO, ONE]
    assert await ids("?limit=1") == [TWO]
    assert await ids("?issue=eng-1&status=creating") == [ONE]
    assert await ids("?status=timeout") == []


@pytest.mark.parametrize("query", ["status=asleep", "limit=0", "limit=1001", "limit=many", "state=active"])
async def test_a_wrong_filter_is_told_with_what_there_is(call: Call, query: str) -> None:
    answer = await call(f"sessions?{query}")
    assert answer.status == 400
    assert "status (creating, active, completed, error, timeout), issue (ENG-1), limit" in answer.json["error"]


async def test_a_session_is_shown_whole_and_without_secrets(service: Service, call: Call) -> None:
    await opened(service)
    answer = await call(f"sessions/{ONE}")
    shown = answer.json
    assert (answer.status, shown["summary"]["id"], shown["summary"]["issue_key"]) == (200, ONE, "ENG-1")
    assert shown["messages"][0]["text"].startswith("fix it, ")
    assert shown["journal"][0]["kind"] == "SessionOpened"  # the issue may have been read meanwhile
    assert CANARY not in answer.body.decode()


# ── acting ───────────────────────────────────────────────────────────────
async def test_a_session_is_completed_reactivated_and_refused_with_both_statuses(service: Service, call: Call) -> None:
    await opened(service)
    answer = await call(f"sessions/{ONE}/complete", b'{"reason": "shipped"}')
    assert (answer.status, answer.json["id"], answer.json["live"]) == (202, ONE, True)
    await at_rest(call)
    assert "Session completed: shipped" in (await call(f"sessions/{ONE}")).body.decode()
    answer = await call(f"sessions/{ONE}/complete", b"")
    assert (answer.status, answer.json["error"]) == (
        409,
        f"Session {ONE} is completed; it cannot become completed.",
    )
    answer = await call(f"sessions/{ONE}/stop", b"{}")
    assert (answer.status, "is completed and no turn is under way" in answer.json["error"]) == (409, True)
    answer = await call(f"sessions/{ONE}/reactivate", b"{}")
    assert (answer.status, answer.json["status"], answer.json["live"]) == (200, "active", False)
    assert await trail(service) == [
        ("http", "reactivate", "allowed", ONE),
        ("http", "stop", "status", ONE),
        ("http", "complete", "status", ONE),
        ("http", "complete", "allowed", ONE),
    ]
    assert await service.ledger.read(audit.verify) is None


async def test_a_turn_is_stopped(service: Service, call: Call) -> None:
    await opened(service)
    answer = await call(f"sessions/{ONE}/stop", b"")
    assert (answer.status, answer.json["live"]) == (202, True)
    assert "StopRequested" in [line["kind"] for line in (await call(f"sessions/{ONE}")).json["journal"]]
    assert await trail(service) == [("http", "stop", "allowed", ONE)]


async def test_what_cannot_be_written_into_the_trail_is_not_done(
    service: Service, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(service)

    def full(*_: object) -> None:
        raise LedgerError(f"the disk is full, {CANARY}-token")

    with monkeypatch.context() as patch:
        patch.setattr(audit, "append", full)
        answer = await call(f"sessions/{ONE}/complete", b"")
    assert (answer.status, CANARY in answer.json["error"]) == (503, False)
    kinds = [line["kind"] for line in (await call(f"sessions/{ONE}")).json["journal"]]
    assert CompletionRequested.__name__ not in kinds


@pytest.mark.parametrize("path", ["sessions/nobody", "sessions/nobody/complete", "sessions/session-one/destroy"])
async def test_what_is_not_there_is_404(service: Service, call: Call, path: str) -> None:
    await opened(service)
    answer = await call(path, b"" if path.count("/") == 2 else None)
    assert answer.status == 404
    assert answer.json["error"].startswith(
        ("No session has the id 'nobody'", "There is nothing here. A session can be")
    )
    assert await trail(service) == []


@pytest.mark.parametrize(
    "path, method, allowed",
    [("sessions", "POST", "GET"), ("sessions/x", "DELETE", "GET"), ("sessions/x/stop", "GET", "POST")],
)
async def test_a_wrong_method_is_told(call: Call, path: str, method: str, allowed: str) -> None:
    answer = await call(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"reason": 1}', b'{"why": "x"}', json.dumps({"reason": "x" * 2_001}).encode(), b"\xff"]
)
async def test_a_body_that_is_none_is_told(service: Service, call: Call, body: bytes) -> None:
    await opened(service)
    answer = await call(f"sessions/{ONE}/complete", body)
    assert (answer.status, '{"reason": "shipped"}' in answer.json["error"]) == (400, True)
    assert (await call(f"sessions/{ONE}/stop", b'{"reason": "x"}')).status == 400
    assert await trail(service) == []


async def test_a_body_is_bounded_in_size_and_time(
    service: Service, url: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await call(f"sessions/{ONE}/complete", b" " * (control.BODY_MOST + 1))).status == 413
    monkeypatch.setattr(control, "BODY_S", 0.05)
    key = f"Authorization: Bearer {service.operator_key}"
    path = f"/api/v1/sessions/{ONE}/complete"
    async with connected(url) as line:
        assert (await line.ask(request(b"{", path=path, signature=None, length=9, more=[key]))).status == 408


async def test_without_management_sessions_are_shown_and_not_changed(service: Service, call: Call) -> None:
    await opened(service)
    service.live.current = replace(service.settings, enable_session_management=False)
    for command in ("complete", "reactivate", "stop"):
        answer = await call(f"sessions/{ONE}/{command}", b"")
        assert (answer.status, answer.json["error"]) == (403, control.UNMANAGED)
    assert (await call(f"sessions/{ONE}")).json["summary"]["status"] == "creating"
    assert await trail(service) == []
