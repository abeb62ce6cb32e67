"""OpenCodeClient: conversations with an OpenCode server, for programs of your own.

It speaks through the client that the service uses. What it sends is sent once: each message has an id of ours, and when
an answer to the sending is lost, OpenCode is asked whether it has the message before it is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.context import LinearContext
from dragoman.core.events.opencode import Usage
from dragoman.core.from_context import prompt_of
from dragoman.core.retry import backoff
from dragoman.errors import ConfigurationError, OpenCodeDown, OpenCodeError, Refusal
from dragoman.ids import AgentThread, MessageId, RunId, message_id, part_id
from dragoman.opencode.client import OpenCode, Rule
from dragoman.opencode.listening import Chunk, Listening
from dragoman.opencode.stopping import stop_run
from dragoman.record import Record

TRIES: Final = 3
STOP_S: Final = 8.0
_TITLE_MOST: Final = 120
_CONTEXT: Final = "dragoman_context"  # in a thread's metadata: what its first message is to bring along
_REASON: Final = "dragoman_completed"  # why it was completed
_SESSION: Final = re.compile(r"ses_[0-9A-Za-z]+")
_log = logs.get("opencode.conversations")


class Reply(Record):
    """What the agent answered.

    text        its last words; empty when it ended without any
    message_id  OpenCode's id of the answer; None when it has none
    usage       tokens and US dollars of the whole run
    """

    text: str
    message_id: str | None = None
    usage: Usage = Usage()


class OpenCodeSession(Record):
    """A session of OpenCode.

    id         "ses_…"
    directory  where its commands run, absolute
    reply      the answer to the first message; None when none was sent
    """

    id: str
    title: str
    directory: str
    reply: Reply | None = None


class SessionState(Record):
    """How a session stands.

    status  idle; busy; retrying (the model's provider failed and is tried again); completed
    detail  why it is tried again, or the reason it was completed for; else empty
    """

    id: str
    title: str
    directory: str
    status: Literal["idle", "busy", "retrying", "completed"]
    detail: str = ""


class Completion(Record):
    """What came of the end: `verified` when nothing of it runs any more, else `detail` says what is unknown."""

    verified: bool
    detail: str = ""


class OpenCodeClient:
    """Conversations with an OpenCode server (1.18, `opencode serve`).

    url         its base, "http://127.0.0.1:4096"
    token       its OPENCODE_SERVER_PASSWORD; None when it has none
    directory   where the agent of a new session works, absolute; None = where the server was started
    model       "provider/model"; None = as the server is configured
    agent       the primary agent
    rules       permissions of new sessions on top of the server's, {"permission", "pattern", "action"}: the last that
                matches wins; action allow, ask or deny
    silence_s   seconds without any sign of life after which a run is ended
    deadline_s  seconds after which it is ended in any case
    Raises      ConfigurationError for a url that is none

    Nobody is behind a program who could answer the agent: a permission that OpenCode wants is declined and a question is
    answered with the word that nobody is there; the run goes on. Allow beforehand what it needs, with `rules`.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        directory: str | None = None,
        model: str | None = None,
        agent: str = "build",
        rules: Sequence[Rule] = (),
        silence_s: float = 600.0,
        deadline_s: float = 3_600.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            shown = logs.masked(url)
            raise ConfigurationError(
                [
                    f"{shown!r} is no address of an OpenCode server like http://127.0.0.1:4096; its password goes into token"
                ]
            )
        logs.hand_over()
        logs.keep_secret([token] if token else [])
        self._client = OpenCode(url, token or None)
        self._directory = directory
        self._model = model
        self._agent = agent
        self._rules = rules
        self._silence_s = silence_s
        self._deadline_s = deadline_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let the connections go. Runs go on in OpenCode."""
        await self._client.close()

    # ── the seed's five ──────────────────────────────────────────────────
    async def create_session(self, context: LinearContext, message: str = "") -> OpenCodeSession:
        """Open a session about an issue, give it its first message, and wait for the answer.

        context  who asks and about what; it goes along with the first message
        message  sent once, here. Empty: nothing is sent, and the first message that is sent later, streamed for
                 instance, brings the context along
        Raises   Refusal when the context lacks something; else as `send_session_message`
        """
        if missing := context.missing():
            raise Refusal(f"The context of the session says nothing in: {', '.join(missing)}.")
        directory = self._directory or await self._client.own_directory()
        title = f"Linear Issue: {context.issue_title}"[:_TITLE_MOST]
        thread = await self._create(directory, title, {_CONTEXT: msgspec.json.encode(context).decode()})
        _log.info("session.created", thread=thread)
        session = OpenCodeSession(id=thread, title=title, directory=directory)
        return replace(session, reply=await self.send_session_message(thread, message)) if message.strip() else session

    async def send_session_message(self, session_id: str, message: str) -> Reply:
        """Send a message and wait for the answer. During a run it steers that run, and one answer covers both.

        Raises  NoAnswer when OpenCode or the model's provider failed, or nothing moved for too long (then the run is
                ended); NotFound for an unknown session; Refusal for an empty message; OpenCodeDown, OpenCodeError
        """
        listening = await self._listen(session_id, message)
        async with contextlib.aclosing(listening.chunks()) as chunks:
            async for _ in chunks:
                pass
        answer = listening.answer
        assert answer is not None  # `chunks` ends with an answer or raises
        return Reply(text=answer.text, message_id=answer.message, usage=answer.usage)

    async def stream_session_message(self, session_id: str, message: str) -> AsyncGenerator[Chunk]:
        """Send a message and read the answer as it is written: `chunk.content` is text in its order.

        It ends when the agent has. Whoever stops reading closes the connection, not the run: that goes on until
        `complete_session`. Put `contextlib.aclosing` around it to have it closed at once.

        Raises  as `send_session_message`
        """
        listening = await self._listen(session_id, message)
        async with contextlib.aclosing(listening.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    async def get_session_status(self, session_id: str) -> SessionState:
        """How a session stands now. Raises NotFound for an unknown one, OpenCodeDown, OpenCodeError."""
        known = await self._client.thread(_thread(session_id))
        status = (await self._client.statuses(known.directory)).get(known.id)
        state = SessionState(id=known.id, title=known.title, directory=known.directory, status="idle")
        if status is not None and status.type == "retry":
            return replace(state, status="retrying", detail=status.message)
        if status is not None and status.type != "idle":
            return replace(state, status="busy")
        reason = (known.metadata or {}).get(_REASON)
        return state if reason is None else replace(state, status="completed", detail=str(reason))

    async def complete_session(self, session_id: str, reason: str) -> Completion:
        """End what runs in a session, its sub-agents included, and keep the reason. A later message takes it up again.

        Raises  NotFound for an unknown one, OpenCodeDown, OpenCodeError
        """
        thread = _thread(session_id)
        known = await self._client.thread(thread)
        verified, detail = await stop_run(self._client, thread, known.directory, STOP_S)
        await self._client.keep(thread, known.directory, {**(known.metadata or {}), _REASON: reason})
        _log.info("session.completed", thread=thread, verified=verified)
        return Completion(verified=verified, detail=detail)

    # ── sending ──────────────────────────────────────────────────────────
    async def _create(self, directory: str, title: str, more: dict[str, object]) -> AgentThread:
        key = secrets.token_hex(8)
        attempt = 1
        while True:
            try:
                # A creation has no id of ours, so after a lost answer we look before we try again.
                found = await self._client.find_thread(directory, key) if attempt > 1 else None
                return found or await self._client.create_thread(directory, title, key, self._rules, more)
            except OpenCodeDown:
                if attempt == TRIES:
                    raise
                await asyncio.sleep(backoff(attempt))
                attempt += 1

    async def _listen(self, session_id: str, message: str) -> Listening:
        if not message.strip():
            raise Refusal("The message is empty: say what the agent shall do.")
        thread = _thread(session_id)
        known = await self._client.thread(thread)
        metadata = dict(known.metadata or {})
        text = _with_context(metadata.pop(_CONTEXT, None), message)
        metadata.pop(_REASON, None)
        id_ = message_id(RunId(f"{thread}/{secrets.token_hex(6)}"), 0, time.time())

        async def give() -> None:
            await self._give(thread, known.directory, id_, text)
            if metadata != (known.metadata or {}):
                await self._client.keep(thread, known.directory, metadata)

        return Listening(
            self._client,
            thread,
            known.directory,
            id_,
            give,
            silence_s=self._silence_s,
            deadline_s=self._deadline_s,
        )

    async def _give(self, thread: AgentThread, directory: str, message: MessageId, text: str) -> None:
        attempt = 1
        while True:
            try:
                if attempt == 1 or await self._client.message(thread, directory, message) is None:
                    await self._client.prompt(
                        thread, directory, message, part_id(message), text, self._model, self._agent
                    )
                return
            except OpenCodeError as error:
                if attempt == TRIES or not error.retryable:
                    raise
                await asyncio.sleep(backoff(attempt))
                attempt += 1


def _with_context(kept: Any, message: str) -> str:
    try:
        context = msgspec.json.decode(kept, type=LinearContext) if isinstance(kept, str) else None
    except msgspec.MsgspecError:
        context = None  # not of our making
    return message if context is None else prompts.follow_up(prompt_of(context, message))


def _thread(session_id: str) -> AgentThread:
    if not _SESSION.fullmatch(session_id):
        raise Refusal(f"{session_id[:60]!r} is no id of an OpenCode session: those begin with ses_.")
    return AgentThread(session_id)
