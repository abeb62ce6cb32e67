"""What this process has measured of itself. Everything that can be counted from the ledger is counted there instead:
a process forgets, and knows nothing of the others.
"""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

LAG_LOOK_S = 1.0

# Linear wants an answer within 5 s, and a first activity within 10 s.
_ACK_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_FIRST_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
_TURN_S = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)
_LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The durations of one running service; each has its own, so that two in one process do not add up.

    ack            from a webhook's arrival until its answer
    first_thought  from a prompt's arrival until Linear had the first activity of its turn
    turn           from a prompt's arrival until its turn was over
    refused        webhooks that were turned away, by reason: they never reach the ledger
    closed         requests of operators that were turned away, by reason
    loop_lag       how much later than wanted the event loop came back
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ack = Histogram(
            "dragoman_webhook_ack_seconds",
            "From a webhook's arrival until its answer.",
            registry=self.registry,
            buckets=_ACK_S,
        )
        self.first_thought = Histogram(
            "dragoman_first_activity_seconds",
            "From a prompt's arrival until Linear had the first activity of its turn.",
            registry=self.registry,
            buckets=_FIRST_S,
        )
        self.turn = Histogram(
            "dragoman_turn_seconds",
            "From a prompt's arrival until its turn was over; turns that began in this process.",
            registry=self.registry,
            buckets=_TURN_S,
        )
        self.loop_lag = Histogram(
            "dragoman_event_loop_lag_seconds",
            "How much later than wanted the event loop came back, looked at every second.",
            registry=self.registry,
            buckets=_LAG_S,
        )
        self.refused = Counter(
            "dragoman_webhooks_refused",
            "Webhooks that were turned away: signature, age, shape.",
            ("reason",),
            registry=self.registry,
        )
        self.closed = Counter(
            "dragoman_operator_requests_refused",
            "Requests to /api/v1 that were turned away.",
            ("reason",),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes and its like

    async def watch_loop(self) -> None:
        """Measure the event loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + LAG_LOOK_S
            await asyncio.sleep(LAG_LOOK_S)
            self.loop_lag.observe(max(0.0, loop.time() - wanted))
