"""One OpenTelemetry trace a turn: whole after a crash, told once, and without a word of what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dragoman.ids import SessionId
from dragoman.runtime.tracing import Tracing, trace_id_of
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.world import CANARY, Stage

WORD = "xylophone"
WAITS = Use(tool="bash", args={"command": f"wait {WORD}"})


class Collector:
    """Takes what OTLP exporters send over HTTP; `refusing` answers 503 meanwhile."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.refusing = False
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.refusing:
            return web.Response(status=503)
        self.bodies.append(body)
        told = ExportTraceServiceRequest.FromString(body)
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """Give a collector that listens."""
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


class Deaf(InMemorySpanExporter):
    """Nobody collects."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        return SpanExportResult.FAILURE


async def played(stage: Stage) -> str:
    stage.agent.plays(WORD, WAITS, Say(text=f"A {WORD} has wooden bars."))
    session = stage.mention(f"please fix the {WORD}")
    await stage.until_shown(session, "action", f"wait {WORD}")
    return session


@pytest.mark.deep
async def test_a_turn_is_one_trace_over_otlp_also_when_the_service_was_killed_in_it(
    make_stage: MakeStage, collector: Collector
) -> None:
    async with make_stage(apart=True, settings={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as stage:
        session = await played(stage)
        await stage.kill()
        await stage.start()
        stage.agent.release(WORD)
        await stage.final(session)

        async def told() -> bool:
            return bool(collector.spans)

        await stage.until_known(told, "the trace")
        root, *pieces = collector.spans
        assert {span.trace_id for span in collector.spans} == {trace_id_of(SessionId(session), 1).to_bytes(16, "big")}
        assert (root.name, root.parent_span_id) == ("turn", b"")
        assert {span.parent_span_id for span in pieces} == {root.span_id}
        assert {"webhook", "first", "StartRun", "tool bash", "final"} <= {span.name for span in pieces}
        assert len({span.span_id for span in collector.spans}) == len(collector.spans)
        for span in pieces:
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
        facts = {fact.key: fact.value for fact in root.attributes}
        assert facts["dragoman.outcome"].string_value == "answered"
        assert facts["dragoman.session"].string_value == session
        for secret in (WORD.encode(), CANARY.encode()):
            assert not any(secret in body.lower() for body in collector.bodies)


async def test_a_turn_is_told_once_and_kept_while_nobody_collects(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await played(stage)
        stage.agent.release(WORD)
        await stage.final(session)
        await stage.quiet()
        assert stage.service is not None
        ledger = stage.service.ledger
        with pytest.raises(ConnectionError, match="did not take"):
            await Tracing(ledger, Deaf()).tell()
        exporter = InMemorySpanExporter()
        for _ in range(2):
            assert await Tracing(ledger, exporter).tell() is False
        spans = exporter.get_finished_spans()
        assert [span.name for span in spans].count("turn") == 1
        assert WORD not in str([span.to_json() for span in spans]).lower()
        stage.people.follow_up(session, "and that")
        await stage.final(session, 2)
        await stage.quiet()
        await Tracing(ledger, exporter).tell()
        turns = [span for span in exporter.get_finished_spans() if span.name == "turn"]
        assert [dict(span.attributes or {})["dragoman.turn"] for span in turns] == [1, 2]


@pytest.mark.deep
async def test_a_collector_that_is_away_disturbs_nobody(make_stage: MakeStage, collector: Collector) -> None:
    collector.refusing = True
    async with make_stage(settings={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as stage:
        session = await played(stage)
        stage.agent.release(WORD)
        assert (await stage.final(session))[0] == "response"

        async def warned() -> bool:
            return "traces.untold" in stage.logged()

        await stage.until_known(warned, "the warning")
        collector.refusing = False
        await stage.stop()
        await stage.start()

        async def told() -> bool:
            await asyncio.sleep(0)
            return bool(collector.spans)

        await stage.until_known(told, "the trace")
