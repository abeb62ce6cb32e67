"""Acknowledgements: how many webhooks a second are decided, on disk and answered.

In each round the three servers take the load one after another, so that whatever else the machine does hits all. The
service is the real one with all its workers: what each delivery sets off (a thought, two reads, two writes to Linear)
is performed beside the load, as fast as there is room. It is then killed, and the ledger must hold every session that
was answered with 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import native, servers
from bench.figures import Load, median, table, verdict
from bench.machine import cpu_s
from bench.servers import Process, canned_linear, folder, limit_server, service, verify_only

CONNECTIONS = (1, 32, 256)
KINDS = ("limit", "verify only", "dragoman")
WARM_S = 0.5
# Made and signed ahead, about six kilobytes each; more than any of them answers in the time.
_DELIVERIES = {1: 12_000, 32: 60_000, 256: 90_000}
_OF_OURS = {1: 8_000, 32: 25_000, 256: 25_000}


class Lost(Exception):
    """A delivery was answered with 200 and is not in the ledger."""


def measure(rounds: int = 3, seconds: float = 2.5) -> str:
    """Tables of one run, medians over its rounds."""
    seen: dict[tuple[str, int], list[Load]] = {(kind, size): [] for kind in KINDS for size in CONNECTIONS}
    cpu: dict[tuple[str, int], list[float]] = {key: [] for key in seen}
    work: dict[int, list[float]] = {size: [] for size in CONNECTIONS}
    for _ in range(rounds):
        for size in CONNECTIONS:
            for kind in KINDS:
                with folder() as data:
                    load, cpu_us = _burst(kind, data, size, seconds)
                    seen[kind, size].append(load)
                    cpu[kind, size].append(cpu_us)
                    if kind == "dragoman":
                        work[size].append(servers.performed(data) / (WARM_S + load.seconds))
    return _shown(seen, cpu, work, rounds, seconds)


def _burst(kind: str, data: Path, size: int, seconds: float) -> tuple[Load, float]:
    """One load on one fresh server; with the CPU microseconds that its process took for a delivery."""
    ours = kind == "dragoman"
    deliveries = (_OF_OURS if ours else _DELIVERIES)[size]
    with _server(kind, data) as process:
        before = cpu_s(process.pid)
        load = native.load(process.port, servers.WEBHOOK, size, seconds=seconds, warm_s=WARM_S, deliveries=deliveries)
        used = cpu_s(process.pid) - before
    if load.refused or load.broken:
        raise Lost(f"{kind} at {size} connections refused {load.refused} and broke {load.broken} connections")
    if ours and (stored := servers.stored(data)) < load.acknowledged:
        raise Lost(f"{load.acknowledged} were acknowledged, {stored} are in the ledger")
    return load, used / max(load.acknowledged, 1) * 1e6


@contextmanager
def _server(kind: str, data: Path) -> Iterator[Process]:
    match kind:
        case "limit":
            with limit_server(data) as process:
                yield process
        case "verify only":
            with verify_only() as process:
                yield process
        case _:
            with canned_linear(data) as linear, service(data, f"http://127.0.0.1:{linear.port}") as process:
                yield process


def _shown(
    seen: dict[tuple[str, int], list[Load]],
    cpu: dict[tuple[str, int], list[float]],
    work: dict[int, list[float]],
    rounds: int,
    seconds: float,
) -> str:
    rates = {key: median([load.per_second for load in loads]) for key, loads in seen.items()}
    rows = [
        [
            kind,
            str(size),
            f"{rates[kind, size]:,.0f}",
            f"{min(load.per_second for load in loads):,.0f}-{max(load.per_second for load in loads):,.0f}",
            f"{median([load.p50_ms for load in loads]):.2f}",
            f"{median([load.p99_ms for load in loads]):.2f}",
            f"{median(cpu[kind, size]):.0f}",
            f"{median(work[size]):,.0f}" if kind == "dragoman" else "",
        ]
        for (kind, size), loads in seen.items()
    ]
    ratios = []
    for size in CONNECTIONS:
        of_limit = rates["dragoman", size] / max(rates["limit", size], 1)
        of_verify = rates["dragoman", size] / max(rates["verify only", size], 1)
        p99 = median([load.p99_ms for load in seen["dragoman", size]])
        held = size > 1
        ratios.append(
            [
                str(size),
                f"{of_limit:.2f}",
                verdict(of_limit, 0.2, at_least=True) if held else "",
                f"{of_verify:.2f}",
                verdict(of_verify, 0.4, at_least=True) if held else "",
                f"{p99:.0f}",
                verdict(p99, 100, at_least=False) if size == 256 else "",
            ]
        )
    head = ["server", "connections", "acks/s", "range", "p50 ms", "p99 ms", "CPU µs each", "effects performed/s"]
    ratio_head = ["connections", "of the C limit", "target", "of verify only", "target", "p99 ms", "target"]
    return (
        table(f"Acknowledgements ({rounds} rounds of {seconds:g} s, medians)", head, rows)
        + "\n"
        + table("Acknowledgements, ratios", ratio_head, ratios)
    )
