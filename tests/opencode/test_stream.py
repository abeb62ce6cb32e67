"""The stream: what is dropped unread, what comes through, and that no gap goes unmarked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from dragoman.errors import OpenCodeDown
from dragoman.opencode import wire, wire_events
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stream import Connected, EventStream, Heard, Lost, Signal
from tests.opencode.recorded import FOLDER, Recording
from tests.skipped_time import skip

RECORDED = [line.encode() for line in (FOLDER / "global_events.jsonl").read_text().splitlines()]


def envelope(kind: str, properties: dict[str, object]) -> bytes:
    payload = {"id": "evt_1", "type": kind, "properties": properties}
    return json.dumps({"directory": "/d", "payload": payload}, separators=(",", ":")).encode()


def a_stream() -> EventStream:
    return EventStream(OpenCode("http://127.0.0.1:9", None))


def test_peek_sees_what_a_full_decode_sees() -> None:
    assert len(RECORDED) > 100
    for line in RECORDED:
        payload = json.loads(line)["payload"]
        kind, thread = wire_events.peek(line)
        assert kind.decode() == payload["type"]
        assert thread.decode() == payload.get("properties", {}).get("sessionID", thread.decode())


def test_a_name_in_the_directory_cannot_pose_as_an_event() -> None:
    line = json.dumps(
        {"directory": '/x"payload":{"type":"sync"', "payload": {"type": "session.idle", "properties": {}}},
        separators=(",", ":"),
    ).encode()
    assert wire_events.peek(line)[0] == b"session.idle"


def test_of_a_recorded_stream_only_what_concerns_followed_threads_is_decoded() -> None:
    stream = a_stream()
    thread = Recording("b_tools").thread
    stream.follow(thread)
    heard = [event for line in RECORDED if isinstance(event := stream.read(line), Heard)]
    assert {event.thread for event in heard} <= {thread, ""}
    kinds = {type(event.event) for event in heard}
    assert {
        wire_events.PartUpdated,
        wire_events.MessageUpdated,
        wire_events.SessionStatus,
        wire_events.SessionIdle,
    } <= kinds
    assert a_stream().read(RECORDED[2]) is None


def test_pieces_of_text_are_counted_and_nothing_more() -> None:
    stream = a_stream()
    stream.follow("ses_1")
    delta = envelope("message.part.delta", {"sessionID": "ses_1", "delta": "x"})
    stranger = envelope("message.part.delta", {"sessionID": "ses_2", "delta": "x"})
    assert [stream.read(line) for line in (delta, delta, stranger)] == [None] * 3
    assert (stream.deltas("ses_1"), stream.deltas("ses_2")) == (2, 0)
    stream.unfollow("ses_1")
    assert stream.deltas("ses_1") == 0


def test_a_sub_agent_of_a_followed_thread_is_followed() -> None:
    stream = a_stream()
    stream.follow("ses_parent")
    created = envelope(
        "session.created", {"sessionID": "ses_child", "info": {"id": "ses_child", "parentID": "ses_parent"}}
    )
    asked = envelope("permission.asked", {"id": "per_1", "sessionID": "ses_child"})
    assert stream.read(asked) is None
    assert stream.read(created) is not None
    assert isinstance(getattr(stream.read(asked), "event", None), wire_events.PermissionAsked)


def test_an_unknown_kind_a_newer_shape_and_a_broken_line_are_passed_over() -> None:
    stream = a_stream()
    stream.follow("ses_1")
    for line in (
        envelope("something.new", {"sessionID": "ses_1"}),
        envelope("session.status", {"sessionID": "ses_1", "status": "busy"}),
        b'{"payload":{"type":"session.idle"',
        b"",
    ):
        assert stream.read(line) is None
    newer = envelope("session.status", {"sessionID": "ses_1", "status": {"type": "busy", "new": 1}, "more": []})
    assert stream.read(newer) is not None


def test_an_unknown_kind_of_part_does_no_harm() -> None:
    part = {"id": "prt_1", "messageID": "msg_1", "sessionID": "ses_1", "type": "hologram", "beam": {"x": 1}}
    assert msgspec.convert(part, wire.Part).type == "hologram"


# ── the connection ───────────────────────────────────────────────────────
class Source:
    """A server of events: each connection gets what is put into the queue; None cuts it."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.connections = 0
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        while (line := await self.lines.get()) is not None:
            await response.write(b"data: " + line + b"\n\n")
        return response


@pytest_asyncio.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_get("/global/event", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.lines.put_nowait(None)
    await runner.cleanup()


async def test_each_gap_is_marked_and_the_stream_comes_back(source: Source) -> None:
    client = OpenCode(source.url, None)
    stream = EventStream(client)
    stream.follow("ses_1")
    told: asyncio.Queue[Signal] = asyncio.Queue()

    async def follow() -> None:
        async for signal in stream.signals():
            told.put_nowait(signal)

    async def following() -> Signal:
        return await asyncio.wait_for(told.get(), 60)

    follower = asyncio.create_task(follow())
    idle = envelope("session.idle", {"sessionID": "ses_1"})
    assert isinstance(await following(), Connected)
    source.lines.put_nowait(idle)
    assert isinstance(await following(), Heard)
    source.lines.put_nowait(None)
    assert isinstance(await following(), Lost)
    assert not stream.connected
    assert isinstance(await following(), Connected)
    source.lines.put_nowait(idle)
    assert isinstance(await following(), Heard)
    assert source.connections == 2
    stream.close()
    await asyncio.wait_for(follower, 60)
    await client.close()


async def test_silence_beyond_the_read_timeout_is_a_gap(source: Source) -> None:
    client = OpenCode(source.url, None)
    stream = EventStream(client, read_timeout_s=60.0)
    signals = stream.signals()
    assert isinstance(await anext(signals), Connected)
    skip(60.0)
    assert isinstance(await asyncio.wait_for(anext(signals), 60), Lost)
    await signals.aclose()
    await client.close()


@pytest.mark.parametrize("path", ["", "/no/such/prefix"])
async def test_a_server_without_a_stream_is_tried_again_and_again(source: Source, path: str) -> None:
    client = OpenCode(source.url + path if path else "http://127.0.0.1:9", None)
    stream = EventStream(client)
    signals = stream.signals()
    for _ in range(2):
        assert isinstance(await asyncio.wait_for(anext(signals), 60), Lost)
    stream.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(signals), 60)
    await client.close()


async def test_a_client_that_is_closed_in_the_middle_leaves_no_reader_waiting_for_ever(source: Source) -> None:
    client = OpenCode(source.url, None)
    stream = EventStream(client)
    signals = stream.signals()
    assert isinstance(await anext(signals), Connected)
    following = asyncio.create_task(anext(signals))
    await client.close()  # its server was started anew
    source.lines.put_nowait(None)
    assert isinstance(await asyncio.wait_for(following, 60), Lost)
    await signals.aclose()


async def test_a_closed_client_makes_no_new_connection() -> None:
    client = OpenCode("http://127.0.0.1:9", None)
    await client.close()
    with pytest.raises(OpenCodeDown, match="started anew"):
        await client.health()
