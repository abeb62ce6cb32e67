"""The data folder: what lies in it is ours alone, and one process at a time works on it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dragoman.errors import Refusal
from dragoman.ids import HostId


def make_folders(data: Path) -> None:
    """Our folders, for nobody else to read. Raises Refusal."""
    try:
        for folder in (data, data / "workspaces", data / "repositories"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
    except OSError as error:
        raise Refusal(
            f"The data folder {data} cannot be used: {error.strerror or error}. Set DRAGOMAN_DATA_DIR to a folder that this user may write."
        ) from error


def lock(path: Path) -> IO[str]:
    """Hold the data folder until the file is closed. Raises Refusal when another process has it."""
    handle = path.open("a+", encoding="ascii")
    path.chmod(0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        pid = handle.read().strip() or "unknown"
        handle.close()
        raise Refusal(
            f"Another dragoman (pid {pid}) uses the data folder {path.parent}. Stop it, or set DRAGOMAN_DATA_DIR to another."
        ) from None
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def host_id(path: Path) -> HostId:
    """The name of this data folder, made once."""
    return HostId(_made_once(path, lambda: f"{os.uname().nodename}-{os.urandom(4).hex()}"))


def key(path: Path) -> str:
    """A random key, made once."""
    return _made_once(path, lambda: secrets.token_hex(32))


def _made_once(path: Path, make: Callable[[], str]) -> str:
    """What the file says, made when there is none: whole or not at all, for nobody else to read."""
    if not path.is_file() or not path.stat().st_size:
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(make(), encoding="utf-8")
        fresh.replace(path)
    return path.read_text(encoding="utf-8").strip()
