"""What we ask of OpenCode, one method for each route that we use.

Every call has a deadline, names the directory it is about, and checks that what came back is JSON: an unknown path of
OpenCode answers 200 with a web page, which is also what a server of another dialect would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import quote

import aiohttp
import msgspec

from dragoman.errors import NotFound, OpenCodeDown, OpenCodeError
from dragoman.ids import AgentThread, AskId, MessageId, PartId
from dragoman.opencode import wire
from dragoman.opencode.attached import FilePart, file_parts
from dragoman.opencode.calls import CALL_DEADLINE_S, Calls
from dragoman.opencode.picture import Snapshot

Rule = Mapping[str, str]  # {"permission", "pattern", "action": allow | ask | deny}; the last that matches wins

PROMPT_DEADLINE_S: Final = 30.0  # the first prompt of a fresh process takes seconds longer than the rest
ADMITTED_WITHIN_S: Final = 3.0  # longer only when the server is busy, or never for an agent that it does not know
DELETE_S: Final = 60.0
_METADATA_KEY: Final = "dragoman"
_FIRST_PAGE: Final = 40  # messages; grown until the page reaches back far enough
_LARGEST_PAGE: Final = 25_000
_OUTPUT_FILE: Final = re.compile(rb"tool-output/(tool_[0-9A-Za-z]+)")
_QUIET: Final = wire.Status("idle")


class OpenCode:
    """A client of one OpenCode server.

    url       its base, "http://127.0.0.1:24096"
    password  of the Basic user `opencode`; None when the server has none
    http      a session to use, closed by whoever made it; None makes one of our own
    """

    def __init__(self, url: str, password: str | None, http: aiohttp.ClientSession | None = None) -> None:
        self._calls = Calls(url, password, http)

    @property
    def url(self) -> str:
        """The server's base."""
        return self._calls.url

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP session, for the event stream. Raises OpenCodeDown when it was closed."""
        return self._calls.http

    @property
    def auth(self) -> Mapping[str, str]:
        """The header with the credentials, for the event stream; empty without a password."""
        return self._calls.auth

    async def close(self) -> None:
        """Let the connections go."""
        await self._calls.close()

    # ── the server ───────────────────────────────────────────────────────
    async def health(self, deadline_s: float = 2.0) -> str:
        """The version of the server.

        Raises  OpenCodeDown when it does not answer; OpenCodeError when what answers is no OpenCode of the v1 routes
        """
        said = await self._calls.read(
            "GET", "/global/health", None, msgspec.json.Decoder(wire.Health).decode, deadline_s
        )
        if not said.healthy:
            raise OpenCodeError("OpenCode says that it is not healthy")
        return said.version

    async def providers(self, directory: str) -> tuple[str, ...]:
        """The models that the server offers in a directory, as "provider/model"."""
        said = await self._calls.read(
            "GET", "/config/providers", directory, msgspec.json.Decoder(_Providers).decode, 30.0
        )
        return tuple(f"{provider.id}/{model}" for provider in said.providers for model in provider.models)

    async def own_directory(self) -> str:
        """The directory that the server was started in."""
        said = await self._calls.read("GET", "/path", None, msgspec.json.Decoder(_Path).decode)
        return said.directory

    async def dispose(self, directory: str) -> None:
        """Free what the server keeps in memory for a directory. Cuts whatever runs there."""
        await self._calls.call("POST", "/instance/dispose", directory)

    # ── threads ──────────────────────────────────────────────────────────
    async def find_thread(self, directory: str, key: str) -> AgentThread | None:
        """The thread that was created with `key`, if any: creating one has no id of ours, so look before."""
        return next(iter(await self.threads_of(directory, key)), None)

    async def threads_of(self, directory: str, key: str) -> tuple[AgentThread, ...]:
        """All threads that were created with `key`."""
        found = await self._calls.read(
            "GET", f"/session?search={quote(key, safe='')}&limit=50", directory, wire.decode_sessions
        )
        return tuple(
            AgentThread(session.id)
            for session in found
            if (session.metadata or {}).get(_METADATA_KEY) == key or session.title.endswith(key)
        )

    async def create_thread(
        self,
        directory: str,
        title: str,
        key: str,
        rules: Sequence[Rule] = (),
        more: Mapping[str, object] | None = None,
    ) -> AgentThread:
        """Create a thread whose commands run in `directory`.

        key    ours; stands in the title, by which OpenCode can search, and in the metadata
        rules  permissions of this thread on top of the server's
        more   other values of ours, to be kept with it
        """
        metadata = {**(more or {}), _METADATA_KEY: key}
        body: dict[str, object] = {"title": f"{title} · {key}" if title else key, "metadata": metadata}
        if rules:
            body["permission"] = [dict(rule) for rule in rules]
        made = await self._calls.read("POST", "/session", directory, wire.decode_session, PROMPT_DEADLINE_S, body)
        return AgentThread(made.id)

    async def thread(self, thread: AgentThread) -> wire.SessionInfo:
        """A thread with its own directory, whatever that is. Raises NotFound."""
        return await self._calls.read("GET", f"/session/{thread}", None, wire.decode_session)

    async def keep(self, thread: AgentThread, directory: str, metadata: Mapping[str, object]) -> None:
        """Keep values of ours with a thread, in place of all that were there."""
        await self._calls.call("PATCH", f"/session/{thread}", directory, CALL_DEADLINE_S, {"metadata": dict(metadata)})

    async def thread_exists(self, thread: AgentThread, directory: str) -> bool:
        """Whether the server knows the thread."""
        try:
            await self._calls.read("GET", f"/session/{thread}", directory, wire.decode_session)
        except NotFound:
            return False
        return True

    async def children(self, thread: AgentThread, directory: str) -> tuple[AgentThread, ...]:
        """The threads of the sub-agents of a thread."""
        found = await self._calls.read("GET", f"/session/{thread}/children", directory, wire.decode_sessions)
        return tuple(AgentThread(session.id) for session in found)

    async def output_files(self, thread: AgentThread, directory: str) -> tuple[str, ...]:
        """Names of the files in which OpenCode keeps long outputs of tools, those of sub-agents too."""
        try:
            found = [
                name
                for child in await self.children(thread, directory)
                for name in await self.output_files(child, directory)
            ]
            said = await self._calls.call(
                "GET", f"/session/{thread}/message?limit={_LARGEST_PAGE}", directory, DELETE_S
            )
        except NotFound:
            return ()
        return tuple(dict.fromkeys([*found, *(name.decode() for name in _OUTPUT_FILE.findall(said))]))

    async def delete_thread(self, thread: AgentThread, directory: str) -> None:
        """Delete a thread and those of its sub-agents, with all that was said; one that is gone is a success."""
        with contextlib.suppress(NotFound):
            await self._calls.call("DELETE", f"/session/{thread}", directory, DELETE_S)

    async def statuses(self, directory: str) -> dict[str, wire.Status]:
        """The threads of a directory that are not idle."""
        return await self._calls.read("GET", "/session/status", directory, wire.decode_statuses)

    # ── prompts and messages ─────────────────────────────────────────────
    async def message(self, thread: AgentThread, directory: str, message_id: MessageId) -> wire.Message | None:
        """One message; None when the thread has no such (then a prompt was not admitted)."""
        try:
            return await self._calls.read(
                "GET", f"/session/{thread}/message/{message_id}", directory, wire.decode_message
            )
        except NotFound:
            return None

    async def messages(self, thread: AgentThread, directory: str, limit: int) -> list[wire.Message]:
        """The newest `limit` messages, oldest of them first."""
        path = f"/session/{thread}/message?limit={limit}"
        return await self._calls.read("GET", path, directory, wire.decode_messages)

    async def prompt(
        self,
        thread: AgentThread,
        directory: str,
        message_id: MessageId,
        part_id: PartId,
        text: str,
        model: str | None,
        agent: str,
        files: Sequence[FilePart] = (),
    ) -> None:
        """Give the thread a message of ours and see that it is there.

        Sent again with the same ids it is absorbed while it is the thread's last user message, or resumes its run when
        that was cut; after a newer one it would be answered once more: ask `message` first.

        model   "provider/model"; None leaves it to the server's configuration
        files   given to the model beside the text
        Raises  OpenCodeDown (it may have been admitted), OpenCodeError not retryable when nothing was stored
        """
        body: dict[str, object] = {
            "messageID": message_id,
            "agent": agent,
            "parts": [{"id": part_id, "type": "text", "text": text}, *file_parts(message_id, files)],
        }
        if model:
            provider, _, name = model.partition("/")
            body["model"] = {"providerID": provider, "modelID": name}
        await self._calls.call("POST", f"/session/{thread}/prompt_async", directory, PROMPT_DEADLINE_S, body)
        asked = time.monotonic()
        doubted = False
        while await self.message(thread, directory, message_id) is None:
            waited = time.monotonic() - asked
            if waited > ADMITTED_WITHIN_S and not doubted and not await self._knows_agent(agent, directory):
                raise OpenCodeError(
                    f"OpenCode took the prompt but did not store it; does it have an agent called {agent!r}?",
                    retryable=False,
                    cause="not_found",
                )
            doubted = waited > ADMITTED_WITHIN_S
            if waited > PROMPT_DEADLINE_S:  # a busy server, whose instance for the directory is still being made
                raise OpenCodeDown(
                    f"OpenCode took the prompt but had not stored it after {PROMPT_DEADLINE_S:.0f} s", cause="timeout"
                )
            await asyncio.sleep(0.1)

    async def _knows_agent(self, agent: str, directory: str) -> bool:
        """Whether a prompt for the agent can be stored at all."""
        try:
            return any(
                one.name == agent for one in await self._calls.read("GET", "/agent", directory, wire.decode_agents)
            )
        except OpenCodeDown:
            return True  # nothing is known
        except OpenCodeError:
            return False

    async def abort(self, thread: AgentThread, directory: str) -> None:
        """Ask the thread to stop. Says nothing about whether it did: see stopping.stop_run."""
        await self._calls.call("POST", f"/session/{thread}/abort", directory, 5.0)

    async def snapshot(self, thread: AgentThread, directory: str, since: MessageId) -> Snapshot:
        """All that a RunView needs, with the messages from `since` on.

        The status is read before the messages: were it the other way round, a run that ends between the two reads
        would look as if it had been cut.
        """
        at = time.time()
        statuses, permissions, questions, children = await asyncio.gather(
            self.statuses(directory),
            self._calls.read("GET", "/permission", directory, wire.decode_permissions),
            self._calls.read("GET", "/question", directory, wire.decode_questions),
            self.children(thread, directory),
        )
        limit = _FIRST_PAGE
        messages = await self.messages(thread, directory, limit)
        while len(messages) >= limit < _LARGEST_PAGE and all(message.info.id != since for message in messages):
            limit *= 5
            messages = await self.messages(thread, directory, limit)
        return Snapshot(
            at=at,
            status=statuses.get(thread, _QUIET),
            messages=messages,
            permissions=permissions,
            questions=questions,
            children={child: statuses.get(child, _QUIET) for child in children},
        )

    async def file_content(self, directory: str, path: str) -> str:
        """What the server reads in a file of a directory; it shows whether both of us see the same disk.

        path  relative to the directory
        """
        said = await self._calls.read(
            "GET", f"/file/content?path={quote(path, safe='')}", directory, msgspec.json.Decoder(_FileContent).decode
        )
        return said.content

    # ── asks ─────────────────────────────────────────────────────────────
    async def pending(self, directory: str) -> tuple[AskId, ...]:
        """Permissions and questions that the server lists; those of aborted runs linger there."""
        permissions = await self._calls.read("GET", "/permission", directory, wire.decode_permissions)
        questions = await self._calls.read("GET", "/question", directory, wire.decode_questions)
        return tuple(AskId(known) for known in [*(p.id for p in permissions), *(q.id for q in questions)])

    async def reply_permission(
        self,
        ask: AskId,
        thread: AgentThread,
        directory: str,
        reply: Literal["once", "always", "reject"],
        message: str = "",
    ) -> None:
        """Answer a permission. A rejection without a message ends the run; with one the agent reads it and goes on.

        Raises  NotFound when it was answered already, or the server that asked is gone
        """
        body: dict[str, object] = {"reply": reply}
        if message:
            body["message"] = message
        await self._calls.call("POST", f"/permission/{ask}/reply", directory, CALL_DEADLINE_S, body)

    async def reply_question(
        self, ask: AskId, thread: AgentThread, directory: str, answers: Sequence[Sequence[str]]
    ) -> None:
        """Answer each question of an ask with labels or free text. Raises NotFound as `reply_permission` does."""
        body: dict[str, object] = {"answers": [list(answer) for answer in answers]}
        await self._calls.call("POST", f"/question/{ask}/reply", directory, CALL_DEADLINE_S, body)


class _Path(msgspec.Struct, frozen=True):
    directory: str


class _FileContent(msgspec.Struct, frozen=True):
    content: str = ""


class _Provider(msgspec.Struct, frozen=True):
    id: str
    models: dict[str, msgspec.Raw] = {}


class _Providers(msgspec.Struct, frozen=True):
    providers: list[_Provider]
