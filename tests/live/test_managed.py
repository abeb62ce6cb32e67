"""The server that we start ourselves: what is told of it, what it lets go of, and when it is started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from dragoman import threads
from dragoman.opencode import adopt
from dragoman.opencode.server import Endpoint, ManagedServer
from dragoman.runtime import agent_host
from dragoman.runtime.agent_host import TendedServer
from dragoman.sim.script import Say
from dragoman.sim.server import Simulator
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import becomes, running


@pytest.mark.deep
@pytest.mark.needs_opencode
@pytest.mark.needs_bubblewrap
@pytest.mark.timeout(200)
async def test_a_resting_session_costs_no_instance_and_at_the_end_nothing_is_left(serving: Serving) -> None:
    async with serving() as service:
        assert (await service.get("/readyz"))["sandbox"] == "bubblewrap"
        assert (await service.get("/readyz"))["problems"] == []
        # Its providers were loaded before anybody asked for anything, and that folder was let go of.
        said = service.data / "opencode" / "home" / "data" / "opencode" / "log" / "opencode.log"
        await service.becomes(lambda: "home/warm" in said.read_text("utf-8"))
        service.linear.model.tell("brief", [Say(text="Done.")])
        session = service.ask("[story=brief] be brief")
        await service.ends(session)
        folder = service.workspace(session)
        await service.becomes(
            lambda: [
                line for line in said.read_text("utf-8").splitlines() if "disposing" in line and str(folder) in line
            ]
        )
        # A follow-up makes it again.
        service.linear.people.follow_up(session.id, "[story=brief] once more")
        assert (await service.ends(session, turns=2)).body == "Done."
        state = service.server()
        assert state is not None
        assert len(adopt.family(state)) >= 2
        await service.terminate()
        assert service.left() == {}
        assert service.server() is None
        for log in (service.log, said):
            assert "Traceback" not in log.read_text("utf-8")


@pytest.mark.deep
@pytest.mark.needs_opencode
@pytest.mark.timeout(200)
async def test_without_a_sandbox_we_say_so_and_still_leave_nothing_behind(serving: Serving) -> None:
    async with serving(settings={"DRAGOMAN_SANDBOX": "off"}) as service:
        page = await service.get("/readyz")
        assert page["sandbox"].startswith("none")
        assert [problem for problem in page["problems"] if "sandbox" in problem]
        assert [line["level"] for line in service.lines("sandbox.absent")] == ["warning"]
        command = f"sleep 4713{service.port}"  # nobody else's
        service.linear.model.tell("wait", [bash(command, "Wait")], [Say(text="Waited.")])
        session = service.ask("[story=wait] wait for long")
        orphan = (await becomes(lambda: running(command)))[0]
        service.kill_opencode()  # its command goes on without it
        assert (await service.ends(session)).body == "Waited."
        assert running(command) == [], f"{orphan} outlived the server that started it"
        await service.terminate()
        assert service.left() == {}


# ── when it has grown large ──────────────────────────────────────────────
class Growing:
    """Stands in for a managed server: its size is what the test says."""

    def __init__(self) -> None:
        self.bytes = 0
        self.starts = 0
        self.sandbox_missing = ""
        self.looked = asyncio.Event()

    async def ensure(self) -> Endpoint:
        self.starts += 1
        return Endpoint(url="http://127.0.0.1:9", password="made-up-password", sandboxed=True)

    async def recycle(self) -> Endpoint:
        self.bytes = 0
        return await self.ensure()

    def rss_bytes(self) -> int:
        self.looked.set()
        return self.bytes

    async def watch(self, _told: Callable[[Endpoint | None], Awaitable[None]]) -> None:
        await asyncio.Event().wait()

    async def stop(self, grace_s: float = 0.0) -> None:
        self.starts = 0

    async def looks(self, times: int = 2) -> None:
        """Wait until its size was asked for again; the decision about the look before has been taken then."""
        for _ in range(times):
            self.looked.clear()
            await asyncio.wait_for(self.looked.wait(), 60)


async def test_a_server_that_has_grown_large_is_started_anew_once_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_host, "RECYCLE_LOOK_S", 0.01)
    server, busy = Growing(), True
    tended = TendedServer(cast(ManagedServer, server), lambda: busy)
    tending = asyncio.create_task(tended.run())
    try:
        before = await asyncio.wait_for(tended.client(), 60)
        server.bytes = agent_host.RECYCLE_BYTES + 1
        await server.looks()
        assert server.starts == 1
        assert await tended.client() is before
        busy = False
        await server.looks()
        assert server.starts == 2
        assert await tended.client() is not before
        await server.looks()
        assert server.starts == 2
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        await tended.close()


async def test_with_an_open_run_the_server_is_left_running_but_not_for_a_demo() -> None:
    for keep, left in ((True, 1), (False, 0)):
        server = Growing()
        server.starts = 1
        await TendedServer(cast(ManagedServer, server), lambda: True, keep=keep).close()
        assert server.starts == left


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells of its threads")
async def test_a_web_server_that_has_stopped_has_no_thread_left() -> None:
    # One that comes back to Python while the interpreter ends takes the process down with it.
    before = threads.foreign()
    async with Simulator():
        assert threads.foreign() - before
    assert threads.foreign() - before == frozenset()
