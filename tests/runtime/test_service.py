"""The service as a whole: what it needs to start, whom it keeps out, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout
from structlog.testing import capture_logs

from dragoman import config
from dragoman.cli import serve as serve_module
from dragoman.cli.serve import EX_BROKEN, EX_CONFIG
from dragoman.core.events.linear import SessionOpened
from dragoman.errors import LedgerError, Refusal
from dragoman.ids import SessionId
from dragoman.ledger import effects, read
from dragoman.ledger.cleanup import EFFECTS_S
from dragoman.ledger.pools import Job
from dragoman.ledger.tx import Tx
from dragoman.ports import free_port
from dragoman.runtime import service as service_module
from dragoman.runtime.service import Service
from dragoman.web.asgi import HttpServer
from tests.builders import ORGANIZATION, a_prompt, an_issue
from tests.marks import deep
from tests.runtime.waiting import DEADLINE_S, until
from tests.stories.scripted_agent import ScriptedAgent
from tests.web.sockets import NOBODY

MakeService = Callable[..., Service]


def environment_in(folder: Path, **more: str) -> dict[str, str]:
    (folder / "dragoman.toml").write_text('[[repositories]]\nname = "a/b"\nurl = "https://127.0.0.1:9/x.git"\n')
    return {
        "DRAGOMAN_DATA_DIR": str(folder / "data"),
        "LINEAR_API_URL": NOBODY,
        "LINEAR_ACCESS_TOKEN": "token",
        "LINEAR_WEBHOOK_SECRET": "a-long-signing-secret",
        "OPENCODE_SESSION_API_URL": NOBODY,
        "PORT": str(free_port()),
        **more,
    }


@pytest.fixture
def make(tmp_path: Path) -> MakeService:
    """Makes services on one data folder."""

    def make_(**more: str) -> Service:
        return Service(config.load(environment_in(tmp_path, **more), folder=tmp_path))

    return make_


@pytest.fixture
async def stopping() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_it_starts_while_linear_and_opencode_are_away_and_stops(make: MakeService) -> None:
    service = make()
    await service.start()
    outcome = await service.engine.receive(
        SessionId("s"), ORGANIZATION, SessionOpened(issue=an_issue(), prompt=a_prompt())
    )
    assert outcome.session is not None
    assert service.fatal is not None
    assert not service.fatal.done()
    began = time.monotonic()
    await service.stop()
    assert time.monotonic() - began < 10.0
    again = make()
    await again.start()
    assert (await again.ledger.read(read.stats)).total == 1  # nothing was lost
    await again.stop()


async def test_the_data_folder_is_ours_alone(make: MakeService, tmp_path: Path, stopping: AsyncExitStack) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    service = make()
    await service.start()
    stopping.push_async_callback(service.stop)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


async def test_a_second_process_of_the_folder_is_refused_with_the_pid_of_the_first(
    make: MakeService, stopping: AsyncExitStack
) -> None:
    first = make()
    await first.start()
    with pytest.raises(Refusal, match=rf"Another dragoman \(pid {os.getpid()}\) uses the data folder"):
        await make().start()
    await first.stop()
    third = make()
    await third.start()
    await third.stop()


async def test_a_data_folder_that_cannot_be_used_is_a_refusal(make: MakeService, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(Refusal, match=r"The data folder .* cannot be used: File exists"):
        await make().start()


async def test_a_ledger_that_cannot_be_opened_frees_the_folder(make: MakeService, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dragoman.db").write_bytes(b"this is no database, but quite some text" * 100)
    with pytest.raises(Refusal, match=r"dragoman\.db"):
        await make().start()
    (tmp_path / "data" / "dragoman.db").unlink()
    service = make()
    await service.start()
    await service.stop()


async def test_a_missing_opencode_is_a_refusal_before_anything_is_made(
    make: MakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="OpenCode was not found"):
        await make(OPENCODE_SESSION_API_URL="").start()
    assert not (tmp_path / "data").exists()


async def test_a_server_on_another_disk_ends_it_with_the_reason(
    make: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.stories.scripted_agent._read", lambda _directory, _path: "something else")
    async with ScriptedAgent(password="pass-word") as agent:
        service = make(OPENCODE_SESSION_API_URL=agent.url, OPENCODE_SESSION_TOKEN="pass-word")
        await service.start()
        assert service.fatal is not None
        refused = await asyncio.wait_for(service.fatal, DEADLINE_S)
        assert isinstance(refused, Refusal)
        assert "does not see" in str(refused)
        await service.stop()


async def test_a_part_that_breaks_ends_it_so_that_it_is_started_again(
    make: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(service_module.Service, "_beat", broken)
    service = make()
    await service.start()
    assert service.fatal is not None
    assert isinstance(await asyncio.wait_for(service.fatal, DEADLINE_S), ZeroDivisionError)
    await service.stop()


async def test_it_stops_though_the_ledger_cannot_be_read_any_more(
    make: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: object) -> None:
        raise LedgerError("disk I/O error")

    service = make()
    await service.start()
    monkeypatch.setattr(service.ledger, "read", unreadable)
    await service.stop()
    again = make()
    await again.start()  # it has let the folder go
    await again.stop()


async def test_mistyped_names_are_told_in_the_log(make: MakeService) -> None:
    service = make(SESSION_MAX_PER_ISSUE_HOURS="3")
    with capture_logs() as lines:
        await service.start()
    await service.stop()
    [doubt] = [line for line in lines if line["event"] == "setting.doubtful"]
    assert doubt["log_level"] == "warning"
    assert "did you mean SESSION_MAX_PER_ISSUE_HOUR?" in doubt["what"]


@pytest.mark.deep
async def test_the_ledger_forgets_what_is_old_in_batches_until_nothing_is_left(make: MakeService) -> None:
    service = make()
    await service.start()

    def fill(tx: Tx) -> None:
        sql = "INSERT INTO effects (host, pool, kind, created_at, due_at, head, done_at, outcome, body)"
        old = tx.now - EFFECTS_S - 1
        tx.executemany(f"{sql} VALUES ('', 'linear', 'Old', ?, ?, 0, ?, 'done', '')", [(old, old, old)] * 1_300)

    await service.ledger.turn(fill)
    await service.ledger.turn(effects.insert_job, Job(name="cleanup"))  # one that waits comes forward

    async def forgotten() -> bool:
        count = "SELECT count(*) FROM effects WHERE kind = 'Old'"
        return bool(await service.ledger.read(lambda tx: tx.execute(count).fetchone()[0] == 0))

    await until(forgotten)
    await service.stop()


# ── the command ──────────────────────────────────────────────────────────
@pytest.fixture(autouse=True)
async def ended() -> AsyncIterator[None]:
    """No process outlives its test, whatever went wrong."""
    yield
    for process in _processes:
        if process.returncode is None:
            process.kill()
            await process.wait()
    _processes.clear()


_processes: list[asyncio.subprocess.Process] = []


# The same with more time to end than anybody grants it, since a machine may be busy with something else.
UNHURRIED = f"""
from dragoman.cli import main, serve
from dragoman.web import asgi

serve.LAST_S = asgi.STOP_S = {DEADLINE_S}
"""
SERVE = f"{UNHURRIED}\nmain()"


async def serve(folder: Path, program: str = SERVE, **more: str) -> asyncio.subprocess.Process:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment_in(folder, **more)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "serve", cwd=folder, env=environment, stdout=PIPE, stderr=PIPE
    )
    _processes.append(process)
    return process


async def until_told(process: asyncio.subprocess.Process, event: bytes) -> bytes:
    """Wait until it logs an event; the line."""
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        while b'"%b"' % event not in (line := await process.stderr.readline()):
            assert line, "it ended before"
    return line


async def until_listening(process: asyncio.subprocess.Process) -> int:
    """Wait until it listens; the port."""
    return int(json.loads(await until_told(process, b"listening"))["url"].rpartition(":")[2])


async def begin_delivery(port: int) -> asyncio.StreamWriter:
    """Send half a delivery, and wait until it is being read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /webhooks/linear HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        assert b" 100 " in await reader.readline()
    writer.write(b"half")
    await writer.drain()
    return writer


@pytest.mark.parametrize("number", [signal.SIGTERM, deep(signal.SIGINT)])
async def test_a_signal_ends_the_command_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process = await serve(tmp_path)
    await until_listening(process)
    process.send_signal(number)
    _, told = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0
    assert b'"service.stopped"' in told
    assert b"Traceback" not in told
    assert serve_module.LAST_S < 10.0  # what does not end in order is gone by then


FEW_FILES = f"""
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
{SERVE}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of a process in /proc")
async def test_it_allows_itself_more_open_files_than_a_shell_gives_it(tmp_path: Path) -> None:
    process = await serve(tmp_path, FEW_FILES)
    await until_listening(process)
    limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="utf-8")
    [soft, hard] = re.findall(r"Max open files +(\S+) +(\S+)", limits)[0]
    assert int(soft) == min(int(hard), serve_module.FILES_MOST) > 256


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = await serve(tmp_path)
    writer = await begin_delivery(await until_listening(process))
    process.send_signal(signal.SIGTERM)  # the first waits for what is being answered
    await until_told(process, b"stopping")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), DEADLINE_S) == EX_BROKEN
    assert process.stderr is not None
    assert b'"service.stopped"' not in await process.stderr.read()
    writer.close()


HANGS_S = 2 * DEADLINE_S
HANGING = f"""{UNHURRIED}
serve.LAST_S, asgi.STOP_S = 15.0, 2.0
import asyncio, time
from dragoman.runtime.service import Service

async def hang(self, claimed):
    print("hangs", flush=True)
    await asyncio.to_thread(time.sleep, {HANGS_S})

Service._show = hang
main()
"""


@pytest.mark.deep
async def test_a_signal_ends_the_command_in_time_though_what_is_under_way_hangs(
    make: MakeService, tmp_path: Path
) -> None:
    before = make()
    await before.start()
    await before.engine.receive(SessionId("s"), ORGANIZATION, SessionOpened(issue=an_issue(), prompt=a_prompt()))
    await before.stop()
    process = await serve(tmp_path, HANGING)
    port = await until_listening(process)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), DEADLINE_S) == b"hangs\n"
    writer = await begin_delivery(port)
    process.send_signal(signal.SIGTERM)
    _, told = await asyncio.wait_for(process.communicate(), DEADLINE_S)  # half of HANGS_S
    assert b'"service.stopped"' in told  # the ledger was closed in order
    writer.close()


async def test_a_web_server_that_ends_by_itself_ends_the_command_so_that_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[HttpServer] = []
    start = HttpServer.start

    async def started_(self: HttpServer) -> None:
        await start(self)
        started.append(self)

    monkeypatch.setattr(HttpServer, "start", started_)
    monkeypatch.setattr(serve_module, "_spare_the_collector", lambda: None)  # this process goes on
    serving = asyncio.create_task(serve_module.serve(config.load(environment_in(tmp_path), folder=tmp_path)))
    await until(lambda: started)
    assert started[0]._server is not None
    started[0]._server.stop()  # type: ignore[no-untyped-call]  # granian's is untyped
    assert await asyncio.wait_for(serving, DEADLINE_S) == EX_BROKEN
    assert "The web server ended by itself" in capsys.readouterr().err


async def test_a_taken_port_ends_the_command_with_a_word(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await serve(tmp_path, PORT=str(taken.getsockname()[1]))
        _, told = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == EX_CONFIG
    assert b"cannot listen on 127.0.0.1:" in told


@pytest.mark.parametrize("port", ["0", "3000"])
async def test_an_address_of_another_machine_ends_the_command_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    environment = environment_in(tmp_path, HOST="192.0.2.1", PORT=port)
    code = await serve_module.serve(config.load(environment, folder=tmp_path))
    assert code == EX_CONFIG
    assert f"cannot listen on 192.0.2.1:{port}: " in capsys.readouterr().err


@pytest.mark.deep
async def test_a_second_command_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = await serve(tmp_path)
    await until_listening(first)
    second = await serve(tmp_path)
    _, told = await asyncio.wait_for(second.communicate(), DEADLINE_S)
    assert second.returncode == EX_CONFIG
    assert f"Another dragoman (pid {first.pid})".encode() in told
    first.terminate()
    await asyncio.wait_for(first.communicate(), DEADLINE_S)
    assert EX_BROKEN not in {first.returncode, second.returncode}


@pytest.mark.deep
async def test_a_hangup_signal_reads_the_settings_of_a_running_service_again(tmp_path: Path) -> None:
    process = await serve(tmp_path)
    port = await until_listening(process)
    (tmp_path / ".env").write_text("MAX_CONCURRENT_SESSIONS=7\nLOG_LEVEL=error\nPORT=1\n")
    process.send_signal(signal.SIGHUP)
    async with ClientSession(timeout=ClientTimeout(DEADLINE_S)) as client:

        async def changed() -> bool:
            async with client.get(f"http://127.0.0.1:{port}/health") as answer:
                return bool((await answer.json())["config"]["max_concurrent_sessions"] == 7)

        await until(changed)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0
