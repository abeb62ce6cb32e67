"""How long the service takes from its start to its first connection, and what it occupies when nothing goes on."""

from __future__ import annotations

import time

from bench.figures import median, table, verdict
from bench.machine import cpu_s, resident_mb
from bench.servers import canned_linear, folder, service

ROUNDS = 5
IDLE_S = 2.0


def measure() -> str:
    """One table."""
    started, memory, share = [], [], []
    for _ in range(ROUNDS):
        with (
            folder() as data,
            canned_linear(data) as linear,
            service(data, f"http://127.0.0.1:{linear.port}") as process,
        ):
            started.append(process.started_s)
            time.sleep(IDLE_S)  # the look-ups of the start are over
            memory.append(resident_mb(process.pid))
            before = cpu_s(process.pid)
            time.sleep(IDLE_S)
            share.append((cpu_s(process.pid) - before) / IDLE_S * 100)
    rows = [
        ["cold start to listening, s", f"{median(started):.2f}", verdict(median(started), 1.5, at_least=False)],
        ["idle RSS, MB", f"{median(memory):.0f}", verdict(median(memory), 90, at_least=False)],
        ["idle CPU, % of a core", f"{median(share):.1f}", ""],
    ]
    return table(f"Start and rest (medians of {ROUNDS})", ["", "measured", "target"], rows)
