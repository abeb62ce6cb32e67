"""What the agent can reach. Permissions guide it; this holds it.

Two bubblewrap sandboxes, one inside the other.

The outer one holds the OpenCode server: file system read-only but for the workspaces and OpenCode's own home; our data
folder, the operator's home and whatever else is named are hidden; its own process list; only the environment that it
needs. The network is shared, for it must reach the model and we must reach it.

The inner one holds each command of the agent's shell: a process list of its own again, a cleared environment, and of
all folders only its own workspace writable; the other workspaces and the server's home, with its settings and database,
are hidden. Between sessions this prevents accidents, not intent: they share one server, whose tools reach them all.

What the agent can still read, by OpenCode's own tools that run within the server (`read` follows links, so also
`/proc/self/environ`): OpenCode's password, the variables that it is given, a proxy's with its password among them, and,
in its settings, the model provider's key. With the password it could answer its own permissions. No secret of Linear, of
the forge or of ours is ever inside.

Run the service as an unprivileged user. As root the sandbox is weaker: a process of user 0 may write kernel settings
through any /proc that it manages to mount, and OpenCode's own children (formatters, language servers) may mount one.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

_PROBE_DEADLINE_S: Final = 10.0
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where name resolution keeps its file when /etc/resolv.conf is a link; /run itself holds sockets and is hidden.
_RESOLVERS: Final = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
TMP: Final = "/tmp"  # noqa: S108  each sandbox has a fresh one of its own
_FRESH_TMP: Final = ("--tmpfs", TMP, "--tmpfs", "/var/tmp")  # noqa: S108
_NO_HOMES: Final = (Path("/usr"), Path("/var"), Path(TMP))
# Folders of the system or of many: they cannot be hidden as a whole.
_SHARED_NAMES: Final = """
/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp
/usr /usr/bin /usr/lib /usr/local /usr/local/bin /usr/local/lib /usr/share /var /var/lib /var/tmp
"""
_SHARED: Final = frozenset(map(Path, _SHARED_NAMES.split()))
_OTHER_KNOBS: Final = ("/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
_NAMESPACES: Final = ("--unshare-pid", "--unshare-ipc", "--unshare-uts")


_WRAPPER: Final = """#!/bin/sh
here=$(pwd -P)
workspaces={workspaces}
set -- --chdir "$here" -- /bin/bash "$@"
case "$here" in
"$workspaces"/*)
    root=$here
    at=$here
    while [ "$at" != "$workspaces" ]; do
        if [ -e "$at/.git" ]; then root=$at; fi
        at=${{at%/*}}
    done
    set -- --bind "$root" "$root" "$@"
    ;;
esac
exec env -i {sandbox} "$@"
"""


class Rooms(Struct, frozen=True):
    """The folders that matter, all absolute.

    workspaces  where the agent works: writable
    home        OpenCode's own HOME and XDG folders: writable for the server, hidden from commands
    settings    its configuration and the shell wrapper: readable for the server
    needed      must stay readable though it may lie in a hidden place: the binary's folder, toolchains
    hidden      folders and files that must not be seen: our data folder, trusted repositories, key files
    """

    workspaces: Path
    home: Path
    settings: Path
    needed: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()


def outer(bwrap: str, rooms: Rooms, command: Sequence[str]) -> list[str]:
    """The command line that runs the server inside. The environment is whatever the caller gives the process."""
    arguments = [bwrap, *_NAMESPACES, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    arguments += _for_root()
    arguments += ["--tmpfs", "/run", *_FRESH_TMP]
    for resolver in _RESOLVERS:
        arguments += ["--ro-bind-try", resolver, resolver]
    arguments += _rooms(
        hidden=(*rooms.hidden, *_homes()),
        readable=(*rooms.needed, *_tools(), rooms.settings),
        writable=(rooms.home, rooms.workspaces),
    )
    return [*arguments, "--chdir", str(rooms.workspaces), "--", *command]


def confined(bwrap: str, rooms: Rooms, folder: Path, *, network: bool) -> list[str]:
    """The beginning of a command line of ours about files that an agent has written: git in a workspace, its tests.

    What follows sees no more than the agent's own commands, and of all folders only `folder` is writable. It ends with
    us, and keeps the environment that it is given.
    """
    arguments = [bwrap, *_NAMESPACES, "--die-with-parent", "--new-session", "--ro-bind", "/", "/"]
    arguments += ["--dev", "/dev", "--proc", "/proc", *_inner_for_root(), "--tmpfs", "/run", *_FRESH_TMP]
    arguments += [] if network else ["--unshare-net"]
    for resolver in _RESOLVERS:
        arguments += ["--ro-bind-try", resolver, resolver]
    hidden = (*rooms.hidden, *_homes(), rooms.home, rooms.settings, rooms.workspaces)
    arguments += _rooms(hidden=hidden, readable=(*rooms.needed, *_tools()), writable=(folder,))
    return [*arguments, "--chdir", str(folder), "--"]


def shell_script(bwrap: str, rooms: Rooms, identity: tuple[str, str], path: str) -> str:
    """The wrapper that OpenCode takes for its shell: called as `sh -c COMMAND` in the directory of the command.

    Of the workspaces only the one around that directory is there: the topmost folder with a `.git`, since a command in
    a subfolder needs git too.

    identity  name and e-mail of the agent's commits
    path      the PATH of its commands
    """
    name, email = identity
    inner = [bwrap, *_NAMESPACES, "--die-with-parent", "--new-session", "--ro-bind", "/", "/"]
    inner += ["--dev", "/dev", "--proc", "/proc"]
    inner += [*_inner_for_root(), *_FRESH_TMP]
    inner += _rooms(hidden=(rooms.home, rooms.settings, rooms.workspaces), readable=(), writable=())
    inner += ["--clearenv", "--setenv", "PATH", path, "--setenv", "HOME", TMP, "--setenv", "TERM", "dumb"]
    inner += ["--setenv", "LANG", "C.UTF-8", "--setenv", "GIT_TERMINAL_PROMPT", "0"]
    for who in ("AUTHOR", "COMMITTER"):
        inner += ["--setenv", f"GIT_{who}_NAME", name, "--setenv", f"GIT_{who}_EMAIL", email]
    return _WRAPPER.format(workspaces=shlex.quote(str(rooms.workspaces)), sandbox=shlex.join(inner))


def plain_shell_script(identity: tuple[str, str], path: str, marker: tuple[str, str]) -> str:
    """The wrapper without a sandbox: it hides nothing but the environment, and says who commits.

    marker  a variable by which commands that outlive the server are found
    """
    name, email = identity
    variables = [f"PATH={path}", "TERM=dumb", "LANG=C.UTF-8", "GIT_TERMINAL_PROMPT=0", "=".join(marker)]
    variables += [f"GIT_{who}_NAME={name}" for who in ("AUTHOR", "COMMITTER")]
    variables += [f"GIT_{who}_EMAIL={email}" for who in ("AUTHOR", "COMMITTER")]
    return f'#!/bin/sh\nexec env -i HOME="$HOME" {shlex.join(variables)} /bin/bash "$@"\n'


def database_places(file: Path) -> tuple[Path, ...]:
    """What has to be hidden so that a SQLite database stays unseen: its folder, for SQLite makes files beside it anew.

    A cover lies on the file that was there when the sandbox was made; a journal that is deleted and made again would
    show. Only when the folder is not ours to hide are the files covered one by one.
    """
    folder = file.parent
    if folder not in _SHARED:
        return (folder,)
    return tuple(file.with_name(file.name + end) for end in ("", "-wal", "-shm", "-journal"))


def folder_places(folder: Path) -> tuple[Path, ...]:
    """What has to be hidden so that what lies in a folder stays unseen: the folder, or its files when others need it."""
    return (folder,) if folder.resolve() not in _SHARED else tuple(sorted(folder.iterdir()))


async def sandbox_available(bwrap: str | None = None) -> tuple[bool, str]:
    """Whether both sandboxes can be made here, by making them; else why not, with what to do."""
    bwrap = bwrap or found()
    if bwrap is None:
        return False, "bubblewrap is not installed (apt install bubblewrap)"
    inner = [bwrap, *_NAMESPACES, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *_inner_for_root()]
    outer_part = [bwrap, *_NAMESPACES, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *_for_root()]
    try:
        process = await asyncio.create_subprocess_exec(
            *outer_part, "--", *inner, "--", "true",
            env={"PATH": _SYSTEM_PATH},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return False, f"bubblewrap could not be started: {error}"
    try:
        _, said = await asyncio.wait_for(process.communicate(), _PROBE_DEADLINE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False, f"bubblewrap did not end within {_PROBE_DEADLINE_S:g} s"
    if process.returncode != 0:
        reason = said.decode("utf-8", "replace").strip().splitlines()
        return False, (
            f"bubblewrap cannot make a sandbox within a sandbox here ({reason[-1] if reason else 'no reason given'}); "
            "unprivileged user namespaces must be allowed, and /proc not be masked by a container"
        )
    return True, ""


def found() -> str | None:
    """Where bubblewrap is."""
    return shutil.which("bwrap")


def command_path(extra: Iterable[Path] = ()) -> str:
    """The PATH of the agent's commands: ours, without what does not exist, and the system's."""
    ours = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    wanted = [*(str(path) for path in extra), *ours, *_SYSTEM_PATH.split(":")]
    return ":".join(dict.fromkeys(part for part in wanted if os.access(part, os.X_OK)))


def _for_root() -> list[str]:
    """What bubblewrap does not do by itself for user 0.

    It would keep all capabilities; SETFCAP stays because a user namespace for user 0 cannot be made without it.
    Kernel settings are covered; and since a /proc with covers forbids a new one in the inner sandbox, an uncovered one
    is left where no path leads to it (the tmpfs that is mounted over /run hides it).
    """
    if os.getuid() != 0:
        return []
    dropped = ["--cap-drop", "ALL", "--cap-add", "CAP_SETFCAP"]
    return [*dropped, *_covered(), "--tmpfs", "/run", "--bind", "/proc", "/run/proc", "--tmpfs", "/run"]


def _inner_for_root() -> list[str]:
    """No further user namespaces, in which a fresh /proc could be mounted; kernel settings covered."""
    return ["--unshare-user", "--disable-userns", *_covered()] if os.getuid() == 0 else []


def _covered() -> list[str]:
    """Kernel settings, read-only. `/proc/sys/user` stays as it is: the inner bubblewrap writes its limit there."""
    settings = [f"/proc/sys/{entry.name}" for entry in Path("/proc/sys").iterdir() if entry.name != "user"]
    knobs = [path for path in (*sorted(settings), *_OTHER_KNOBS) if Path(path).exists()]
    return [argument for path in knobs for argument in ("--ro-bind", path, path)]


def _rooms(*, hidden: Iterable[Path], readable: Iterable[Path], writable: Iterable[Path]) -> list[str]:
    """Mounts in the order of their depth, so that what lies within something hidden is bound back after it."""
    steps: dict[Path, tuple[str, ...]] = {}
    for path in hidden:
        if path.is_dir():
            steps[path] = ("--tmpfs", str(path))
        elif path.exists():
            steps[path] = ("--ro-bind", "/dev/null", str(path))
    for path in readable:
        if path.exists():
            steps[path] = ("--ro-bind", str(path), str(path))
    for path in writable:
        steps[path] = ("--bind", str(path), str(path))
    ordered = sorted(steps.items(), key=lambda item: len(item[0].parts))
    return [argument for _, step in ordered for argument in step]


def _homes() -> tuple[Path, ...]:
    """The operator's home, by the password database and by HOME; never a folder that everything lies in."""
    candidates = {Path(os.environ.get("HOME", "/nonexistent")).resolve()}
    with suppress(KeyError):  # a user without an entry, as in containers
        candidates.add(Path(pwd.getpwuid(os.getuid()).pw_dir).resolve())
    return tuple(home for home in sorted(candidates) if len(home.parts) > 1 and home not in _NO_HOMES)


def _tools() -> tuple[Path, ...]:
    """Folders of PATH that lie in a home, with the toolchain around them when they are one (a venv, a node, a pyenv)."""
    homes = _homes()
    found: list[Path] = []
    for part in os.environ.get("PATH", "").split(os.pathsep):
        folder = Path(part)
        if (
            not folder.is_absolute()
            or not os.access(folder, os.X_OK)
            or not any(folder.resolve().is_relative_to(home) for home in homes)
        ):
            continue
        around = folder.parent
        toolchain = (around / "pyvenv.cfg").exists() or (around / "lib" / "node_modules").is_dir()
        toolchain = toolchain or folder.name == "shims"  # pyenv and its like call what lies beside
        found.append(around if toolchain and around.name != ".local" else folder)
        python = folder / "python3"
        if python.is_symlink() and any(python.resolve().is_relative_to(home) for home in homes):
            found.append(python.resolve().parent.parent)
    return tuple(found)
