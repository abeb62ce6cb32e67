"""One message and the answer to it, read as it is written: for a program that talks with OpenCode itself.

The service does not use this: there the follower reads all runs and the machine decides. Here nobody is behind the
program who could answer, so an ask is answered at once with the word that nobody is there, and the run goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from dragoman import logs
from dragoman.core import prompts, wording
from dragoman.core.events.opencode import (
    Aborted,
    AgentEvent,
    Answered,
    AskRaised,
    Broke,
    Declined,
    PermissionAsked,
    QuestionAsked,
    RunInterrupted,
    RunRetrying,
    RunSettled,
)
from dragoman.core.limits import Rules
from dragoman.errors import NoAnswer, NotFound, OpenCodeDown
from dragoman.ids import AgentThread, MessageId, RunId
from dragoman.opencode.client import OpenCode
from dragoman.opencode.inbound import RunView, Verdict
from dragoman.opencode.live_text import LiveText
from dragoman.opencode.stopping import stop_run
from dragoman.opencode.stream import Connected, EventStream, Heard, Lost, Signal, Streamed
from dragoman.record import Record

CONNECT_S = 15.0  # for the event stream to begin
LOOK_S = 20.0  # the run is read over REST at least so often
LOOK_AGAIN_S = 0.5  # after a failed read
STOP_S = 8.0  # for a run that we end to have ended
_WAITING = 1_000  # signals; a program that reads slowly slows the stream down
_RULES = Rules()
_log = logs.get("opencode.listening")


class Chunk(Record):
    """A piece of an answer.

    content     the text, exactly as the model wrote it; never empty
    message_id  OpenCode's id of the message that it belongs to
    part_id     of the text within it; a new one begins after each tool call
    """

    content: str
    message_id: str
    part_id: str


class Listening:
    """Gives a message to a thread and reads what is said in answer.

    give        puts the message into the thread; called once, when the stream is open
    message     its id
    silence_s   the run is ended when so long nothing moved
    deadline_s  and when it has taken so long as a whole
    """

    def __init__(
        self,
        client: OpenCode,
        thread: AgentThread,
        directory: str,
        message: MessageId,
        give: Callable[[], Awaitable[None]],
        *,
        silence_s: float,
        deadline_s: float,
    ) -> None:
        self._client = client
        self._thread = thread
        self._directory = directory
        self._message = message
        self._give = give
        self._silence_s = silence_s
        self._deadline_s = deadline_s
        self._view = RunView(RunId(f"{thread}/{message}"), thread, directory, (message,))
        self._text = LiveText()
        self._moved_at = 0.0
        self._mark = -1
        self.answer: Answered | None = None  # once `chunks` has ended

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """What the agent says, until it has ended.

        Raises  NoAnswer when it ended without an answer, or we ended it; OpenCodeDown, OpenCodeError
        """
        stream = EventStream(self._client)
        stream.follow(self._thread, text=True)
        signals: asyncio.Queue[Signal] = asyncio.Queue(_WAITING)
        reader = asyncio.create_task(_pump(stream, signals))
        try:
            await _connected(signals)
            await self._give()
            started = self._moved_at = time.monotonic()
            async with contextlib.aclosing(self._read(stream, signals, started + self._deadline_s)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            stream.close()
            reader.cancel()
            await asyncio.wait([reader])

    # ── reading ──────────────────────────────────────────────────────────
    async def _read(self, stream: EventStream, signals: asyncio.Queue[Signal], until: float) -> AsyncGenerator[Chunk]:
        verdict: Verdict | None = None
        look_at = time.monotonic() + LOOK_S
        while True:
            news = await _next(signals, min(look_at, until, self._moved_at + self._silence_s) - time.monotonic())
            for chunk in self._heard(news):
                self._moved_at = time.monotonic()
                yield chunk
            if (news and self._view.idle) or any(isinstance(signal, Connected) for signal in news):
                look_at = 0.0  # at once: it may have ended, or something was missed
            if time.monotonic() >= look_at:
                chunks = await self._look()
                for chunk in chunks or ():
                    yield chunk
                for child in self._view.children:
                    stream.follow(child)
                verdict = self._view.settled(verdict) if chunks is not None else None
                wait_s = verdict.wait_s if verdict else LOOK_AGAIN_S if chunks is None or self._view.idle else LOOK_S
                look_at = time.monotonic() + wait_s
            if verdict is not None and verdict.confirmed:
                self.answer = _answer_of(verdict.event)
                return
            for _, fact in self._view.facts():
                await self._react(fact)
            await self._watch(until)

    def _heard(self, signals: list[Signal]) -> Iterator[Chunk]:
        for signal in signals:
            match signal:
                case Streamed(message=message, part=part, text=text):
                    if self._view.answers(message) and (said := self._text.piece(part, text)):
                        yield Chunk(content=said, message_id=message, part_id=part)
                case Heard():
                    yield from self._heard_event(signal)
                case Connected() | Lost():
                    self._text.lost()

    def _heard_event(self, heard: Heard) -> Iterator[Chunk]:
        self._view.apply_event(heard.event, time.time())
        part = getattr(heard.event.properties, "part", None)
        if part is not None and self._view.answers(part.messageID) and (said := self._text.part(part, heard=True)):
            yield Chunk(content=said, message_id=part.messageID, part_id=part.id)

    async def _look(self) -> list[Chunk] | None:
        """Read the run over REST; None when that was not possible. Raises NotFound, OpenCodeError."""
        try:
            snapshot = await self._client.snapshot(self._thread, self._directory, self._view.resync_from())
        except OpenCodeDown as error:
            _log.info("opencode.away", thread=self._thread, error=str(error))
            return None
        self._view.apply_snapshot(snapshot)
        return [
            Chunk(content=said, message_id=part.messageID, part_id=part.id)
            for message in snapshot.messages
            if self._view.answers(message.info.id)
            for part in message.parts
            if (said := self._text.part(part, heard=False))
        ]

    # ── what it waits for, and for how long ──────────────────────────────
    async def _react(self, fact: AgentEvent) -> None:
        match fact:
            case PermissionAsked() | QuestionAsked():
                await self._answer_ask(fact)
            case RunRetrying(attempt=attempt, since_s=since_s, cause=cause):
                if attempt >= _RULES.retry_attempts or since_s >= _RULES.retry_s:
                    await self._end(wording.trouble.gave_up_retrying(fact), cause)
            case _:
                pass

    async def _answer_ask(self, ask: AskRaised) -> None:
        _log.info("ask.declined", thread=self._thread, ask=ask.ask)
        with contextlib.suppress(NotFound):
            if isinstance(ask, PermissionAsked):
                await self._client.reply_permission(
                    ask.ask, ask.thread, self._directory, "reject", wording.asking.PERMISSION_EXPIRED_FOR_AGENT
                )
            else:
                answers = [[prompts.NOBODY_TO_ASK] for _ in ask.questions]
                await self._client.reply_question(ask.ask, ask.thread, self._directory, answers)

    async def _watch(self, until: float) -> None:
        now = time.monotonic()
        if (mark := self._view.fingerprint()) != self._mark:
            self._mark, self._moved_at = mark, now
        if now - self._moved_at > self._silence_s:
            await self._end(f"OpenCode was silent for {self._silence_s:g} s, so the run was ended.", "silent")
        if now > until:
            await self._end(f"OpenCode had not ended after {self._deadline_s:g} s, so the run was ended.", "timeout")

    async def _end(self, words: str, cause: str) -> None:
        verified, detail = await stop_run(self._client, self._thread, self._directory, STOP_S)
        raise NoAnswer(words if verified else f"{words} Its end could not be verified: {detail}.", cause=cause)


def _answer_of(event: RunSettled | RunInterrupted) -> Answered:
    if isinstance(event, RunInterrupted):
        raise NoAnswer("OpenCode was cut in the middle of this run. Send “go on” to continue.", cause="interrupted")
    match event.outcome:
        case Answered() as answered:
            return answered
        case Broke(cause=cause, text=text) as broke:
            retryable = cause in {"timeout", "rate_limit", "server"}
            raise NoAnswer(wording.trouble.broke(broke), cause=cause, text=text, retryable=retryable)
        case Declined(text=text):
            raise NoAnswer(wording.ending.DECLINED, cause="declined", text=text, retryable=False)
        case Aborted(text=text):
            raise NoAnswer(wording.ending.ENDED_ELSEWHERE, cause="stopped", text=text, retryable=False)


async def _pump(stream: EventStream, signals: asyncio.Queue[Signal]) -> None:
    async with contextlib.aclosing(stream.signals()) as heard:
        async for signal in heard:
            await signals.put(signal)


async def _connected(signals: asyncio.Queue[Signal]) -> None:
    reason = f"no event stream within {CONNECT_S:g} s"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            while not isinstance(signal := await signals.get(), Connected):
                if isinstance(signal, Lost):
                    reason = signal.reason
            return
    raise OpenCodeDown(f"OpenCode's events could not be read: {reason}")


async def _next(signals: asyncio.Queue[Signal], within_s: float) -> list[Signal]:
    """What has come, oldest first; waits a while for the first."""
    found: list[Signal] = []
    with contextlib.suppress(TimeoutError):
        if within_s > 0:
            async with asyncio.timeout(within_s):  # wait_for of Python 3.11 loses a cancellation that meets a signal
                found.append(await signals.get())
    while not signals.empty():
        found.append(signals.get_nowait())
    return found
