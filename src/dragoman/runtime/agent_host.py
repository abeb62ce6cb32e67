"""Where the OpenCode server is, and a client for it: one that we tend, or one that somebody else runs."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from dragoman import logs
from dragoman.errors import OpenCodeDown, OpenCodeError, Refusal
from dragoman.opencode.client import OpenCode
from dragoman.opencode.server import Endpoint, ManagedServer

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 15.0
LOOK_S = 10.0  # between two looks at a server of somebody else
FIRST_START_S = 15.0  # whoever asks for a server that is starting is told after this long that it is not up yet
_log = logs.get("agent_host")


class AgentHost(Protocol):
    """What the runtime needs of an OpenCode server."""

    async def client(self) -> OpenCode:
        """A client of the server that is up now; another object when it was restarted elsewhere.

        Raises  OpenCodeDown when it is not up (yet); OpenCodeError; Refusal when it must not be used
        """
        ...

    def away(self) -> str | None:
        """Why it cannot be used now; empty while nobody knows yet; None when asking it is of use."""
        ...

    @property
    def cause(self) -> str:
        """Why it is away, as OpenCodeError names causes."""
        ...

    def room(self) -> bool:
        """Whether memory allows one more run."""
        ...


class ForgetfulHost(AgentHost, Protocol):
    """One whose disk may be ours."""

    async def drop_outputs(self, files: Sequence[str]) -> None:
        """Remove files of tool outputs, by their names, where they are ours to remove."""
        ...

    async def wipe(self) -> str:
        """Remove what the server still keeps on disk of threads that were deleted.

        Returns  why not all of it could be removed now; empty when it could, or is not ours to remove
        """
        ...


class AttachedServer:
    """A server that somebody else runs, on the same disk: that is proved before the first run.

    workspaces_dir  our folder of workspaces, which the server must see under the same path
    """

    def __init__(self, url: str, password: str | None, workspaces_dir: Path) -> None:
        self._client = OpenCode(url, password)
        self._workspaces_dir = workspaces_dir
        self._proved = False
        self._why = "has not answered yet"
        self._error: OpenCodeError | None = None  # why it is away
        self._looked = False
        self.changed: Callable[[], None] = _nobody
        self._reaching = asyncio.Lock()
        self._not_before = 0.0

    @property
    def state(self) -> str:
        """ "up", or why it is not."""
        return self._why or "up"

    def away(self) -> str | None:
        """Why it cannot be used now; empty before the first look; None when it is there, or refuses whoever comes: then
        there is nothing to wait for, and `client` says so."""
        if self._error is not None and not self._error.retryable:
            return None
        return (self._why if self._looked else "") if self._why else None

    @property
    def cause(self) -> str:
        """Why it is away, as OpenCodeError names causes."""
        return self._error.cause if self._error is not None else "network"

    async def client(self) -> OpenCode:
        """The client; the first time after a proof. While it is away nobody but `run` knocks: thousands may wait."""
        if not self._proved:
            async with self._reaching:
                if not self._proved:
                    await self._first_contact()
        if self._why:
            raise self._away(f"OpenCode is {self._why}")
        return self._client

    async def _first_contact(self) -> None:
        if time.monotonic() < self._not_before:
            raise self._away(f"OpenCode {self._why}")
        try:
            await self._client.health()
            await self._prove_same_disk()
        except OpenCodeError as error:
            self._error = error
            self._not_before = time.monotonic() + FIRST_RETRY_S
            raise
        self._proved, self._why, self._error = True, "", None
        self.changed()

    def _away(self, words: str) -> OpenCodeError:
        """What whoever wants it is told meanwhile; a refused password is no reason to wait."""
        error = self._error
        if error is None or error.retryable:
            return OpenCodeDown(words, cause=self.cause)
        return OpenCodeError(words, retryable=False, cause=error.cause)

    async def run(self) -> None:
        """See that it shares our disk as soon as it answers, then look now and then whether it is there.

        Raises  Refusal when it works on another disk
        """
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await (self._client.health() if self._proved else self.client())
            except OpenCodeError as error:
                if not self._why or wait_s == FIRST_RETRY_S:
                    _log.warning("opencode.away", error=str(error))
                self._why, self._error, self._looked = f"away: {error}", error, True
                self.changed()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                if self._why:
                    _log.info("opencode.back")
                    self._why, self._error = "", None
                    self.changed()
                wait_s = FIRST_RETRY_S
                await asyncio.sleep(LOOK_S)

    def room(self) -> bool:
        """Its memory is somebody else's business."""
        return True

    async def drop_outputs(self, files: Sequence[str]) -> None:
        """So is what it keeps on disk."""

    async def wipe(self) -> str:
        """The same."""
        return ""

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.close()

    async def _prove_same_disk(self) -> None:
        nonce = secrets.token_hex(16)
        proof = self._workspaces_dir / f".proof-{nonce[:8]}"
        try:
            proof.write_text(nonce, encoding="ascii")
        except OSError as error:  # a full disk passes, and people have to be answered meanwhile
            with contextlib.suppress(OSError):
                proof.unlink(missing_ok=True)
            raise OpenCodeError(f"{self._workspaces_dir} cannot be written: {error.strerror or error}") from error
        try:
            seen = await self._client.file_content(str(self._workspaces_dir), proof.name)
        except (OpenCodeDown, TimeoutError):
            raise
        except OpenCodeError as error:
            seen = ""
            _log.warning("same_disk.unreadable", error=str(error))
        finally:
            with contextlib.suppress(OSError):
                proof.unlink(missing_ok=True)
        if seen.strip() != nonce:
            raise Refusal(
                f"The OpenCode server at {logs.masked(self._client.url)} does not see {self._workspaces_dir}, so it "
                "cannot work in our workspaces. Run it on this machine, as a user who may read and write that folder "
                "(DRAGOMAN_DATA_DIR), or leave OPENCODE_SESSION_API_URL empty and a server is started for you."
            )


def _nobody() -> None:
    """Nobody wants to know."""


RECYCLE_BYTES = 2 * 1024**3  # above this the server is started anew as soon as no run is open
RECYCLE_LOOK_S = 30.0
END_GRACE_S = 2.0  # it ends within 0.2 s of SIGTERM when it is well
SPARE_BYTES = 512 * 1024**2  # with less free memory no further run is started


class TendedServer:
    """A server that we start, watch, start anew when it dies, and recycle when it has grown large.

    busy  whether a run is open: then it is not recycled, and left running when we go
    """

    def __init__(self, server: ManagedServer, busy: Callable[[], bool], *, keep: bool = True) -> None:
        self._server = server
        self._busy = busy
        self._keep = keep
        self._client: OpenCode | None = None
        self._why = "OpenCode is starting"
        self._known = asyncio.Event()  # the first start has come to something
        self.endpoint: Endpoint | None = None
        self.changed: Callable[[], None] = _nobody

    @property
    def state(self) -> str:
        """ "up", or why it is not."""
        return "up" if self._client is not None else self._why

    def away(self) -> str | None:
        """Why it cannot be used now; empty during the first start, which takes seconds; None when it is there."""
        return None if self._client is not None else self._why if self._known.is_set() else ""

    @property
    def cause(self) -> str:
        """Why it is away: it does not run."""
        return "network"

    @property
    def sandbox_state(self) -> str:
        """ "bubblewrap", or why there is none."""
        if self.endpoint is not None and self.endpoint.sandboxed:
            return "bubblewrap"
        return f"none: {self._server.sandbox_missing}" if self._server.sandbox_missing else "not started yet"

    async def client(self) -> OpenCode:
        """A client of the running server; waits a while for the first start, which takes seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), FIRST_START_S)
        if self._client is None:
            raise OpenCodeDown(self._why)
        return self._client

    def room(self) -> bool:
        """Whether the machine has memory to spare for one more run; an empty server may always begin one."""
        return not self._busy() or _available_bytes() > SPARE_BYTES

    async def drop_outputs(self, files: Sequence[str]) -> None:
        """They lie in the server's home."""
        await asyncio.to_thread(self._server.drop_outputs, files)

    async def wipe(self) -> str:
        """While no run is open: the server's database is rewritten, and its writes wait for that."""
        if self._busy():
            return "OpenCode works for others; its database is rewritten when it rests"
        return await asyncio.to_thread(self._server.wipe)

    async def run(self) -> None:
        """Start and tend it until cancelled."""
        await self._first_start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.watch(self._told))
            tasks.create_task(self._recycle())

    async def close(self) -> None:
        """Let go of it: ended when no run is open, else left running for the next process to adopt."""
        if self._client is not None:
            await self._client.close()
        if self._keep and self._busy():
            _log.info("opencode.left_running")
            return
        await self._server.stop(END_GRACE_S)

    async def _first_start(self) -> None:
        wait_s = FIRST_RETRY_S
        while self.endpoint is None:
            try:
                await self._told(await self._server.ensure())
                if self._server.sandbox_missing:
                    _log.warning(
                        "sandbox.absent",
                        reason=self._server.sandbox_missing,
                        danger="what the agent runs has the rights of this user, our files and settings included",
                    )
            except (Refusal, OpenCodeError, OSError) as error:
                self._why = str(error)
                _log.error("opencode.unstartable", error=str(error), again_in_s=wait_s)
                self._known.set()
                self.changed()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)

    async def _told(self, endpoint: Endpoint | None) -> None:
        old, self._client, self.endpoint = self._client, None, endpoint
        if endpoint is not None:
            logs.keep_secret([endpoint.password])
            self._client = OpenCode(endpoint.url, endpoint.password)
            self._known.set()
        else:
            self._why = "OpenCode has ended and is being started anew"
        self.changed()
        if old is not None:
            with contextlib.suppress(OSError):
                await old.close()

    async def _recycle(self) -> None:
        while True:
            await asyncio.sleep(RECYCLE_LOOK_S)
            try:
                size = self._server.rss_bytes()
            except OSError as error:  # no file can be opened at this moment
                _log.warning("opencode.unmeasured", error=str(error))
                continue
            if size > RECYCLE_BYTES and not self._busy() and self._client is not None:
                _log.info("opencode.recycled", rss_mb=size >> 20)
                await self._told(None)
                try:
                    await self._told(await self._server.recycle())
                except (Refusal, OpenCodeError, OSError) as error:
                    _log.warning("opencode.unrecycled", error=str(error))  # who watches it starts it anew


def _available_bytes() -> int:
    """Memory that can be had without swapping; very much where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return sys.maxsize
