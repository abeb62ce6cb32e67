"""Repositories: from the webhook to an agent at work in a large one, and what a hundred workspaces occupy.

The service runs as an operator starts it and tends a real OpenCode (OPENCODE_BIN, or `opencode` on PATH); Linear and the
model are the simulator in this process. *At work* is the moment when the model hears the first request of the agent:
the issue was read, the repository fetched, the workspace made, and OpenCode has accepted the prompt and begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.figures import median, table
from bench.machine import descendants, resident_mb
from bench.servers import Process, folder, service, until_up
from dragoman.sim.script import Pause, Say
from dragoman.sim.server import Simulator

LARGE_MB = 1024
LARGE_COMMITS = 8  # each replaces all files, so what is checked out is an eighth
LARGE_FILES = 32
WARM = 3  # sessions in the large repository once our copy of it is there
WORKSPACES = 100
LIVE = 8  # agents at work at a time
MODERATE_FILES = 1_500
MODERATE_BYTES = 4_000  # a file
MODERATE_COMMITS = 20
REST_S = 10.0  # instances are let go, and what was used is given back
PATIENCE_S = 600.0  # for an agent to be at work
GIT_S = 300.0
_MODEL = "scripted/story"
_MB = 1e6


@dataclass
class Stage:
    """A service at work in one repository."""

    data: Path
    linear: Simulator
    process: Process

    def mention(self, title: str, words: str) -> str:
        """Ask for work on an issue of its own; the session."""
        issue = self.linear.people.create_issue(title)
        return self.linear.people.mention(issue.identifier, f"@OpenCode {words}").id

    def opencode_mb(self) -> float:
        """Memory of OpenCode, its sandbox and all that it started."""
        found = 0.0
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError, IndexError):
                found += resident_mb(pid)
        return found

    async def until_working(self, count: int) -> None:
        """Wait until so many agents have asked the model."""
        await _until(lambda: sum(not heard.utility for heard in self.linear.model.requests) >= count)

    async def until_final(self, sessions: list[str]) -> None:
        """Wait for the answer of each."""
        await _until(lambda: all(map(self._is_answered, sessions)))

    def _is_answered(self, session: str) -> bool:
        return any(one.kind in {"response", "error"} for one in self.linear.world.activities(session))

    def failed(self, sessions: list[str]) -> int:
        """How many of them ended with an error."""
        return sum(any(one.kind == "error" for one in self.linear.world.activities(one_of)) for one_of in sessions)


def measure_large() -> str:
    """One table."""
    return _measured(_large)


def measure_many() -> str:
    """One table."""
    return _measured(_many)


def _measured(what: Callable[[Path, str], Coroutine[object, object, str]]) -> str:
    binary = os.environ.get("OPENCODE_BIN") or shutil.which("opencode")
    if binary is None:
        return "\n### Repositories\n\nNot measured: there is no OpenCode. Set OPENCODE_BIN."
    with folder() as place:
        return uvloop.run(what(place, binary))


# ── a large repository ───────────────────────────────────────────────────
async def _large(place: Path, binary: str) -> str:
    size = LARGE_MB * 1024 * 1024 // (LARGE_COMMITS * LARGE_FILES)
    upstream = await asyncio.to_thread(make_repository, place / "upstream.git", _incompressible(size), LARGE_COMMITS)
    async with _serving(place, upstream, binary, runs=10) as stage:
        took = []
        for number in range(1 + WARM):
            words = f"please fix number {number}."
            began = time.monotonic()
            session = stage.mention(f"Issue {number}", words)
            await stage.linear.model.wait_for_request(words, timeout_s=PATIENCE_S)
            took.append(time.monotonic() - began)
            await stage.until_final([session])
        kept, spaces = disk_mb(stage.data / "repositories"), disk_mb(stage.data / "workspaces") / len(took)
    checked_out = LARGE_MB / LARGE_COMMITS
    rows = [
        ["our copy not there yet (cold), s", f"{took[0]:.1f}"],
        [f"our copy there (warm), s, median of {WARM}", f"{median(took[1:]):.1f}"],
        ["disk: our copy, MB", f"{kept:.0f}"],
        ["disk: a workspace, MB", f"{spaces:.0f}"],
    ]
    title = (
        f"From webhook to agent at work: {LARGE_MB} MiB that cannot be compressed, {checked_out:.0f} MiB checked out"
    )
    return table(title, ["", "measured"], rows)


# ── many workspaces ──────────────────────────────────────────────────────
async def _many(place: Path, binary: str) -> str:
    upstream = await asyncio.to_thread(make_repository, place / "upstream.git", _words(), MODERATE_COMMITS)
    async with _serving(place, upstream, binary, runs=LIVE, hold=True) as stage:
        before = resident_mb(stage.process.pid), stage.opencode_mb()
        began = time.monotonic()
        sessions = [stage.mention(f"Issue {number}", f"please fix number {number}.") for number in range(WORKSPACES)]
        await stage.until_working(LIVE)
        live = resident_mb(stage.process.pid), stage.opencode_mb()
        stage.linear.model.release("all")
        await stage.until_final(sessions)
        took = time.monotonic() - began
        await asyncio.sleep(REST_S)
        rest = resident_mb(stage.process.pid), stage.opencode_mb()
        kept, spaces = disk_mb(stage.data / "repositories"), disk_mb(stage.data / "workspaces")
        failed = stage.failed(sessions)
        standing = sum(1 for one in (stage.data / "workspaces").glob("*/*") if one.is_dir())
    rows = [
        ["workspaces; sessions that ended with an error", f"{standing}; {failed}"],
        [f"all answered, {LIVE} at a time, after, s", f"{took:.0f}"],
        ["disk: the remote, MB", f"{disk_mb(upstream):.1f}"],
        ["disk: our copy, MB", f"{kept:.1f}"],
        ["disk: a workspace, MB", f"{spaces / max(standing, 1):.1f}"],
        ["disk: all of it, MB", f"{kept + spaces:.0f}"],
        [
            f"memory of the service: before, {LIVE} live, at rest; MB",
            " / ".join(f"{one[0]:.0f}" for one in (before, live, rest)),
        ],
        [
            f"memory of OpenCode: before, {LIVE} live, at rest; MB",
            " / ".join(f"{one[1]:.0f}" for one in (before, live, rest)),
        ],
    ]
    title = f"{WORKSPACES} workspaces of {MODERATE_FILES} files of {MODERATE_BYTES / 1000:g} KB"
    return table(title, ["", "measured"], rows)


# ── what both need ───────────────────────────────────────────────────────
@contextlib.asynccontextmanager
async def _serving(place: Path, upstream: Path, binary: str, *, runs: int, hold: bool = False) -> AsyncIterator[Stage]:
    """hold  the model says nothing until "all" is released."""
    async with Simulator(requests_per_hour=10**9, points_per_hour=10**9) as linear:
        steps = (Pause(seconds=PATIENCE_S, until="all"), Say(text="Done.")) if hold else (Say(text="Done."),)
        linear.model.tell("bench", steps)
        linear.model.default = "bench"
        opencode = place / "opencode.json"
        opencode.write_text(json.dumps(_opencode(linear)), encoding="utf-8")
        managed = {
            "OPENCODE_SESSION_API_URL": "",
            "OPENCODE_BIN": binary,
            "OPENCODE_CONFIG": str(opencode),
            "OPENCODE_MODEL": _MODEL,
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "LINEAR_ACCESS_TOKEN": linear.access_token,
            "LINEAR_WEBHOOK_SECRET": linear.secret,
            "MAX_CONCURRENT_SESSIONS": str(runs),
        }
        url = json.dumps(str(upstream))
        toml = f'[[repositories]]\nname = "bench/repository"\nurl = {url}\n\n[opencode]\npass_env = ["OPENCODE_DISABLE_MODELS_FETCH"]\n'
        entering = service(place, linear.url, more=managed, toml=toml)
        process = await asyncio.to_thread(entering.__enter__)
        try:
            linear.set_webhook_url(f"http://127.0.0.1:{process.port}/webhooks/linear")
            await until_up(process)
            yield Stage(place / "data", linear, process)
        finally:
            left = descendants(process.pid)
            await asyncio.to_thread(entering.__exit__, None, None, None)
            for pid in left:
                # The service leaves OpenCode running on purpose.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110  it happens in other parts of this process
            await asyncio.sleep(0.05)


def _opencode(linear: Simulator) -> dict[str, object]:
    provider, _, name = _MODEL.partition("/")
    return {
        "provider": {
            provider: {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Scripted model",
                "options": {"baseURL": linear.model_url, "apiKey": "none-needed"},
                "models": {name: {"name": "Story", "limit": {"context": 200_000, "output": 8_000}}},
            }
        }
    }


def _incompressible(size: int) -> Iterator[Iterator[tuple[str, bytes]]]:
    while True:
        yield ((f"assets/{number}.bin", os.urandom(size)) for number in range(LARGE_FILES))


def _words() -> Iterator[Iterator[tuple[str, bytes]]]:
    """First all files, then a thirtieth of them anew."""
    chance = random.Random(4)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(4_000)]

    def text() -> bytes:
        return b" ".join(chance.choices(words, k=MODERATE_BYTES // 7))[:MODERATE_BYTES] + b"\n"

    numbers = range(MODERATE_FILES)
    while True:
        yield ((f"src/part{number % 40}/file{number}.txt", text()) for number in numbers)
        numbers = range(0, MODERATE_FILES, 30)


def make_repository(path: Path, contents: Iterator[Iterator[tuple[str, bytes]]], commits: int) -> Path:
    """A bare repository with so many commits on `main`, written by `git fast-import` without work on compression."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True, timeout=GIT_S)
    importing = subprocess.Popen(
        ["git", "-c", "core.compression=0", "fast-import", "--quiet", "--done"], cwd=path, stdin=subprocess.PIPE
    )
    assert importing.stdin is not None
    with importing.stdin as out:
        for number, files in zip(range(commits), contents, strict=False):
            words = f"Commit {number}".encode()
            out.write(
                b"commit refs/heads/main\ncommitter Bench <bench@example.org> %d +0000\n" % (1_700_000_000 + number)
            )
            out.write(b"data %d\n%s\n" % (len(words), words))
            for name, data in files:
                out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))
        out.write(b"done\n")
    if importing.wait(GIT_S) != 0:
        raise RuntimeError("git fast-import failed")
    return path


def disk_mb(path: Path) -> float:
    """What a folder occupies on the disk, in MB; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                found = Path(parent, name).lstat()
                seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values()) / _MB
