"""`GET /metrics`, for Prometheus: the ledger's truth, read at the scrape, and what this process has measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from dragoman import logs
from dragoman.errors import LedgerError
from dragoman.ledger import numbers
from dragoman.ledger.numbers import Counts
from dragoman.runtime.service import Service
from dragoman.web.asgi import Receive, Scope, Send

LEDGER_S = 2.0  # a scrape waits no longer than this for the ledger
KEPT_S = 1.0  # for how long what was read serves again
_PLAIN = b"text/plain; version=0.0.4; charset=utf-8"
_log = logs.get("metrics")


class MetricsPage:
    """Answers scrapes of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._counts: Counts | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """200, also when the ledger cannot be read: then `dragoman_ledger_up` is 0 and its numbers are left out."""
        counts = await self._fresh()
        families = _Families([*_of_ledger(counts), *self._of_service()])
        body = generate_latest(self._service.metrics.registry) + generate_latest(families)
        headers = [(b"content-type", _PLAIN), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _fresh(self) -> Counts | None:
        async with self._reading:
            if time.monotonic() - self._read_at > KEPT_S:
                self._counts = None
                try:
                    async with asyncio.timeout(LEDGER_S):
                        self._counts = await self._service.ledger.read(numbers.counts)
                except (LedgerError, TimeoutError) as error:
                    _log.warning("counts.unread", error=str(error) or "no answer in time")
                self._read_at = time.monotonic()
            return self._counts

    def _of_service(self) -> Iterator[Metric]:
        service = self._service
        yield _one("opencode_up", "Whether OpenCode answers.", float(service.opencode_state() == "up"))
        if service.projector is not None:
            yield _one(
                "projection_up", "Whether the copy in Redis can be kept.", float(not service.projector.trouble())
            )
            yield _one(
                "projection_age_seconds",
                "How long ago the copy in Redis last equalled the ledger.",
                service.projector.age_s(),
            )
        yield _one("linear_quota_left", "Requests left of Linear's hourly quota.", service.linear.governor.left())


class _Families(Collector):
    """Families that are there already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        return iter(self._families)


def _of_ledger(counts: Counts | None) -> Iterator[Metric]:
    yield _one("ledger_up", "Whether the ledger could be read.", float(counts is not None))
    if counts is None:
        return
    sessions = {
        status: counts.sessions.get(status, 0) for status in ("creating", "active", "completed", "error", "timeout")
    }
    yield _gauges("sessions", "Sessions by status.", "status", sessions)
    yield _gauges(
        "effect_age_seconds", "For how long the oldest thing to do could have been done.", "pool", counts.ages_s
    )
    yield _one("open_asks", "Permissions and questions that the agent waits on.", counts.open_asks)
    yield _one("starts_waiting", "Runs that wait to be started.", counts.starts_waiting)
    yield _counters("turns", "Turns that ended.", "outcome", counts.turns)
    yield _counters("deliveries", "Webhook deliveries that were understood.", "verdict", counts.deliveries)
    decisions = CounterMetricFamily("dragoman_decisions", "Whether people might.", labels=("action", "verdict"))
    for labels, number in sorted(counts.decisions.items()):
        decisions.add_metric(labels, number)
    yield decisions
    activities = CounterMetricFamily("dragoman_activities", "Activities that ended.", labels=("type", "outcome"))
    for labels, number in sorted(counts.activities.items()):
        activities.add_metric(labels, number)
    yield activities
    yield _gauges(
        "host_silent_seconds", "How long ago a host with its OpenCode was last heard of.", "host", counts.silent_s
    )
    yield CounterMetricFamily("dragoman_asks", "Permissions and questions that the agent raised.", value=counts.asks)
    yield CounterMetricFamily("dragoman_tokens", "Tokens of turns that ended.", value=counts.tokens)
    yield CounterMetricFamily("dragoman_cost_dollars", "Cost of turns that ended, in US dollars.", value=counts.cost)


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dragoman_{name}", what, value=value)


def _gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"dragoman_{name}", what, labels=(label,))
    for each, value in sorted(values.items()):
        family.add_metric((each,), value)
    return family


def _counters(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"dragoman_{name}", what, labels=(label,))
    for each, value in sorted(values.items()):
        family.add_metric((each,), value)
    return family
