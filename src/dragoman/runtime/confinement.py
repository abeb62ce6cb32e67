"""What holds commands of ours that work on an agent's files: git in a workspace, the operator's verify commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dragoman import logs
from dragoman.opencode.sandbox import Rooms, command_path, confined, found, sandbox_available
from dragoman.repositories.leftovers import Confine

_log = logs.get("confinement")


async def confinement(data_dir: Path, hidden: Sequence[Path], *, off: bool, attached: bool) -> Confine | None:
    """What begins such a command line: a sandbox as that of the agent's own commands.

    Where there is none, agents of our own server are not held either, so our commands add nothing to what theirs can
    reach. An attached server may be held by somebody else; then None: git does not open its agents' workspaces.
    """
    rooms = _rooms(data_dir, hidden)
    works, why = (False, "switched off") if off else await sandbox_available()
    bwrap = found()
    if works and bwrap is not None:
        return lambda folder, network: confined(bwrap, rooms, folder, network=network)
    _log.warning("confinement.none", why=why)
    return None if attached and not off else lambda _folder, _network: ()


def _rooms(data_dir: Path, hidden: Sequence[Path]) -> Rooms:
    data, own = data_dir.resolve(), data_dir.resolve() / "opencode"
    return Rooms(
        workspaces=data / "workspaces",
        home=own / "home",
        settings=own / "settings",
        hidden=(data, *(path.resolve() for path in hidden)),
    )


def verify_environment() -> dict[str, str]:
    """All that a verify command gets: what the agent's own commands get."""
    return {"PATH": command_path(), "HOME": "/tmp", "TERM": "dumb", "LANG": "C.UTF-8", "CI": "1"}  # noqa: S108  a fresh one
