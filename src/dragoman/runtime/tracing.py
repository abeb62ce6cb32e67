"""OpenTelemetry: one trace a turn, told when the turn is over, from what the ledger knows of it.

Nothing is carried along while a turn runs. A trace that is begun in one process and ended in another, after a restart
or a crash, is then no special case; ids are made of session and turn, so that one which is told twice is the same one.
No text of people or of the agent is in it, and no argument of a tool.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import dragoman
from dragoman import logs
from dragoman.core.session import Session, live_turn
from dragoman.errors import LedgerError, Refusal
from dragoman.ids import SessionId
from dragoman.ledger import traces
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.traces import Piece, TracedTurn
from dragoman.ledger.tx import Tx

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

LOOK_S = 30.0  # so often it looks by itself
GATHER_S = 0.5  # after a turn has ended, for its end to be shown
AWAY_S = 5.0  # between attempts while nobody collects; doubled up to LONGEST_AWAY_S
LONGEST_AWAY_S = 300.0
EXPORT_S = 3.0  # with the exporter's own repetitions; a stop waits for it
BATCH = 50  # turns
KEPT_S = 86_400.0  # a turn that ended longer ago is not told any more
_log = logs.get("tracing")


class Exporter(Protocol):
    """The part of an OpenTelemetry exporter that is used."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


def open_exporter(endpoint: str) -> Exporter:
    """What sends traces by OTLP over HTTP; its other settings are OpenTelemetry's own variables.

    endpoint  the base, "http://127.0.0.1:4318"
    Raises    Refusal when the packages are not installed
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise Refusal(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: pip install 'dragoman[otel]'."
        ) from error
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what it cannot send is told by us, once an attempt
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S)


class Tracing:
    """Tells turns that have ended to a collector."""

    def __init__(self, ledger: SqliteLedger, exporter: Exporter) -> None:
        self._ledger = ledger
        self._exporter = exporter
        self._woken = asyncio.Event()

    def told(self, session: Session) -> None:
        """A turn may have ended."""
        if live_turn(session) is None:
            self._woken.set()

    async def run(self) -> None:
        """Tell until cancelled; while nobody collects, try again later."""
        away_s = AWAY_S
        while True:
            self._woken.clear()
            try:
                more = await self.tell()
            except (LedgerError, ConnectionError) as error:
                _log.warning("traces.untold", error=str(error), again_in_s=away_s)
                await asyncio.sleep(away_s)
                away_s = min(away_s * 2, LONGEST_AWAY_S)
                continue
            away_s = AWAY_S
            if not more:
                await self._nap()

    async def tell(self) -> bool:
        """Tell a batch; whether there is more. Raises LedgerError, ConnectionError."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        found = await self._ledger.read(_recent)
        if not found:
            return False
        spans = [span for turn in found for span in spans_of(turn)]
        # The exporter waits for its answer, and for its own repetitions.
        if await asyncio.to_thread(self._exporter.export, spans) is not SpanExportResult.SUCCESS:
            raise ConnectionError("the collector did not take them")
        await self._ledger.turn(traces.told, found)
        _log.debug("traces.told", turns=len(found), spans=len(spans))
        return len(found) == BATCH

    async def close(self) -> None:
        """Let the connection go."""
        await asyncio.to_thread(self._exporter.shutdown)

    async def _nap(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), LOOK_S)
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)


def _recent(tx: Tx) -> list[TracedTurn]:
    return traces.untold(tx, tx.now - KEPT_S, BATCH)


def spans_of(turn: TracedTurn) -> list[ReadableSpan]:
    """The spans of a turn: `turn`, from the webhook to the final, and below it its pieces."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    trace_id = trace_id_of(turn.session, turn.number)

    def context(name: str) -> SpanContext:
        digest = hashlib.sha256(f"{turn.session}\0{turn.number}\0{name}".encode()).digest()
        return SpanContext(trace_id, int.from_bytes(digest[:8], "big"), False, TraceFlags(TraceFlags.SAMPLED))

    resource = Resource.create({"service.name": "dragoman", "service.version": dragoman.__version__})
    scope = InstrumentationScope("dragoman", dragoman.__version__)
    root = context("turn")

    def span(piece: Piece, number: int) -> ReadableSpan:
        return ReadableSpan(
            piece.name,
            context=context(f"{number} {piece.name}"),
            parent=root,
            resource=resource,
            attributes={"dragoman.attempts": piece.attempts} if piece.attempts else {},
            kind=SpanKind.SERVER if piece.name == "webhook" else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if piece.failed else StatusCode.UNSET),
            start_time=_ns(piece.begun_at),
            end_time=_ns(piece.ended_at),
            instrumentation_scope=scope,
        )

    facts: dict[str, str | int | float] = {
        "dragoman.session": turn.session,
        "dragoman.turn": turn.number,
        "dragoman.outcome": turn.outcome,
        "dragoman.asks": turn.asks,
        "dragoman.tokens": turn.tokens,
        "dragoman.cost": turn.cost,
        "gen_ai.request.model": turn.model,
        "dragoman.template": turn.template,
    }
    whole = ReadableSpan(
        "turn",
        context=root,
        resource=resource,
        attributes={name: value for name, value in facts.items() if value != ""},
        status=Status(StatusCode.ERROR if turn.outcome == "failed" else StatusCode.UNSET),
        start_time=_ns(min([turn.begun_at, *(piece.begun_at for piece in turn.pieces)])),
        end_time=_ns(max([turn.ended_at, *(piece.ended_at for piece in turn.pieces)])),
        instrumentation_scope=scope,
    )
    return [whole, *(span(piece, number) for number, piece in enumerate(turn.pieces))]


def trace_id_of(session: SessionId, turn: int) -> int:
    """The id of a turn's trace, 128 bits; the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{session}\0{turn}".encode()).digest()[:16], "big")


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
