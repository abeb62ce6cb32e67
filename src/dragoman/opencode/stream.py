"""The one reader of a server's events.

A streaming answer is thousands of events that say nothing to us. They are dropped by a look at their first bytes;
only their number is kept, for each thread that is followed: a model that writes for minutes is no stall.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
import msgspec

from dragoman import logs
from dragoman.errors import OpenCodeError
from dragoman.opencode import wire_events
from dragoman.opencode.client import OpenCode
from dragoman.opencode.sse import Frames

READ_TIMEOUT_S: Final = 25.0  # two and a half of OpenCode's heartbeats
CONNECT_TIMEOUT_S: Final = 10.0
FIRST_BACKOFF_S: Final = 0.2
LONGEST_BACKOFF_S: Final = 5.0

log = logs.get("opencode.stream")


class Connected(msgspec.Struct, frozen=True):
    """Events flow from here on. Whatever was before is lost: read a snapshot of every open run now."""


class Lost(msgspec.Struct, frozen=True):
    """The connection ended; it is being made again. `reason` is for the log."""

    reason: str


class Heard(msgspec.Struct, frozen=True):
    """An event. `thread` is the one it is about ("" = the server), `directory` its instance."""

    thread: str
    directory: str
    event: wire_events.WireEvent


class Streamed(msgspec.Struct, frozen=True):
    """A piece of a text that is being written; only of threads that are followed with `text=True`.

    part  whose it is: of an answer, or of reasoning, which an event before it has said
    """

    thread: str
    message: str
    part: str
    text: str


Signal = Connected | Lost | Heard | Streamed


class EventStream:
    """The events of one server that concern threads which are followed, with a mark at each gap.

    `async for signal in stream.signals()` never ends by itself: it reconnects with backoff until it is closed.
    """

    def __init__(self, client: OpenCode, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self._client = client
        self._read_timeout_s = read_timeout_s
        self._deltas: dict[bytes, int] = {}
        self._read_along: set[bytes] = set()  # threads whose text is wanted as it comes
        self._closed = asyncio.Event()
        self._answer: aiohttp.ClientResponse | None = None
        self.connected = False

    def follow(self, thread: str, *, text: bool = False) -> None:
        """Hear events of this thread, and of sub-agents that it starts from now on; `text`: its text as it comes, too."""
        self._deltas.setdefault(thread.encode(), 0)
        if text:
            self._read_along.add(thread.encode())

    def unfollow(self, thread: str) -> None:
        """Stop hearing this thread."""
        self._deltas.pop(thread.encode(), None)
        self._read_along.discard(thread.encode())

    def deltas(self, thread: str) -> int:
        """How many pieces of streaming text were seen in the thread: a sign of life, nothing more."""
        return self._deltas.get(thread.encode(), 0)

    def close(self) -> None:
        """End `signals()`, whatever it waits for except the making of a connection, which has its own deadline."""
        self._closed.set()
        if self._answer is not None:
            self._answer.close()

    async def signals(self) -> AsyncGenerator[Signal]:
        """Connect, read, and connect again, until closed."""
        # A session of its own: closing the client's would leave a read in its middle to wait for ever, deadline and all.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), trust_env=False) as http:
            backoff_s = FIRST_BACKOFF_S
            while not self._closed.is_set():
                reason = "closed by OpenCode"
                try:
                    async with http.get(
                        f"{self._client.url}/global/event",
                        headers={"accept": "text/event-stream", **self._client.auth},
                        timeout=aiohttp.ClientTimeout(
                            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._read_timeout_s
                        ),
                    ) as answer:
                        if answer.status != 200 or answer.content_type != "text/event-stream":
                            raise OpenCodeError(f"no event stream: {answer.status} {answer.content_type}")
                        backoff_s = FIRST_BACKOFF_S
                        self._answer = answer
                        self.connected = True
                        yield Connected()
                        frames = Frames()
                        async for chunk in answer.content.iter_any():
                            for payload in frames.feed(chunk):
                                if (heard := self.read(payload)) is not None:
                                    yield heard
                except (TimeoutError, aiohttp.ClientError, OpenCodeError) as error:
                    reason = str(error) or type(error).__name__
                finally:
                    self.connected, self._answer = False, None
                if self._closed.is_set():
                    return
                yield Lost(reason)
                try:
                    await asyncio.wait_for(self._closed.wait(), backoff_s)
                except TimeoutError:
                    backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    def read(self, payload: bytes) -> Heard | Streamed | None:
        """One event of the stream, or None when it is none of ours."""
        kind, thread = wire_events.peek(payload)
        if kind == wire_events.DELTA:
            if thread in self._deltas:
                self._deltas[thread] += 1
            return _streamed(payload) if thread in self._read_along else None
        if kind not in wire_events.KINDS:
            return None
        if thread and thread not in self._deltas and kind != b"session.created":
            return None
        try:
            envelope = wire_events.decode_envelope(payload)
        except msgspec.MsgspecError as error:
            log.warning("event.unreadable", kind=kind.decode("ascii", "replace"), error=str(error))
            return None
        event = envelope.payload
        if isinstance(event, wire_events.SessionCreated):
            parent = (event.properties.info.parentID or "").encode()
            if parent not in self._deltas:
                return None
            self.follow(event.properties.info.id)
        return Heard(thread.decode(), envelope.directory, event)


def _streamed(payload: bytes) -> Streamed | None:
    try:
        piece = wire_events.decode_delta(payload).payload.properties
    except msgspec.MsgspecError as error:
        log.warning("event.unreadable", kind="message.part.delta", error=str(error))
        return None
    return Streamed(piece.sessionID, piece.messageID, piece.partID, piece.delta) if piece.field == "text" else None
