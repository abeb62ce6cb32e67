"""The managed server: an OpenCode of our own, started, adopted, tended and ended here.

It has a process group of its own and outlives us: a later process of the same data folder adopts it, so that a restart
of the service cuts no run. Its output goes to a file for the same reason; a pipe would break when we go.

Nothing is asked of it before it has said that it listens: a connection that it accepts earlier is never answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from dragoman import logs
from dragoman.errors import OpenCodeDown, OpenCodeError, Refusal
from dragoman.opencode import adopt, sandbox, wiping
from dragoman.opencode.client import OpenCode
from dragoman.opencode.settings import INSTANCE_VARIABLE, configuration, enforced, environment
from dragoman.ports import free_port

log = logs.get("opencode.server")

START_DEADLINE_S: Final = 60.0
STOP_GRACE_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.5
_ASK_EVERY_S: Final = 10.0
_SILENT_S: Final = 60.0  # alive, but has answered nothing for so long: it is started anew
_FIRST_BACKOFF_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 30.0
_READY: Final = re.compile(rb"opencode server listening on http://[^:\s]+:(\d+)")
_IDENTITY: Final = ("OpenCode agent", "agent@dragoman.invalid")


# Servers that this process started. They may outlive the object that tends them, and are reaped when they end.
_children: list[subprocess.Popen[bytes]] = []


class Endpoint(Struct, frozen=True):
    """Where a server is and how to speak to it. `sandboxed`: whether the agent is held in."""

    url: str
    password: str
    sandboxed: bool
    adopted: bool = False


class ManagedServer:
    """OpenCode under our care.

    binary          the `opencode` executable
    data_dir        our data folder, hidden from the agent; OpenCode's own files lie in `data_dir/opencode`
    workspaces_dir  where the agents work
    config          the operator's OPENCODE_CONFIG, decoded
    model           "provider/model" that is configured, if any
    pass_on         names of further variables of our environment that it gets (a provider's key)
    hidden          more files and folders that the agent must not see
    sandboxing      "auto" uses bubblewrap where it works, "off" never does
    port            0 takes a free one; it is kept over restarts where possible
    """

    def __init__(
        self,
        binary: Path,
        data_dir: Path,
        workspaces_dir: Path,
        *,
        config: Mapping[str, object] | None = None,
        model: str | None = None,
        pass_on: Iterable[str] = (),
        hidden: Iterable[Path] = (),
        sandboxing: Literal["auto", "off"] = "auto",
        identity: tuple[str, str] = _IDENTITY,
        port: int = 0,
    ) -> None:
        self._binary = binary.resolve()
        self._root = data_dir.resolve() / "opencode"
        self._rooms = sandbox.Rooms(
            workspaces=workspaces_dir.resolve(),
            home=self._root / "home",
            settings=self._root / "settings",
            needed=(self._binary.parent,),
            hidden=(data_dir.resolve(), *(path.resolve() for path in hidden)),
        )
        self._operator = dict(config or {})
        self._model = model
        self._pass_on = tuple(pass_on)
        self._sandboxing = sandboxing
        self._identity = identity
        self._port = port
        self._state: adopt.ServerState | None = None
        self.sandbox_missing = ""  # why there is none, for the log and /readyz; "" = the agent is held in

    # ── life ─────────────────────────────────────────────────────────────
    async def ensure(self) -> Endpoint:
        """Adopt the server of this data folder if it runs and is fit, else start one.

        Raises  Refusal when it cannot be started or another process holds the folder
        """
        self._make_folders()
        async with adopt.exclusive(self._root / "lock"):
            sandboxed = await self._sandboxed()
            state = adopt.read_state(self._state_file)
            settings = self._digest(sandboxed)
            if state is not None:
                if adopt.is_alive(state) and state.port and state.settings == settings and await self._fit(state):
                    self._state = state
                    log.info("opencode.adopted", pid=state.pid, port=state.port)
                    return self._endpoint(state, sandboxed, adopted=True)
                await adopt.end_family(state, STOP_GRACE_S)
            state = await self._start(state, settings, sandboxed)
            self._state = state
        await self._warm_up(state)
        return self._endpoint(state, sandboxed)

    start = ensure

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the server and everything that it started: asked first, killed after `grace_s`."""
        async with adopt.exclusive(self._root / "lock"):
            state = adopt.read_state(self._state_file)
            if state is not None:
                if not await adopt.end_family(state, grace_s):
                    log.error("opencode.immortal", pid=state.pid, left=sorted(adopt.family(state)))
                self._state_file.unlink(missing_ok=True)
            self._state = None
            _reap()
        log.info("opencode.stopped")

    async def watch(self, told: Callable[[Endpoint | None], Awaitable[None]]) -> None:
        """Tend the server until cancelled: start it anew when it died or fell silent.

        told  is called with None when it is lost and with the endpoint when it is back
        """
        endpoint: Endpoint | None
        heard_at = asked_at = time.monotonic()
        backoff_s = _FIRST_BACKOFF_S
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            _reap()
            state = self._state
            if state is not None and adopt.is_alive(state):
                now = time.monotonic()
                if now - asked_at < _ASK_EVERY_S:
                    continue
                asked_at = now
                if await self._fit(state, tries=1):
                    heard_at = time.monotonic()
                    backoff_s = _FIRST_BACKOFF_S
                    continue
                if time.monotonic() - heard_at < _SILENT_S:
                    continue
            log.warning("opencode.lost", pid=state.pid if state else 0)
            self._state, endpoint = None, None
            await told(None)
            while endpoint is None:
                try:
                    endpoint = await self._replace()
                except (Refusal, OpenCodeError, OSError) as error:
                    log.error("opencode.unstartable", error=str(error), again_in_s=backoff_s)
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
            await told(endpoint)
            heard_at = asked_at = time.monotonic()
            await asyncio.sleep(backoff_s)  # one that dies at once does not keep us busy
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    async def recycle(self) -> Endpoint:
        """End the server and start it anew, for its memory; only when nothing runs."""
        await self.stop()
        return await self.ensure()

    def rss_bytes(self) -> int:
        """Resident memory of the server and all that it started; 0 when it does not run."""
        return adopt.memory_of(self._state) if self._state is not None else 0

    def drop_outputs(self, files: Iterable[str]) -> None:
        """Remove files of tool outputs, by their names. Blocks."""
        wiping.drop_outputs(self._rooms.home, files)

    def wipe(self) -> str:
        """Remove what is left on disk of deleted threads; see `wiping.wipe`. Blocks."""
        return wiping.wipe(self._rooms.home)

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._state is not None and adopt.is_alive(self._state)

    # ── starting ─────────────────────────────────────────────────────────
    async def _replace(self) -> Endpoint:
        """End what is left of a dead or silent server, then ensure one."""
        async with adopt.exclusive(self._root / "lock"):
            state = adopt.read_state(self._state_file)
            if state is not None and not (adopt.is_alive(state) and await self._fit(state)):
                await adopt.end_family(state, STOP_GRACE_S)
        return await self.ensure()

    async def _start(self, before: adopt.ServerState | None, settings: str, sandboxed: bool) -> adopt.ServerState:
        # Port and password stay when it is started anew: whoever knows them goes on.
        password = before.password if before is not None else secrets.token_urlsafe(32)
        kept = before.port if before is not None and not self._port else self._port
        problem = ""
        for port in (kept or free_port(), self._port or free_port()):
            instance = secrets.token_hex(8)
            logs.keep_secret([password])
            state = adopt.ServerState(0, 0, 0, password, instance, settings)
            adopt.write_state(self._state_file, state)  # first: whatever happens next, its family can be found
            process = self._spawn(state, port, sandboxed)
            state = msgspec.structs.replace(state, pid=process.pid, started=adopt.started_at(process.pid) or 0)
            adopt.write_state(self._state_file, state)
            listening = await self._listening(process)
            if listening is not None:
                state = msgspec.structs.replace(state, port=listening)
                adopt.write_state(self._state_file, state)
                if await self._fit(state):
                    log.info("opencode.started", pid=state.pid, port=state.port, sandboxed=sandboxed)
                    return state
            problem = self._last_words()
            await adopt.end_family(state, STOP_GRACE_S)
            _reap()
        raise Refusal(f"OpenCode did not start ({self._binary}): {problem}")

    def _spawn(self, state: adopt.ServerState, port: int, sandboxed: bool) -> subprocess.Popen[bytes]:
        shell, config = self._rooms.settings / "sh", self._rooms.settings / "opencode.json"
        path = sandbox.command_path()
        bwrap = sandbox.found() if sandboxed else None
        if bwrap is not None:
            script = sandbox.shell_script(bwrap, self._rooms, self._identity, path)
        else:
            script = sandbox.plain_shell_script(self._identity, path, (INSTANCE_VARIABLE, state.instance))
        adopt.private_file(shell, script.encode(), 0o755)
        settings = configuration(
            model=self._model, sandboxed=sandboxed, workspaces=self._rooms.workspaces, operator=self._operator
        )
        adopt.private_file(config, msgspec.json.encode(settings))
        command = [str(self._binary), "serve", "--hostname", "127.0.0.1", "--port", str(port)]
        with self._output.open("wb") as output:
            self._output.chmod(0o600)
            process = subprocess.Popen(
                sandbox.outer(bwrap, self._rooms, command) if bwrap is not None else command,
                env=environment(
                    home=self._rooms.home,
                    config=config,
                    fixed=enforced(model=self._model, shell=shell, operator=self._operator),
                    shell=shell,
                    path=path,
                    password=state.password,
                    instance=state.instance,
                    pass_on=self._pass_on,
                ),
                cwd=self._rooms.workspaces,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children.append(process)
        return process

    async def _listening(self, process: subprocess.Popen[bytes]) -> int | None:
        """The port on which it says that it listens; None when it ended or the deadline passed without."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            said = _READY.search(self._output.read_bytes())
            if said is not None:
                return int(said[1])
            if process.poll() is not None:
                return None
            await asyncio.sleep(0.05)
        return None

    async def _fit(self, state: adopt.ServerState, tries: int = 3) -> bool:
        client = OpenCode(_url(state), state.password)  # a connection of its own, made after it listens
        try:
            for attempt in range(tries):
                try:
                    await client.health(5.0)
                    return True
                except OpenCodeDown:
                    if attempt + 1 < tries:
                        await asyncio.sleep(0.2)
                except OpenCodeError as error:
                    log.warning("opencode.unfit", error=str(error))
                    return False
            return False
        finally:
            await client.close()

    async def _warm_up(self, state: adopt.ServerState) -> None:
        """Have it load its providers now: the first prompt of a fresh process is seconds slower than the rest."""
        client = OpenCode(_url(state), state.password)
        try:
            folder = str(self._rooms.home / "warm")
            await client.providers(folder)
            await client.dispose(folder)
        except OpenCodeError as error:
            log.warning("opencode.cold", error=str(error))
        finally:
            await client.close()

    # ── odds and ends ────────────────────────────────────────────────────
    @property
    def _state_file(self) -> Path:
        return self._root / "server.json"

    @property
    def _output(self) -> Path:
        return self._root / "server.out"

    def _make_folders(self) -> None:
        for folder in (self._root, self._rooms.home, self._rooms.settings, self._rooms.home / "warm"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rooms.workspaces.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def _sandboxed(self) -> bool:
        if self._sandboxing == "off":
            self.sandbox_missing = "switched off"
            return False
        works, self.sandbox_missing = await sandbox.sandbox_available()
        return works

    def _digest(self, sandboxed: bool) -> str:
        passed = {name: os.environ.get(name) for name in self._pass_on}
        told = [str(self._binary), self._binary.stat().st_mtime_ns, self._operator, self._model, sandboxed, passed]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()

    def _last_words(self) -> str:
        lines = self._output.read_bytes()[-2_000:].decode("utf-8", "replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"

    def _endpoint(self, state: adopt.ServerState, sandboxed: bool, *, adopted: bool = False) -> Endpoint:
        logs.keep_secret([state.password])
        return Endpoint(url=_url(state), password=state.password, sandboxed=sandboxed, adopted=adopted)


def _reap() -> None:
    _children[:] = [process for process in _children if process.poll() is None]


def _url(state: adopt.ServerState) -> str:
    return f"http://127.0.0.1:{state.port}"
