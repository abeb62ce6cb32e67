"""The page: an issue tracker in small, for people who try the agent.

HTML comes from templates with escaping on; it lives by server-sent events whose data is the HTML of the live part.
No inline script or style is used and the content security policy allows none. Without script the forms still work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from dragoman.sim.asgi import Send, read_body
from dragoman.sim.markdown import Html, render
from dragoman.sim.parts import Parts
from dragoman.sim.store import PREFIX
from dragoman.sim.views import clock_time, groups_of, initials, issue_view, machine_time, webhook_words

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
_HERE = Path(__file__).parent
_LONGEST_TEXT = 20_000
_GATHER_S = 0.05  # changes that come together are shown together
_LOOK_AGAIN_S = 5.0  # time alone changes what is shown: an unresponsive session
_LOOKS_BETWEEN_HEARTBEATS = 3


class _EventStream(StreamingResponse):
    """A stream whose generator is closed at once when the reader goes away."""

    body_iterator: AsyncGenerator[str, None]

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


class Page:
    """The routes of the page."""

    def __init__(self, simulator: Parts) -> None:
        self._simulator = simulator
        self._closed = False
        self._open: set[asyncio.Event] = set()
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            markdown=self._markdown, clock=clock_time, machine=machine_time, initials=initials
        )
        self._templates.globals.update(world=simulator.world)

    def routes(self) -> list[BaseRoute]:
        """Everything below "/"."""
        posts: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            "/issues": self._create,
            "/issues/{id}/comments": self._comment,
            "/issues/{id}/delegate": self._delegate,
            "/issues/{id}/unassign": self._unassign,
            "/issues/{id}/state": self._move,
            "/sessions/{id}/prompts": self._prompt,
            "/sessions/{id}/stop": self._stop,
        }
        return [
            Route("/", self._list, methods=["GET"]),
            Route("/stream", self._list_stream, methods=["GET"]),
            Route("/issues/{id}", self._issue, methods=["GET"]),
            Route("/issues/{id}/stream", self._issue_stream, methods=["GET"]),
            *(Route(path, _posted(act), methods=["POST"]) for path, act in posts.items()),
            Route("/files/{path:path}", self._file, methods=["GET"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    def close(self) -> None:
        """End all open streams."""
        self._closed = True
        for stream in self._open:
            stream.set()

    # Reading

    async def _list(self, request: Request) -> Response:
        return self._html("list.html", live=self._list_html())

    async def _issue(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        try:
            issue = self._simulator.world.issue(wanted)
        except KeyError:
            return self._html("missing.html", status=404, wanted=wanted)
        return self._html("issue.html", view=issue_view(self._simulator.world, issue), live=self._issue_html(wanted))

    async def _file(self, request: Request) -> Response:
        """A file of the store, for whoever looks at the page: no token is needed where people are signed in."""
        file = self._simulator.store.files.get(PREFIX + quote(request.path_params["path"]))
        if file is None or file.content is None:
            return PlainTextResponse("There is no such file.", 404)
        picture = file.mime.startswith("image/") and "svg" not in file.mime
        shown = "inline" if picture else f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
        return Response(file.content, headers=SECURITY_HEADERS | {"content-disposition": shown}, media_type=file.mime)

    def _markdown(self, text: str) -> Html:
        """A text of others; what it shows from the store comes from where people may look at that."""
        store = f"{self._simulator.url}{PREFIX}"
        return Html(render(text).replace(f'="{store}', '="/files/'))

    async def _list_stream(self, request: Request) -> Response:
        return self._stream(self._list_html)

    async def _issue_stream(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        try:
            self._simulator.world.issue(wanted)
        except KeyError:
            return PlainTextResponse("There is no such issue.", 404)
        return self._stream(lambda: self._issue_html(wanted))

    def _list_html(self) -> str:
        world, hooks = self._simulator.world, self._simulator.hooks
        return self._render("list_live.html", groups=groups_of(world), webhooks=webhook_words(hooks))

    def _issue_html(self, wanted: str) -> str:
        world, hooks = self._simulator.world, self._simulator.hooks
        view = issue_view(world, world.issue(wanted))
        return self._render("issue_live.html", view=view, webhooks=webhook_words(hooks))

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)

    def _html(self, template: str, *, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._render(template, **values), status, headers=SECURITY_HEADERS)

    def _stream(self, look: Callable[[], str]) -> Response:
        return _EventStream(
            self._frames(look), media_type="text/event-stream", headers=SECURITY_HEADERS | {"x-accel-buffering": "no"}
        )

    async def _frames(self, look: Callable[[], str]) -> AsyncGenerator[str, None]:
        """The live part, whenever it looks different; a comment now and then keeps the connection open."""
        changed = asyncio.Event()
        self._open.add(changed)
        stop_watching = self._simulator.world.watch(lambda _: changed.set())
        shown, quiet = "", 0
        try:
            while not self._closed:
                changed.clear()
                html = look()
                if html != shown:
                    shown, quiet = html, 0
                    lines = "".join(f"data: {line}\n" for line in html.split("\n"))
                    yield f"id: {self._simulator.world.version}\n{lines}\n"
                else:
                    quiet += 1
                    if quiet % _LOOKS_BETWEEN_HEARTBEATS == 0:
                        yield ": alive\n\n"
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await changed.wait()
                await asyncio.sleep(_GATHER_S)
        finally:
            self._open.discard(changed)
            stop_watching()

    # Writing. Each answers where to go; a request of the page's own script gets 204, since the stream shows the change

    async def _create(self, request: Request, _: str) -> Response:
        form = await _form(request)
        issue = self._simulator.people.create_issue(_text(form, "title"), _optional(form, "description"))
        if form.get("delegate"):
            self._simulator.people.delegate(issue.id)
        return RedirectResponse(f"/issues/{issue.identifier}", 303)

    async def _comment(self, request: Request, wanted: str) -> Response:
        form = await _form(request)
        text = _text(form, "body")
        issue = self._simulator.world.issue(wanted)
        if form.get("mention") and not self._simulator.people.mentions_agent(text):
            self._simulator.people.mention(issue.id, text)
        else:
            self._simulator.people.comment(issue.id, text)
        return self._done(request, issue.identifier)

    async def _delegate(self, request: Request, wanted: str) -> Response:
        issue = self._simulator.world.issue(wanted)
        self._simulator.people.delegate(issue.id)
        return self._done(request, issue.identifier)

    async def _unassign(self, request: Request, wanted: str) -> Response:
        issue = self._simulator.people.unassign(wanted)
        return self._done(request, issue.identifier)

    async def _move(self, request: Request, wanted: str) -> Response:
        form = await _form(request)
        issue = self._simulator.people.set_state(wanted, _text(form, "state"))
        return self._done(request, issue.identifier)

    async def _prompt(self, request: Request, wanted: str) -> Response:
        form = await _form(request)
        text = _text(form, "body")
        if form.get("answer"):
            self._simulator.people.answer(wanted, text, by_label=True)
        else:
            self._simulator.people.follow_up(wanted, text)
        return self._done(request, self._issue_of(wanted))

    async def _stop(self, request: Request, wanted: str) -> Response:
        self._simulator.people.stop(wanted)
        return self._done(request, self._issue_of(wanted))

    def _issue_of(self, session: str) -> str:
        issue = self._simulator.world.session(session).issue
        return self._simulator.world.issues[issue].identifier if issue else ""

    def _done(self, request: Request, identifier: str) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response(status_code=204, headers=SECURITY_HEADERS)
        return RedirectResponse(f"/issues/{identifier}" if identifier else "/", 303)


def _posted(act: Callable[[Request, str], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await act(request, request.path_params.get("id", ""))
        except KeyError:
            return PlainTextResponse("That is not there.", 404)
        except LookupError as problem:
            return PlainTextResponse(f"That cannot be done now: {problem}.", 409)
        except ValueError as problem:
            return PlainTextResponse(str(problem), 422)

    return endpoint


async def _form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form; a field that comes twice counts once."""
    body = await read_body(request.receive)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _optional(form: dict[str, str], name: str) -> str | None:
    text = form.get(name, "").replace("\r\n", "\n").strip()
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"Please write at most {_LONGEST_TEXT} characters.")
    return text or None


def _text(form: dict[str, str], name: str) -> str:
    text = _optional(form, name)
    if text is None:
        raise ValueError("Please write something.")
    return text
