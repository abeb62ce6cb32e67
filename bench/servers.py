"""The processes that are measured: the service itself, the C servers, and a route that only verifies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp
import msgspec

from bench import native
from bench.machine import pinned
from dragoman.ports import free_port

START_S = 30.0
STOP_S = 12.0
ORGANIZATION = "9a5c2f0e-2222-4b4b-9e3b-6d6a7a1f0a02"  # as in delivery.json
APP_USER = "c1a1d6d2-1111-4f6a-9b36-9b2f4d9b0f01"
WEBHOOK = "/webhooks/linear"

OPENCODE_S = 60.0
# No run gets as far as cloning it: OpenCode is down.
UNREACHABLE = '[[repositories]]\nname = "acme/shop"\nurl = "https://git.invalid/acme/shop.git"\ndefault = true\n'

# One answer to everything that we ask and write: whoever asks takes the part that is for him.
LINEAR_ANSWER: Mapping[str, object] = {
    "data": {
        "viewer": {
            "id": APP_USER,
            "name": "OpenCode",
            "displayName": "opencode",
            "url": "https://linear.example/acme/profiles/opencode",
            "organization": {"id": ORGANIZATION, "urlKey": "acme"},
        },
        "issue": {
            "id": "30000000-0000-4000-8000-000000000000",
            "identifier": "ENG-1423",
            "title": "Duplicate OpenCode sessions on webhook retry",
            "url": "https://linear.example/acme/issue/ENG-1423",
            "description": "A retry starts a second session.",
            "branchName": "ada/eng-1423-duplicate-opencode-sessions",
            "team": {"id": "5d0b6b8e-9e42-4f1b-8b59-3d2e8a2f8f11", "key": "ENG"},
            "state": {"id": "state-1", "type": "unstarted"},
            "delegate": None,
        },
        "team": {"states": {"nodes": [{"id": "state-2", "type": "started", "position": 1.0}]}},
        "agentActivityCreate": {"success": True},
        "agentSessionUpdate": {"success": True},
        "issueUpdate": {"success": True},
    }
}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk that the ledger would be on; BENCH_DIR names another place than the default."""
    with tempfile.TemporaryDirectory(
        prefix="dragoman-bench-", dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True
    ) as path:
        yield Path(path)


class Process:
    """A process that listens on `port`. `started_s` = from its start to its first accepted connection."""

    def __init__(
        self, argv: Sequence[str], port: int, *, env: Mapping[str, str] | None = None, log: Path | None = None
    ):
        self.port = port
        began = time.monotonic()
        output = log.open("ab") if log else subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(argv, env=env, stdout=output, stderr=output, start_new_session=True)
        finally:
            if not isinstance(output, int):
                output.close()
        self.pid = self._process.pid
        while not _listens(port):
            if self._process.poll() is not None or time.monotonic() - began > START_S:
                self.end()
                told = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log else ""
                raise RuntimeError(f"{argv[-1]} did not begin to listen. {told}")
            time.sleep(0.002)
        self.started_s = time.monotonic() - began

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end; SIGKILL when it takes too long."""
        if self._process.poll() is None:
            os.kill(self.pid, number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextlib.contextmanager
def limit_server(data: Path) -> Iterator[Process]:
    """The C server that appends and syncs per batch."""
    port = free_port()
    argv = [str(native.program("server")), str(port), "durable", str(data / "limit.log"), native.SECRET]
    process = Process(pinned(argv, "server"), port)
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def canned_linear(data: Path) -> Iterator[Process]:
    """A Linear that says yes to everything at once, on the core of the load."""
    answer = data / "linear.json"
    answer.write_bytes(msgspec.json.encode(LINEAR_ANSWER))
    port = free_port()
    argv = [str(native.program("server")), str(port), "canned", str(answer)]
    process = Process(pinned(argv, "load"), port)
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def verify_only() -> Iterator[Process]:
    """Our HTTP server and `open_delivery`, and nothing behind them."""
    port = free_port()
    process = Process(pinned([sys.executable, "-m", "bench.verify_only", str(port), native.SECRET], "server"), port)
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def service(
    data: Path, linear_url: str, *, more: Mapping[str, str] | None = None, toml: str = UNREACHABLE
) -> Iterator[Process]:
    """`dragoman serve` as an operator runs it. Killed at the end, as by a power cut: see `stored`.

    more  environment beside or instead of the defaults here (OpenCode: attached, and down)
    toml  the configuration file
    """
    port = free_port()
    file = data / "dragoman.toml"
    file.write_text(toml, encoding="utf-8")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "LINEAR_API_URL": linear_url,
        "LINEAR_ACCESS_TOKEN": "lin_bench_token",
        "LINEAR_WEBHOOK_SECRET": native.SECRET,
        "OPENCODE_SESSION_API_URL": f"http://127.0.0.1:{free_port()}",
        "DRAGOMAN_CONFIG": str(file),
        "DRAGOMAN_DATA_DIR": str(data / "data"),
        "SESSION_MAX_PER_USER_MINUTE": "0",  # what is measured comes from one person
        "SESSION_MAX_PER_ORGANIZATION_MINUTE": "0",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **(more or {}),
    }
    environment = {name: value for name, value in environment.items() if value}
    # The program beside this Python, as an operator would start it.
    argv = [str(Path(sys.executable).with_name("dragoman")), "serve"]
    process = Process(pinned(argv, "server"), port, env=environment, log=data / "service.log")
    try:
        yield process
    finally:
        process.end()


async def until_up(process: Process) -> None:
    """Wait until the service has its OpenCode and knows who it is in Linear."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(OPENCODE_S):
        while True:
            async with http.get(f"http://127.0.0.1:{process.port}/readyz") as reply:
                ready: Mapping[str, object] = msgspec.json.decode(await reply.read())
            if ready.get("opencode") == "up" and ready.get("linear") == "known":
                return
            await asyncio.sleep(0.1)


def stored(data: Path) -> int:
    """How many deliveries the ledger of an ended service holds as accepted."""
    connection = sqlite3.connect(data / "data" / "dragoman.db")
    try:
        row = connection.execute("SELECT count(*) FROM deliveries WHERE verdict = 'accepted'").fetchone()
        sessions = connection.execute("SELECT count(*) FROM sessions").fetchone()
        return min(int(row[0]), int(sessions[0]))
    finally:
        connection.close()


def performed(data: Path) -> int:
    """How many effects the ended service had performed."""
    connection = sqlite3.connect(data / "data" / "dragoman.db")
    try:
        return int(connection.execute("SELECT count(*) FROM effects WHERE done_at IS NOT NULL").fetchone()[0])
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
