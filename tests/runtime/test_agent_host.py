"""Where OpenCode is: somebody else's server has to see our disk; our own is started, tended, recycled, left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from dragoman.errors import OpenCodeDown, OpenCodeError, Refusal
from dragoman.opencode.server import Endpoint
from dragoman.runtime import agent_host
from dragoman.runtime.agent_host import AttachedServer, TendedServer
from tests.runtime.waiting import DEADLINE_S, until
from tests.stories.scripted_agent import ScriptedAgent


@pytest.fixture
async def agent() -> AsyncIterator[ScriptedAgent]:
    async with ScriptedAgent(password="pass-word") as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_RETRY_S", "LONGEST_RETRY_S", "LOOK_S", "RECYCLE_LOOK_S"):
        monkeypatch.setattr(agent_host, name, 0.02)
    monkeypatch.setattr(agent_host, "FIRST_START_S", DEADLINE_S)


# ── a server that somebody else runs ─────────────────────────────────────
async def test_a_server_that_sees_our_disk_is_used(agent: ScriptedAgent, tmp_path: Path) -> None:
    host = AttachedServer(agent.url, "pass-word", tmp_path)
    assert host.state == "has not answered yet"
    client = await host.client()
    assert host.state == "up"
    assert await host.client() is client
    assert agent.requests.count("file") == 1  # proved once
    assert names_in(tmp_path) == []
    await host.close()


async def test_a_server_on_another_disk_is_refused_with_the_reason(
    agent: ScriptedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tests.stories.scripted_agent._read", lambda _directory, path: read_in(elsewhere, path))
    host = AttachedServer(agent.url, "pass-word", tmp_path)
    with pytest.raises(Refusal, match=r"does not see .* Run it on this machine"):
        await host.client()
    with pytest.raises(Refusal):
        await host.run()
    assert names_in(tmp_path) == ["elsewhere"]
    await host.close()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def read_in(folder: Path, path: str) -> str:
    file = folder / path
    return file.read_text() if file.is_file() else ""


async def test_a_server_that_is_down_is_an_outage_and_no_refusal(agent: ScriptedAgent, tmp_path: Path) -> None:
    await agent.die()
    host = AttachedServer(agent.url, "pass-word", tmp_path)
    with pytest.raises(OpenCodeDown):
        await host.client()
    running = asyncio.create_task(host.run())
    await until(lambda: host.state.startswith("away: "))
    await agent.come_up()
    await until(lambda: host.state == "up")
    await agent.die()
    await until(lambda: host.state.startswith("away: "))
    await agent.come_up()
    await until(lambda: host.state == "up")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await host.close()


async def test_a_disk_without_room_is_an_outage_and_ends_nothing(
    agent: ScriptedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    host = AttachedServer(agent.url, "pass-word", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        running = asyncio.create_task(host.run())
        await until(lambda: running.done() or "No space left on device" in host.state)
    await until(lambda: running.done() or host.state == "up")
    assert not running.done()
    assert names_in(tmp_path) == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await host.close()


async def test_the_wrong_password_is_told(agent: ScriptedAgent, tmp_path: Path) -> None:
    host = AttachedServer(agent.url, "not-it", tmp_path)
    with pytest.raises(OpenCodeError) as caught:
        await host.client()
    assert not isinstance(caught.value, OpenCodeDown)
    assert "not-it" not in str(caught.value)
    await host.close()


# ── a server of our own ──────────────────────────────────────────────────
class PretendServer:
    """Behaves as a managed server does: starts (or not), is lost, is large, ends."""

    def __init__(self, *, failures: int = 0, sandbox_missing: str = "") -> None:
        self.failures = failures
        self.sandbox_missing = sandbox_missing
        self.size = 0
        self.looks = 0
        self.starts = 0
        self.stops = 0
        self.lost = asyncio.Event()
        self.unrecyclable = False
        self.unreadable = False

    async def ensure(self) -> Endpoint:
        if self.failures:
            self.failures -= 1
            raise Refusal("OpenCode did not start: no such model")
        self.starts += 1
        return Endpoint(
            url=f"http://127.0.0.1:{self.starts}",
            password="pass-word",
            sandboxed=not self.sandbox_missing,
            adopted=False,
        )

    async def watch(self, told: Callable[[Endpoint | None], Awaitable[None]]) -> None:
        while True:
            await self.lost.wait()
            self.lost.clear()
            await told(None)
            await told(await self.ensure())

    async def recycle(self) -> Endpoint:
        await self.stop()
        self.size = 0
        if self.unrecyclable:
            raise Refusal("OpenCode did not start")
        return await self.ensure()

    def rss_bytes(self) -> int:
        self.looks += 1
        if self.unreadable:
            raise OSError(24, "Too many open files")
        return self.size

    async def stop(self, grace_s: float = 5.0) -> None:
        self.stops += 1


class Tended:
    """A tended pretend server under way."""

    def __init__(self, server: PretendServer, *, keep: bool = True) -> None:
        self.server = server
        self.busy = False
        stand_in: Any = server
        self.host = TendedServer(stand_in, lambda: self.busy, keep=keep)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.host.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.host.close()


async def test_callers_wait_for_the_first_start() -> None:
    async with Tended(PretendServer()) as tended:
        client = await tended.host.client()
        assert client.url == "http://127.0.0.1:1"
        assert tended.host.state == "up"
        assert tended.host.sandbox_state == "bubblewrap"


async def test_a_start_that_takes_very_long_is_an_outage_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_host, "FIRST_START_S", 0.02)
    never_begun: Any = PretendServer()
    with pytest.raises(OpenCodeDown, match="OpenCode is starting"):
        await TendedServer(never_begun, lambda: False).client()


async def test_a_start_that_fails_is_an_outage_until_one_works() -> None:
    async with Tended(PretendServer(failures=10**6)) as tended:
        with pytest.raises(OpenCodeDown, match="no such model"):
            await tended.host.client()
        tended.server.failures = 0
        await until(lambda: tended.host.state == "up")
        assert (await tended.host.client()).url == "http://127.0.0.1:1"


async def test_a_missing_sandbox_is_one_loud_warning() -> None:
    with capture_logs() as lines:
        async with Tended(PretendServer(failures=2, sandbox_missing="no bwrap on PATH")) as tended:
            await until(lambda: tended.host.state == "up")
            assert tended.host.sandbox_state == "none: no bwrap on PATH"
    warnings = [line for line in lines if line["event"] == "sandbox.absent"]
    assert [(line["log_level"], line["reason"]) for line in warnings] == [("warning", "no bwrap on PATH")]


async def test_a_server_that_was_lost_comes_back_as_another_client() -> None:
    async with Tended(PretendServer()) as tended:
        first = await tended.host.client()
        tended.server.lost.set()
        await until(lambda: tended.server.starts == 2)
        await until(lambda: tended.host.state == "up")
        assert await tended.host.client() is not first


async def test_a_large_server_is_started_anew_as_soon_as_nothing_runs() -> None:
    async with Tended(PretendServer()) as tended:
        await tended.host.client()
        tended.busy = True
        tended.server.size = agent_host.RECYCLE_BYTES + 1
        looks = tended.server.looks
        await until(lambda: tended.server.looks > looks + 1)
        assert tended.server.stops == 0
        tended.busy = False
        await until(lambda: tended.server.starts == 2)
        assert tended.server.stops == 1


async def test_a_server_that_cannot_be_recycled_does_not_end_us() -> None:
    async with Tended(PretendServer()) as tended:
        await tended.host.client()
        tended.server.unrecyclable = True
        tended.server.size = agent_host.RECYCLE_BYTES + 1
        await until(lambda: tended.server.stops == 1)
        await until(lambda: tended.host.state != "up")
        tended.server.lost.set()  # as its watch sees
        await until(lambda: tended.host.state == "up")
        assert not tended.task.done()


async def test_a_server_whose_size_cannot_be_read_is_looked_at_again_and_does_not_end_us() -> None:
    async with Tended(PretendServer()) as tended:
        await tended.host.client()
        tended.server.unreadable = True
        looks = tended.server.looks
        await until(lambda: tended.task.done() or tended.server.looks > looks + 1)
        assert not tended.task.done()


@pytest.mark.parametrize("busy, keep, stops", [(True, True, 0), (False, True, 1), (True, False, 1), (False, False, 1)])
async def test_it_is_left_running_only_when_runs_are_open(busy: bool, keep: bool, stops: int) -> None:
    async with Tended(PretendServer(), keep=keep) as tended:
        await tended.host.client()
        tended.busy = busy
    assert tended.server.stops == stops
