"""The copy as operators meet it: a service with it, without Redis, without its client; and `dragoman db project`."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from structlog.testing import capture_logs

from dragoman import config, logs
from dragoman.core.events.linear import SessionOpened
from dragoman.errors import Refusal
from dragoman.ids import OrganizationId, SessionId
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.projection.store import RedisStore
from dragoman.runtime import service as service_module
from dragoman.runtime.service import Service
from dragoman.web import health
from dragoman.web.app import Door
from dragoman.web.asgi import HttpServer
from tests.builders import a_prompt, an_issue
from tests.projection.conftest import in_redis, speak, until_equal
from tests.projection.valkey import Valkey
from tests.runtime.test_service import environment_in
from tests.runtime.waiting import DEADLINE_S, until
from tests.web.sockets import get

PASSWORD = "canary-redis-password"

MakeService = Callable[[str], Service]
DRAGOMAN = [sys.executable, "-c", "from dragoman.cli import main; main()"]


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], Any]]:
    """Starts a service with a copy in Redis, and its doors; its address. It has more time than anybody grants it."""
    monkeypatch.setattr(health, "LEDGER_S", DEADLINE_S)
    monkeypatch.setattr(service_module, "PARTS_S", DEADLINE_S)  # what is not copied yet is copied at the end
    running: list[tuple[Service, HttpServer]] = []

    async def serve_(redis_url: str) -> tuple[Service, str]:
        environment = environment_in(tmp_path, SESSION_STORAGE_URL=redis_url)
        service = Service(config.load(environment, folder=tmp_path))
        await service.start()
        door = HttpServer(Door(service), host="127.0.0.1", port=0)
        await door.start()
        running.append((service, door))
        return service, door.url

    yield serve_
    for service, door in running:
        await door.stop()
        await service.stop()


async def mention(service: Service, session: str, text: str = "please fix it") -> None:
    opened = SessionOpened(issue=an_issue(), prompt=a_prompt(text))
    await service.engine.receive(SessionId(session), OrganizationId("acme"), opened)


async def test_the_start_says_what_is_the_ledger_and_what_is_a_copy(
    serve: Callable[[str], Any], valkey: Valkey, tmp_path: Path
) -> None:
    with capture_logs() as logged:
        service, url = await serve(valkey.url)
        await mention(service, "s1")
        await until_equal(service.ledger, valkey)
    told = {line["event"]: line for line in logged}
    assert told["storage.ledger"]["url"] == f"sqlite:///{tmp_path}/data/dragoman.db"
    assert "decides everything" in told["storage.ledger"]["what"]
    assert told["storage.projection"]["url"] == valkey.url
    assert "decides nothing" in told["storage.projection"]["what"]
    await until(lambda: service.projection_state() == "current")
    ready = (await get(url, "/readyz")).json
    assert ready["projection"] == "current"
    assert not [problem for problem in ready["problems"] if problem.startswith("projection")]


async def test_without_redis_the_service_starts_answers_and_says_that_the_copy_is_behind(
    serve: Callable[[str], Any], valkey: Valkey
) -> None:
    await valkey.kill()
    service, url = await serve(valkey.url)
    await mention(service, "s1", "while it was away")
    await until(service.projector.trouble)
    ready = await get(url, "/readyz")
    assert ready.status == 200  # work may come
    assert ready.json["projection"].startswith("behind for ")
    (problem,) = [each for each in ready.json["problems"] if each.startswith("projection: ")]
    assert problem.endswith("the ledger holds everything, nothing is lost")
    scraped = (await get(url, "/metrics")).body.decode()
    assert "\ndragoman_projection_up 0.0\n" in scraped
    assert "\ndragoman_projection_age_seconds " in scraped
    await valkey.start()
    await until_equal(service.ledger, valkey)
    assert await valkey.texts("s1") == ["while it was away"]
    await until(lambda: service.projector.trouble() == "")
    assert "\ndragoman_projection_up 1.0\n" in (await get(url, "/metrics")).body.decode()


@pytest.mark.deep
async def test_the_password_is_used_and_never_told(
    valkey_server: Path, tmp_path: Path, serve: Callable[[str], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    logs.configure(level="debug", stream=log)
    server = Valkey(valkey_server, tmp_path, "--requirepass", PASSWORD)
    await server.start()
    try:
        service, url = await serve(server.url.replace("//", f"//:{PASSWORD}@"))
        await until(lambda: service.projection_state() == "current")
        ready, health = await get(url, "/readyz"), await get(url, "/health")
        await server.kill()
        await until(service.projector.trouble)
        told = ready.body + health.body + (await get(url, "/readyz")).body + (await get(url, "/metrics")).body
    finally:
        await server.close()
    output = capfd.readouterr()
    assert "storage.projection" in log.getvalue()
    assert PASSWORD not in log.getvalue() + output.out + output.err + told.decode()


@pytest.mark.deep
async def test_a_wrong_password_is_a_trouble_of_the_copy_alone(
    valkey_server: Path, tmp_path: Path, serve: Callable[[str], Any]
) -> None:
    server = Valkey(valkey_server, tmp_path, "--requirepass", PASSWORD)
    await server.start()
    try:
        service, _ = await serve(server.url.replace("//", "//:wrong-password@"))
        await until(service.projector.trouble)
        assert "password" in service.projector.trouble()
        assert "wrong-password" not in service.projector.trouble()
    finally:
        await server.close()


def test_a_missing_client_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(Refusal, match=r"pip install 'dragoman\[redis\]'"):
        RedisStore("redis://127.0.0.1:6379/0")


# ── dragoman db project ──────────────────────────────────────────────────
async def dragoman(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Run the command line in a process of its own: exit code, standard output, standard error."""
    environment = {"DRAGOMAN_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin", **more}
    process = await asyncio.create_subprocess_exec(
        *DRAGOMAN, *arguments, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_rebuild_equals_the_live_copy_byte_for_byte(
    serve: Callable[[str], Any], valkey: Valkey, tmp_path: Path
) -> None:
    service, _ = await serve(valkey.url)
    for number in range(12):
        await mention(service, f"s{number}", f"line {number} – ü “quoted”")
        await speak(service.ledger, f"s{number % 3}", "an answer", answer=True)
    await until_equal(service.ledger, valkey)
    await until(lambda: service.projection_state() == "current")
    await service.stop()
    live = await valkey.everything()
    assert len(live) == 2 + 2 * 12
    await valkey.reader.flushall()
    code, out, err = await dragoman(tmp_path / "data", "db", "project", SESSION_STORAGE_URL=valkey.url)
    assert (code, err) == (0, "")
    assert out == f"The ledger's 12 session(s) stand in {valkey.url}.\n"
    assert await valkey.everything() == live
    assert (await valkey.about())["state"] == "complete"


async def test_the_rebuild_beside_a_running_service_disturbs_neither(
    serve: Callable[[str], Any], valkey: Valkey, tmp_path: Path
) -> None:
    service, _ = await serve(valkey.url)
    await mention(service, "s1", "one")
    await until_equal(service.ledger, valkey)
    await valkey.reader.hset("dragoman:{s1}:session", "status", "nonsense")
    rebuilding = asyncio.create_task(dragoman(tmp_path / "data", "db", "project", SESSION_STORAGE_URL=valkey.url))
    number = 0
    while not rebuilding.done():
        number += 1
        await speak(service.ledger, "s2", f"line {number}")
        await asyncio.wait({rebuilding}, timeout=0.02)
    assert (await rebuilding)[0] == 0
    await until_equal(service.ledger, valkey)
    assert (await valkey.session("s1"))["status"] != "nonsense"
    assert len((await in_redis(valkey))["s2"]) == number


@pytest.mark.deep
async def test_the_rebuild_says_what_is_missing(tmp_path: Path, valkey: Valkey) -> None:
    code, _, err = await dragoman(tmp_path, "db", "project", SESSION_STORAGE_URL=valkey.url)
    assert (code, "There is no ledger at" in err) == (1, True)
    ledger = await SqliteLedger.open(f"sqlite:///{tmp_path}/dragoman.db")
    await ledger.close()
    code, _, err = await dragoman(tmp_path, "db", "project")
    assert (code, "SESSION_STORAGE_URL names no Redis" in err) == (78, True)
    await valkey.kill()
    url = valkey.url.replace("//", f"//:{PASSWORD}@")
    code, out, err = await dragoman(tmp_path, "db", "project", SESSION_STORAGE_URL=url)
    assert (code, "Redis refused or did not answer" in err) == (1, True)
    assert PASSWORD not in json.dumps([out, err])
