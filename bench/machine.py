"""The machine: who runs on which core, what a process used, what else goes on."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def pinned(argv: Sequence[str], side: Literal["server", "load"]) -> list[str]:
    """With BENCH_PIN=1 the command on the core of its side: what is measured on the first, the rest on the second.

    Otherwise the kernel decides, as it does for an operator; on a machine that does other work pinning only measures that.
    """
    cores = sorted(os.sched_getaffinity(0))
    taskset = shutil.which("taskset")
    if len(cores) < 2 or taskset is None or os.environ.get("BENCH_PIN") != "1":
        return list(argv)
    return [taskset, "-c", str(cores[0] if side == "server" else cores[1]), *argv]


def cpu_s(pid: int) -> float:
    """CPU time a process has used so far, its threads included, its children not."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, in MB (10^6 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 1e6


def descendants(pid: int) -> list[int]:
    """The processes below `pid`: the sandbox and OpenCode in it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, looked_at = [], [pid]
    while looked_at:
        below = children.get(looked_at.pop(), [])
        found += below
        looked_at += below
    return found


def described() -> str:
    """One line about the machine, its load included: figures of a busy one say little."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    one, five, _ = os.getloadavg()
    return (
        f"{len(os.sched_getaffinity(0))} cores ({names[0] if names else platform.machine()}), "
        f"Python {platform.python_version()}, load average {one:.1f} (1 min) {five:.1f} (5 min) at the start"
    )
