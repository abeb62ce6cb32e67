"""A pretend OpenCode 1.18 server: the v1 routes that a client needs, played from scripts, with trouble on command.

It behaves as the real one was seen to behave (recordings of it lie in tests/recordings): prompts with known ids are
absorbed, a prompt for a busy thread is taken up at the next step, idle is told before the last write of an abort,
asks are listed for each directory, a server that dies forgets what streamed and what was asked, and resumes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.stories.agent_holds import ROUTES, Hold
from tests.stories.agent_play import Pending, Player
from tests.stories.agent_script import Part
from tests.stories.agent_threads import Thread, Wire, new_id

HOST = "127.0.0.1"
HEARTBEAT_S = 10.0


class ScriptedAgent:
    """The server. `password` is wanted of everybody; `changed` is called after each change."""

    def __init__(self, *, password: str, changed: Callable[[], None] = lambda: None) -> None:
        self.password = password
        self.port = 0
        self.threads: dict[str, Thread] = {}
        self.changed = changed
        self.player = Player(changed, self._new_thread)
        self.requests: list[str] = []  # labels, oldest first
        self.aborts: list[str] = []  # threads
        self._holds: list[Hold] = []
        self.forgets_prompts = False  # take them and store nothing, as for an agent that it does not know
        self._refused: dict[str, tuple[int, Wire]] = {}  # label -> how it is answered
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self._runner: web.AppRunner | None = None
        self._open: list[web.Request] = []
        self._routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "health": self._health,
            "events": self._events,
            "dispose": self._dispose,
            "path": self._path,
            "find_thread": self._find_thread,
            "create_thread": self._create_thread,
            "status": self._status,
            "thread": self._thread,
            "keep": self._keep,
            "children": self._children,
            "messages": self._messages,
            "message": self._message,
            "prompt": self._prompt,
            "abort": self._abort,
            "permissions": self._permissions,
            "permission_reply": self._permission_reply,
            "questions": self._questions,
            "question_reply": self._question_reply,
            "question_reject": self._question_reject,
            "file": self._file,
            "delete": self._delete,
        }

    # ── what tests tell it ───────────────────────────────────────────────
    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def plays(self, fragment: str, *steps: tuple[Part, ...] | Part) -> None:
        """Play these steps for messages that contain `fragment` ("" = any that begins a run)."""
        whole = tuple(step if isinstance(step, tuple) else (step,) for step in steps)
        self.player.scripts.append((fragment, whole))

    def release(self, gate: str) -> None:
        """Let what waits for a gate go on."""
        self.player.gate(gate).set()

    def hold(self, label: str, *, after: bool = False) -> Hold:
        """Stop the next request of that label."""
        return self._order(Hold(label, self.changed, after=after))

    def lose_reply(self, label: str) -> Hold:
        """Carry the next request of that label out, then cut its connection."""
        return self._order(Hold(label, self.changed, after=True, lose=True))

    def refuse(self, label: str, status: int, body: Wire | None = None) -> None:
        """Answer every request of that label with this status, until told `refuse(label, 0)`."""
        self._refused[label] = (
            status,
            body or {"name": "UnknownError", "data": {"message": "Unexpected server error."}},
        )

    def cut_streams(self) -> None:
        """End every event stream."""
        for reader in self._readers:
            reader.put_nowait(None)

    async def die(self) -> None:
        """As after kill -9: connections are cut, runs end where they are, nothing listens."""
        self.player.cut()
        for thread in self.threads.values():
            thread.status = {"type": "idle"}
            thread.partial.clear()
            thread.allowed.clear()
        self.cut_streams()
        for request in list(self._open):
            if request.transport is not None:
                request.transport.abort()
        for hold in self._holds:
            hold.release()
        self._holds.clear()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def come_up(self) -> None:
        """Listen, at the same port as before."""
        if not self.port:
            place = socket.socket()  # bound as long as the agent is there: nobody takes the port while it is down
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((HOST, 0))
            weakref.finalize(self, place.close)
            self.port = place.getsockname()[1]
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for method, path in ROUTES:
            app.router.add_route(method, path, self._answer)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()

    async def restart(self) -> None:
        """Die and come up."""
        await self.die()
        await self.come_up()

    # ── what tests ask it ────────────────────────────────────────────────
    def thread_of(self, key: str) -> Thread:
        """The newest thread of a session. Raises LookupError."""
        for thread in reversed(self.threads.values()):
            if str(thread.metadata.get("dragoman")).startswith(key):
                return thread
        raise LookupError(key)

    def runs_twice(self) -> dict[str, int]:
        """Messages that the model was set to work on more than once."""
        return {message: count for message, count in self.player.runs.items() if count > 1}

    def asks(self) -> list[Wire]:
        """What waits for an answer."""
        return [one.shown for one in (*self.player.permissions.values(), *self.player.questions.values())]

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    # ── requests ─────────────────────────────────────────────────────────
    def _order(self, hold: Hold) -> Hold:
        self._holds.append(hold)
        return hold

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info.route.resource
        label = ROUTES.get((request.method, resource.canonical if resource is not None else ""), "")
        if request.headers.get("authorization") != self._credentials():
            return web.Response(status=401, headers={"www-authenticate": 'Basic realm="Secure Area"'})
        self.requests.append(label)
        status, body = self._refused.get(label, (0, {}))
        if status:
            return web.json_response(body, status=status)
        hold = next((one for one in self._holds if one.label == label), None)
        if hold is not None:
            self._holds.remove(hold)
        async with self._known(request):
            if hold is not None and not hold.after:
                await hold.stand()
                if request.transport is None or request.transport.is_closing():
                    return web.Response()  # whoever asked is gone: it was never carried out
            try:
                response = await self._routes.get(label, self._page)(request)
            except web.HTTPNotFound as not_found:
                response = web.Response(status=404, text=not_found.text, content_type="application/json")
            if hold is not None and hold.after:
                await hold.stand()
                if hold.lose and request.transport is not None:
                    request.transport.abort()
            self.changed()
            return response

    @asynccontextmanager
    async def _known(self, request: web.Request) -> AsyncIterator[None]:
        self._open.append(request)
        try:
            yield
        finally:
            self._open.remove(request)

    def _credentials(self) -> str:
        return "Basic " + base64.b64encode(f"opencode:{self.password}".encode()).decode()

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>OpenCode</title>", content_type="text/html")

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"healthy": True, "version": "1.18.33"})

    async def _file(self, request: web.Request) -> web.Response:
        content = _read(request.headers["x-opencode-directory"], request.query["path"])
        return web.json_response({"type": "text", "content": content})

    async def _path(self, _: web.Request) -> web.Response:
        return web.json_response({"directory": "/srv/started/here", "worktree": "/", "home": "/home/agent"})

    async def _dispose(self, request: web.Request) -> web.Response:
        directory = request.headers["x-opencode-directory"]
        for thread in self.threads.values():
            if thread.directory == directory:
                self.player.cut(thread)
                thread.status = {"type": "idle"}
                thread.allowed.clear()
        self._emit(directory, "server.instance.disposed", {"directory": directory})
        return web.json_response(True)

    # ── threads ──────────────────────────────────────────────────────────
    def _new_thread(self, directory: str, body: Wire, parent: str | None = None) -> Thread:
        thread = Thread(directory, body, self._emit, parent=parent)
        self.threads[thread.id] = thread
        return thread

    def _named(self, request: web.Request) -> Thread:
        thread = self.threads.get(request.match_info["thread"])
        if thread is None:
            raise _no(f"Session not found: {request.match_info['thread']}")
        return thread

    async def _find_thread(self, request: web.Request) -> web.Response:
        wanted = request.query.get("search", "")
        return web.json_response([thread.info() for thread in self.threads.values() if wanted in thread.title])

    async def _create_thread(self, request: web.Request) -> web.Response:
        return web.json_response(self._new_thread(request.headers["x-opencode-directory"], await request.json()).info())

    async def _thread(self, request: web.Request) -> web.Response:
        return web.json_response(self._named(request).info())

    async def _keep(self, request: web.Request) -> web.Response:
        thread = self._named(request)
        thread.metadata = (await request.json()).get("metadata", thread.metadata)
        return web.json_response(thread.info())

    async def _delete(self, request: web.Request) -> web.Response:
        gone = self._named(request).id
        for thread in [one for one in self.threads.values() if gone in (one.id, one.parent)]:
            del self.threads[thread.id]
        return web.json_response(True)

    async def _children(self, request: web.Request) -> web.Response:
        parent = self._named(request).id
        return web.json_response([one.info() for one in self.threads.values() if one.parent == parent])

    async def _status(self, request: web.Request) -> web.Response:
        here = request.headers["x-opencode-directory"]
        busy = {one.id: one.status for one in self.threads.values() if one.directory == here and one.busy}
        return web.json_response(busy)

    async def _messages(self, request: web.Request) -> web.Response:
        return web.json_response(self._named(request).messages[-int(request.query.get("limit", "100")) :])

    async def _message(self, request: web.Request) -> web.Response:
        message = self._named(request).message(request.match_info["message"])
        if message is None:
            raise _no("Message not found")
        return web.json_response(message)

    async def _prompt(self, request: web.Request) -> web.Response:
        thread = self._named(request)
        if not self.forgets_prompts and thread.admit(await request.json()):
            self.player.start(thread)
        return web.Response(status=204)

    async def _abort(self, request: web.Request) -> web.Response:
        thread = self.threads.get(request.match_info["thread"])
        self.aborts.append(request.match_info["thread"])
        if thread is not None:
            await self.player.abort(thread)
        return web.json_response(True)

    # ── asks ─────────────────────────────────────────────────────────────
    async def _permissions(self, request: web.Request) -> web.Response:
        return web.json_response(_listed(self.player.permissions, request))

    async def _questions(self, request: web.Request) -> web.Response:
        return web.json_response(_listed(self.player.questions, request))

    async def _permission_reply(self, request: web.Request) -> web.Response:
        return await self._replied(self.player.permissions, request, "PermissionNotFoundError")

    async def _question_reply(self, request: web.Request) -> web.Response:
        return await self._replied(self.player.questions, request, "QuestionNotFoundError")

    async def _question_reject(self, request: web.Request) -> web.Response:
        return await self._replied(self.player.questions, request, "QuestionNotFoundError")

    async def _replied(self, asks: dict[str, Pending], request: web.Request, unknown: str) -> web.Response:
        ask = asks.get(request.match_info["ask"])
        if ask is None or ask.answer.done() or ask.directory != request.headers["x-opencode-directory"]:
            body = {"_tag": unknown, "requestID": request.match_info["ask"], "message": "not found"}
            raise web.HTTPNotFound(text=json.dumps(body), content_type="application/json")
        ask.answer.set_result(await request.json() if request.can_read_body else {})
        return web.json_response(True)

    # ── events ───────────────────────────────────────────────────────────
    def _emit(self, directory: str, kind: str, properties: Wire) -> None:
        event = {"id": new_id("evt"), "type": kind, "properties": properties}
        self._send({"directory": directory, "project": "p", "payload": event})
        if kind not in ("message.part.delta", "session.status", "session.idle"):  # durable ones come a second time
            copy = {"id": event["id"], "type": f"{kind}.1", "seq": 0, "aggregateID": "", "data": properties}
            self._send({"directory": directory, "payload": {"type": "sync", "syncEvent": copy, "id": event["id"]}})
        self.changed()

    def _send(self, envelope: Wire) -> None:
        line = b"data: " + json.dumps(envelope, separators=(",", ":")).encode() + b"\n\n"
        for reader in self._readers:
            reader.put_nowait(line)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-accel-buffering": "no"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            line: bytes | None = _plain("server.connected")
            while line is not None:
                await response.write(line)
                try:
                    line = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    line = _plain("server.heartbeat")
        except ConnectionError:
            pass  # the reader went away
        finally:
            self._readers.discard(queue)
        return response


def _read(directory: str, path: str) -> str:
    file = Path(directory, path)
    return file.read_text("utf-8") if file.is_file() else ""


def _plain(kind: str) -> bytes:
    return b"data: " + json.dumps({"payload": {"id": new_id("evt"), "type": kind, "properties": {}}}).encode() + b"\n\n"


def _no(message: str) -> web.HTTPNotFound:
    body: dict[str, Any] = {"name": "NotFoundError", "data": {"message": message}}
    return web.HTTPNotFound(text=json.dumps(body), content_type="application/json")


def _listed(asks: dict[str, Pending], request: web.Request) -> list[Wire]:
    here = request.headers["x-opencode-directory"]
    return [one.shown for one in asks.values() if one.directory == here]
