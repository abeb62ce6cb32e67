"""The service as another person's script runs it: a process of its own, told everything by the documented environment.

Around it a pretend Linear with a scripted model, and a real git repository to work on. What the tests assert they see
from outside: what Linear shows, what lies on disk, which processes run, what the log and the pages say.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from dragoman.opencode import adopt
from dragoman.ports import free_port
from dragoman.sim.records import Activity, AgentSession
from dragoman.sim.sample import make_sample
from dragoman.sim.server import Simulator

T = TypeVar("T")

PROGRAM = Path(sys.executable).with_name("dragoman")
FINALS = ("response", "error")
START_S = 60.0
BECOMES_S = 60.0  # on a machine that is busy with something else
LOOK_EVERY_S = 0.03
_KEPT = ("PATH", "LANG", "DRAGOMAN_SANDBOX")


class LiveService:
    """One data folder with its configuration, and the process that serves it, which may be killed and started again.

    linear    webhooks go to the service; its model is the only provider
    opencode  what goes into OPENCODE_CONFIG beside the provider
    settings  more environment, or "" to leave out what is there by default
    """

    def __init__(
        self,
        folder: Path,
        linear: Simulator,
        binary: Path,
        *,
        opencode: Mapping[str, object] | None = None,
        settings: Mapping[str, str] | None = None,
        toml: str = "",
    ) -> None:
        self.folder = folder
        self.linear = linear
        self.data = folder / "data"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.repository = make_sample(folder / "sample")
        self.log = folder / "service.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._servers: list[adopt.ServerState] = []  # every OpenCode that was ever seen, so that all can be ended
        (folder / "opencode.json").write_text(json.dumps({**(opencode or {}), **provider(linear)}), "utf-8")
        (folder / "dragoman.toml").write_text(
            f'[[repositories]]\nname = "acme/sample"\nurl = {json.dumps(str(self.repository))}\ndefault = true\n\n'
            f'[opencode]\npass_env = ["OPENCODE_DISABLE_MODELS_FETCH"]\n{toml}',
            "utf-8",
        )
        (folder / "dragoman.toml").chmod(0o600)
        chosen = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "HOME": str(self.home),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "LINEAR_API_URL": linear.url,
            "LINEAR_ACCESS_TOKEN": linear.access_token,
            "LINEAR_WEBHOOK_SECRET": linear.secret,
            "OPENCODE_BIN": str(binary),
            "OPENCODE_CONFIG": str(folder / "opencode.json"),
            "OPENCODE_MODEL": "scripted/story",
            "SESSION_STORAGE_URL": f"sqlite:///{folder}/ledger/dragoman.db",
            "DRAGOMAN_CONFIG": str(folder / "dragoman.toml"),
            "DRAGOMAN_DATA_DIR": str(self.data),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LOG_LEVEL": "debug",
            **(settings or {}),
        }
        (folder / "ledger").mkdir(mode=0o700)
        self.environment = {name: value for name, value in chosen.items() if value}
        linear.set_webhook_url(f"{self.url}/webhooks/linear")

    # ── its life ─────────────────────────────────────────────────────────
    async def start(self, *, ready: bool = True) -> None:
        """Start it; `ready` waits for OpenCode too."""
        self.run()
        await self.becomes(self._listens, START_S)
        for delivery in self.linear.hooks.deliveries:
            if delivery.state in ("waiting", "failed"):  # Linear's own retry may be half a minute away
                self.linear.hooks.resend(delivery)
        if ready:
            await self.becomes(self._has_opencode, START_S)

    def run(self) -> None:
        """Start it, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(PROGRAM), "serve"],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def terminate(self, within_s: float = BECOMES_S) -> float:
        """SIGTERM, and wait for its end; how long that took. Raises AssertionError when it takes longer."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        process = self.process
        await becomes(lambda: process.poll() is not None, within_s)
        assert process.returncode == 0, self.last_words()
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        assert self.process is not None
        self.server()
        self.process.kill()
        self.process.wait(BECOMES_S)

    def server(self) -> adopt.ServerState | None:
        """The OpenCode that is written down now."""
        state = adopt.read_state(self.data / "opencode" / "server.json")
        if state is not None and state not in self._servers:
            self._servers.append(state)
        return state

    def kill_opencode(self, *, holder: bool = False) -> adopt.ServerState:
        """SIGKILL to the binary itself, or to the process that holds it in its sandbox."""
        state = self.server()
        assert state is not None
        victims = [state.pid] if holder else [pid for pid in adopt.family(state) if _is_opencode(pid)]
        assert len(victims) == 1, f"{len(victims)} processes are OpenCode"
        assert adopt.is_alive(state), "OpenCode is not up"
        os.kill(victims[0], signal.SIGKILL)
        return state

    def left(self) -> dict[int, list[str]]:
        """Processes that live and belong to any OpenCode of this folder, with their command lines."""
        self.server()
        return {pid: command_line(pid) for state in self._servers for pid in adopt.family(state)}

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        self.server()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(BECOMES_S)
        self.server()
        for state in self._servers:
            await adopt.end_family(state, 3.0)

    # ── looking at it ────────────────────────────────────────────────────
    async def get(self, path: str) -> Any:
        """What a page says, decoded. Raises aiohttp.ClientError."""
        timeout = aiohttp.ClientTimeout(total=BECOMES_S)
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(self.url + path) as answer:
            return await answer.json()

    async def becomes(self, true: Callable[[], Any], deadline_s: float = BECOMES_S) -> Any:
        """Wait until `true()`, or the awaitable it gives, says something true, and return that."""
        until = time.monotonic() + deadline_s
        while True:
            found = true()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            assert self.process is None or self.process.poll() is None, f"it ended by itself: {self.last_words()}"
            assert time.monotonic() < until, f"it did not become so in time: {self.last_words()}"
            await asyncio.sleep(LOOK_EVERY_S)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind, oldest first."""
        return [line for line in map(_decoded, self.log.read_text("utf-8").splitlines()) if line.get("event") == event]

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text("utf-8", "replace")[-3_000:]

    async def _listens(self) -> bool:
        return await self._page("/healthz") is not None

    async def _has_opencode(self) -> bool:
        page = await self._page("/readyz")
        return bool(page and page.get("opencode") == "up" and page.get("linear") == "known")

    async def _page(self, path: str) -> dict[str, Any] | None:
        try:
            timeout = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession(timeout=timeout) as client, client.get(self.url + path) as answer:
                return _decoded(await answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None

    # ── what people do and see ───────────────────────────────────────────
    def ask(self, text: str, title: str = "Something to do") -> AgentSession:
        """Mention the agent on a new issue, in words that make it a session."""
        return self.linear.people.mention(self.linear.people.create_issue(title).id, f"fix it: {text}")

    async def shows(
        self, session: AgentSession, kind: str, text: str = "", *, count: int = 1, timeout_s: float = 60.0
    ) -> Activity:
        """Wait until so many activities of that kind that hold `text` were posted, and return the last of them."""

        def found(_: object) -> Activity | None:
            fitting = [row for row in self.rows(session, kind) if text in "\n".join(row.content.values())]
            return fitting[count - 1] if len(fitting) >= count else None

        try:
            return await self.linear.wait_for(found, timeout_s)
        except TimeoutError:
            shown = "\n".join(f"  {row.kind}: {row.content}"[:300] for row in self.rows(session))
            raise AssertionError(f"no {kind} {text!r} ×{count}; shown:\n{shown}\n{self.last_words()}") from None

    async def ends(self, session: AgentSession, *, turns: int = 1, timeout_s: float = 60.0) -> Activity:
        """Wait for the final activity of the session's turn of that number; there must be no more of them."""

        def found(_: object) -> list[Activity] | None:
            finals = self.finals(session)
            return finals if len(finals) >= turns else None

        try:
            finals = await self.linear.wait_for(found, timeout_s)
        except TimeoutError:
            shown = "\n".join(f"  {row.kind}: {row.content}"[:300] for row in self.rows(session))
            raise AssertionError(f"no final activity; shown:\n{shown}\n{self.last_words()}") from None
        assert len(finals) == turns, [row.content for row in finals]
        return finals[-1]

    def rows(self, session: AgentSession, kind: str = "") -> list[Activity]:
        """Everything that was ever shown in the session, vanished or not, oldest first."""
        rows = self.linear.world.activities(session.id, vanished=True)
        return [row for row in rows if kind in ("", row.kind)]

    def finals(self, session: AgentSession) -> list[Activity]:
        """The final activities of the session."""
        return [row for row in self.rows(session) if row.kind in FINALS]

    def workspace(self, session: AgentSession) -> Path:
        """The folder the agent works in."""
        branch = self.linear.world.issue(session.issue or "").branch_name
        for folder in (self.data / "workspaces").glob("*/*/.git"):
            if git(folder.parent, "branch", "--show-current") == branch:
                return folder.parent
        raise AssertionError(f"no workspace on {branch}")


async def becomes(true: Callable[[], T], deadline_s: float = BECOMES_S) -> T:
    """Wait until `true()` says something true, and return that."""
    until = time.monotonic() + deadline_s
    while not (found := true()):
        assert time.monotonic() < until, "it did not become so in time"
        await asyncio.sleep(LOOK_EVERY_S)
    return found


def provider(linear: Simulator, key: str = "none-needed") -> dict[str, object]:
    """OpenCode's configuration of the scripted model."""
    made = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted model",
        "options": {"baseURL": linear.model_url, "apiKey": key},
        "models": {
            "story": {
                "name": "Story",
                "limit": {"context": 200_000, "output": 8_000},
                "attachment": True,
                "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
            }
        },
    }
    return {"provider": {"scripted": made}}


def git(folder: Path, *args: str) -> str:
    """What git says."""
    safe = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-C", str(folder), *args]
    return subprocess.run(safe, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def command_line(pid: int) -> list[str]:
    """The words of a process; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _is_opencode(pid: int) -> bool:
    words = command_line(pid)
    return bool(words) and words[0].endswith("opencode") and "serve" in words


def running(words: str) -> list[int]:
    """Processes whose command line is exactly this; the shells that only quote it are none."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if " ".join(command_line(pid)) == words]


def _decoded(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"text": line}
    return found if isinstance(found, dict) else {"text": line}
