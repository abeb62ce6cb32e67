"""What is measured, medians and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What the load generator saw.

    seconds       of the window that counts, after the warm-up
    acknowledged  200s in all, the warm-up included
    per_second    200s a second in the window
    refused       other statuses in the window; `broken` connections that the server closed
    used_up       it ended early because all deliveries were sent
    """

    seconds: float
    acknowledged: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    broken: int
    used_up: bool


def median(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"\n### {title}\n", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def verdict(value: float, target: float, *, at_least: bool) -> str:
    """A target beside what was reached."""
    good = value >= target if at_least else value <= target
    return f"{'≥' if at_least else '≤'} {target:g} {'✓' if good else '✗'}"
