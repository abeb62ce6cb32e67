"""A server that outlives us: what is written down about it, whether it still is the one, and how to end all of it.

A process is told by its id and the moment it started, since ids are used again. Its whole family is told by a variable
in the environment, since commands run in process groups of their own and outlive a server that was killed.
Source  proc(5): /proc/[pid]/stat, environ, statm
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from dragoman.errors import Refusal
from dragoman.opencode.settings import INSTANCE_VARIABLE

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class ServerState(Struct, frozen=True):
    """What a later process must know to adopt the server.

    pid       leader of its process group; 0 while it is not started yet
    started   when, in clock ticks since boot; with the pid it names the process for good
    port      0 until it listens
    instance  the value of the variable by which its family is found
    settings  digest of what it was started with: another one means that it must be started anew
    """

    pid: int
    started: int
    port: int
    password: str
    instance: str
    settings: str


def read_state(path: Path) -> ServerState | None:
    """The state that was written, None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerState)
    except (OSError, msgspec.MsgspecError):
        return None


def write_state(path: Path, state: ServerState) -> None:
    """Write the state, readable for us alone; a crash leaves the old one or the new one."""
    private_file(path, msgspec.json.encode(state))


def private_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole, with `mode` from its first moment on."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(mode)
    fresh.replace(path)


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or only a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def is_alive(state: ServerState) -> bool:
    """Whether the very process of the state runs."""
    return state.pid > 0 and started_at(state.pid) == state.started


def family(state: ServerState) -> set[int]:
    """The server's processes: those that carry its variable, its group, and all their descendants."""
    marker = f"{INSTANCE_VARIABLE}={state.instance}".encode()
    parents: dict[int, int] = {}
    members: set[int] = set()
    leader_known = is_alive(state)
    for pid in _pids():
        fields = _stat(pid)
        if fields is None or fields[0] in "ZX":
            continue
        parents[pid] = int(fields[1])
        if (leader_known and int(fields[2]) == state.pid) or _carries(pid, marker):
            members.add(pid)
    found = True
    while found:
        more = {pid for pid, parent in parents.items() if parent in members and pid not in members}
        members |= more
        found = bool(more)
    members.discard(os.getpid())
    return members


def memory_of(state: ServerState) -> int:
    """Resident memory of the whole family, in bytes."""
    total = 0
    for pid in family(state):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
    return total


async def end_family(state: ServerState, grace_s: float = 5.0) -> bool:
    """End every process of the server: asked first, killed after `grace_s`. Returns whether all are gone."""
    for how, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience_s
        signalled: set[int] = set()
        while members := family(state):
            for pid in members - signalled:
                _signal(pid, how)
            signalled |= members
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        else:
            return True
    return not family(state)


@asynccontextmanager
async def exclusive(path: Path, deadline_s: float = 90.0) -> AsyncIterator[None]:
    """One process at a time starts or ends the server of a data folder: two on one database lose prompts.

    Raises  Refusal when another one holds it for longer than a start and an end take
    """
    deadline = time.monotonic() + deadline_s
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refusal(f"Another process is starting or ending OpenCode in {path.parent}.") from None
                await asyncio.sleep(0.1)
        yield  # closing the file lets the lock go


def _signal(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it ended by itself, or is no longer ours to end
        os.kill(pid, how)


def _pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/[pid]/stat from the state on; the name before it may hold anything, brackets too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None


def _carries(pid: int, marker: bytes) -> bool:
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's, or it ended
