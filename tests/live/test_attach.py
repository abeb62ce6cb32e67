"""An OpenCode that somebody else runs: used when it sees our disk, waited for when it is down, else refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dragoman.ports import free_port
from dragoman.sim.script import Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import LiveService, becomes, provider

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

PASSWORD = "password-of-the-attached"


@asynccontextmanager
async def somebodys_opencode(
    service: LiveService, binary: Path, port: int, before: Sequence[str] = ()
) -> AsyncIterator[None]:
    """A server as another operator would start it; `before` goes in front of its command line."""
    home = service.folder / "their-home"
    home.mkdir(parents=True)
    config = service.folder / "theirs.json"
    config.write_text(json.dumps({**provider(service.linear), "snapshot": False}), "utf-8")
    output = service.folder / "theirs.log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "OPENCODE_CONFIG": str(config),
        "OPENCODE_SERVER_PASSWORD": PASSWORD,
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }
    process = _spawn(
        [*before, str(binary), "serve", "--hostname", "127.0.0.1", "--port", str(port)], environment, output
    )
    try:
        await becomes(lambda: b"opencode server listening" in output.read_bytes(), 60.0)
        yield
    finally:
        await asyncio.to_thread(_end, process)


def _spawn(command: Sequence[str], environment: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as said:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=environment["HOME"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:  # seen now and then under load: it ends its requests first
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def attached(port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    return {
        "OPENCODE_BIN": "",
        "OPENCODE_CONFIG": "",
        "OPENCODE_SESSION_API_URL": url,
        "OPENCODE_SESSION_TOKEN": PASSWORD,
    }


async def test_a_server_that_is_down_at_the_start_is_waited_for_and_then_used(
    serving: Serving, opencode_bin: Path
) -> None:
    port = free_port()
    async with serving(settings=attached(port), start=False) as service:
        await service.start(ready=False)
        assert (await service.get("/readyz"))["opencode"] != "up"
        service.linear.model.tell("write", [bash("echo here > here.txt", "Write")], [Say(text="Written.")])
        began = time.monotonic()
        session = service.ask("[story=write] write")
        await service.shows(session, "thought", "Session Started")
        assert time.monotonic() - began < 10
        await service.shows(session, "thought", "OpenCode is not answering")
        assert service.finals(session) == []
        async with somebodys_opencode(service, opencode_bin, port):
            assert (await service.ends(session, timeout_s=60)).body.startswith("Written.")
            assert (service.workspace(session) / "here.txt").read_text("utf-8") == "here\n"
            page = await service.get("/readyz")
            assert page["opencode"] == "up"
            assert page["sandbox"].startswith("not ours")
            assert (await service.get("/health"))["config"]["opencode"] == f"http://127.0.0.1:{port}"
            await service.terminate()
            assert not service.left()
        assert PASSWORD not in service.log.read_text("utf-8")


@pytest.mark.needs_bubblewrap
async def test_a_server_that_does_not_see_our_disk_is_refused_with_the_reason(
    serving: Serving, opencode_bin: Path
) -> None:
    port = free_port()
    async with serving(settings=attached(port), start=False) as service:
        service.data.mkdir()
        blind = ("bwrap", "--dev-bind", "/", "/", "--tmpfs", str(service.data), "--")
        async with somebodys_opencode(service, opencode_bin, port, blind):
            service.run()
            process = service.process
            assert process is not None
            assert await asyncio.to_thread(process.wait, 60) == 78
        said = service.log.read_text("utf-8")
        assert "does not see" in said
        assert str(service.data) in said
        assert "OPENCODE_SESSION_API_URL" in said
