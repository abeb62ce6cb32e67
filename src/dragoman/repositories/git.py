"""Runs git: an argument list, a clean environment, a deadline, and an error that says what happened.

Nothing of the user's or the machine's configuration reaches it, since that may name programs to run or print secrets.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dragoman import logs
from dragoman.errors import GitError

IDENTITY_NAME = "Dragoman"
IDENTITY_EMAIL = "dragoman@localhost"

# For git's own paths and what operators configured; git() itself allows no transport.
LOCAL_ONLY: Mapping[str, str] = {"GIT_ALLOW_PROTOCOL": "file"}

MAX_OUTPUT = 64 * 1024 * 1024  # bytes
_KEPT_OF_STDERR = 16 * 1024  # bytes
_GRACE_S = 2.0  # for git to take away its lock files

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "commit.gpgSign=false",
    # A collection in the middle of a fetch would be cut at its deadline, each time anew.
    "gc.auto=0",
    "maintenance.auto=false",
    # Milliseconds. Sessions work side by side on one trusted repository.
    "core.packedRefsTimeout=10000",
    "core.filesRefLockTimeout=10000",
)

# What another attempt cannot change. Everything else (network, locks, space) may pass.
_FINAL = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied|\b40[134]\b"
    r"|does not appear to be a git repository|repository .*not found|not a git repository|dubious ownership"
    r"|couldn't find remote ref|invalid refspec|not our ref|transport '.*' not allowed|host key verification failed"
    r"|unknown option|usage: git",
    re.IGNORECASE,
)


async def git(
    *args: str,
    cwd: Path,
    deadline_s: float,
    env_extra: Mapping[str, str] | None = None,
    ok_codes: Sequence[int] = (0,),
    keep_open: Sequence[int] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
    within: Sequence[str] = (),
) -> bytes:
    """Run git in `cwd` and give what it printed.

    args        without "git"; the caller puts `--` before paths
    deadline_s  seconds; then git and all that it started are ended
    env_extra   added to the environment; values whose name has PASSWORD in it are masked in errors
    keep_open   descriptors that git inherits: a file lock stays held until git has ended, even if we are killed
    stdin       an open file that git reads; nothing by default
    within      the beginning of a command line that holds git in, for a directory whose configuration is not ours
    Raises      GitError; `retryable` says whether the same command may succeed later
    """
    extra = dict(env_extra or {})
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    verb = _verb(args)
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *within,
            "git",
            *settings,
            *args,
            cwd=cwd,
            env=_environment() | extra,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    )
    try:
        process = await asyncio.shield(starting)
    except OSError as error:
        raise _not_started(verb, cwd, error) from error
    except asyncio.CancelledError:
        # Cancelled half-way, asyncio would end git alone and wait for ever for the pipes that git's children hold.
        with suppress(OSError):
            await _end(await starting)
        raise
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(deadline_s):
            output, complaint, _ = await asyncio.gather(
                _read_all(process.stdout, process.pid), _read_end(process.stderr), process.wait()
            )
    except TimeoutError:
        raise GitError(f"git {verb} took longer than {deadline_s:.0f} s and was ended") from None
    finally:
        await _end(process)
        # What is unread keeps a pipe open, and its end unseen.
        await _drain(process.stdout, process.stderr)
    if len(output) > MAX_OUTPUT:
        raise GitError(f"git {verb} printed more than {MAX_OUTPUT >> 20} MiB and was ended", retryable=False)
    if process.returncode in ok_codes:
        return output
    text = _last_lines(complaint, [value for name, value in extra.items() if "PASSWORD" in name])
    raise GitError(f"git {verb} failed ({process.returncode}): {text}", retryable=not _FINAL.search(text))


def _verb(args: Sequence[str]) -> str:
    """The command among the arguments, for messages; a value of `-c` may be a secret and is none."""
    before = ""
    for arg in args:
        if not arg.startswith("-") and before != "-c":
            return arg
        before = arg
    return ""


def _not_started(verb: str, cwd: Path, error: OSError) -> GitError:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return GitError(f"git {verb} could not be started: {error.strerror}")
    if cwd.is_dir():
        return GitError("git is not installed, or not on the PATH", retryable=False)
    return GitError(f"git {verb}: the directory {cwd} is not there", retryable=False)


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        # No home: nothing can be put there for git to find, whoever has our user id.
        "HOME": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("gitconfig")),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        # Without it, reflogs hold the address that was fetched from.
        "GIT_REFLOG_ACTION": "dragoman",
        "GIT_AUTHOR_NAME": IDENTITY_NAME,
        "GIT_AUTHOR_EMAIL": IDENTITY_EMAIL,
        "GIT_COMMITTER_NAME": IDENTITY_NAME,
        "GIT_COMMITTER_EMAIL": IDENTITY_EMAIL,
    }


async def _read_all(stream: asyncio.StreamReader, pid: int) -> bytes:
    output = bytearray()
    while chunk := await stream.read(65536):
        if len(output) <= MAX_OUTPUT:
            output += chunk
        else:
            _kill(pid, signal.SIGKILL)
    return bytes(output)


async def _read_end(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-_KEPT_OF_STDERR:]
    return kept


async def _drain(*streams: asyncio.StreamReader) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            for stream in streams:
                while await stream.read(65536):
                    pass


def _kill(group: int, by: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, by)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End git and its children; by SIGTERM first, on which git takes away its lock files."""
    if process.returncode is not None:
        return
    _kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        # git may have gone while a child of it (ssh, a remote helper) has not.
        _kill(process.pid, signal.SIGKILL)
    await process.wait()


def _last_lines(complaint: bytes, secrets: Sequence[str]) -> str:
    text = complaint.decode("utf-8", "replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, logs.MASK)
    lines = [line.strip() for line in logs.masked(text).splitlines() if line.strip() and not line.startswith("hint:")]
    return " · ".join(lines[-6:])[-1000:] or "it gave no reason"
