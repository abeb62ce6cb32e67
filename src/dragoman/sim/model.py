"""A scripted model behind an OpenAI-compatible API: `POST /v1/chat/completions`, `GET /v1/models`.

Which story plays is said in the user's text: "[story=permission]"; see conversation.py and stories.py.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

import msgspec

from dragoman.clock import Clock, SystemClock
from dragoman.record import Record
from dragoman.sim.asgi import Receive, Send, read_body, send_json, start
from dragoman.sim.conversation import Place, files_of, place_of, step_at
from dragoman.sim.faults import Cut
from dragoman.sim.script import Ask, Drop, Fail, Part, Pause, Say, Step, Story, Think, Use, filled
from dragoman.sim.stories import STORIES

MODEL = "scripted"
_TITLE = "Work on the request"
_KEPT_REQUESTS = 10_000


class Heard(Record):
    """One request to the model.

    users    the texts of all user messages, oldest first
    utility  a small separate call (a title, a summary): it brings no tools
    tools    the names of the tools it could use
    files    the MIME types of the pictures and documents that came with the user messages
    """

    at: float
    story: str
    step: int
    users: tuple[str, ...]
    utility: bool
    tools: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def newest(self) -> str:
        """The newest user text."""
        return self.users[-1] if self.users else ""


class Model:
    """The scripted model. `default` is the story for conversations without a tag."""

    def __init__(self, *, clock: Clock | None = None, default: str = "default") -> None:
        self.default = default
        self.stories: dict[str, Story] = {story.name: story for story in STORIES}
        self.requests: deque[Heard] = deque(maxlen=_KEPT_REQUESTS)
        self._clock: Clock = clock or SystemClock()
        self._troubles: dict[str, int] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._heard = asyncio.Event()
        self._pauses: set[asyncio.Future[Any]] = set()
        self._closed = False

    def tell(self, name: str, *steps: Iterable[Part], after: Iterable[Iterable[Part]] = ()) -> Story:
        """Register a story of your own under a name."""
        story = Story(name=name, steps=tuple(map(tuple, steps)), after=tuple(map(tuple, after)))
        self.stories[name] = story
        return story

    def release(self, gate: str) -> None:
        """Let all pauses `until` this gate end, those to come as well."""
        self._gate(gate).set()

    def close(self) -> None:
        """End all pauses; the answers that waited in them are cut."""
        self._closed = True
        for task in tuple(self._pauses):
            task.cancel()

    def runs_of(self, text: str) -> int:
        """How often the model was asked to begin working on a prompt that contains `text`."""
        return sum(1 for heard in self.requests if not heard.utility and heard.step == 0 and text in heard.newest)

    async def wait_for_request(self, text: str = "", *, step: int | None = None, timeout_s: float = 30.0) -> Heard:
        """Wait until the model has heard a request whose newest user text contains `text` (at that step).

        Raises TimeoutError
        """
        async with asyncio.timeout(timeout_s):
            while True:
                woken = self._heard
                for heard in self.requests:
                    if not heard.utility and text in heard.newest and step in (None, heard.step):
                        return heard
                await woken.wait()

    async def serve(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request under /v1."""
        if scope["path"] == "/v1/models":
            models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "dragoman"}]
            await send_json(send, 200, {"object": "list", "data": models})
        elif scope["path"] == "/v1/chat/completions" and scope["method"] == "POST":
            try:
                request = msgspec.json.decode(await read_body(receive))
                messages = request["messages"]
                place = place_of(messages, self.stories, self.default)
            except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
                await send_json(send, 400, _error("The request is no chat completion.", None))
                return
            await self._answer(request, place, send)
        else:
            await send_json(send, 404, _error("Not found.", None))

    async def _answer(self, request: dict[str, Any], place: Place, send: Send) -> None:
        tools = tuple(str(tool.get("function", {}).get("name")) for tool in request.get("tools") or ())
        self.requests.append(
            Heard(
                at=self._clock.now(),
                story=place.story,
                step=place.step,
                users=place.users,
                utility=not tools,
                tools=tools,
                files=files_of(request["messages"]),
            )
        )
        self._heard.set()
        self._heard = asyncio.Event()
        step: Step = (Say(text=_TITLE),) if not tools else step_at(place, self.stories)
        refusal = self._refusal(step, place)
        if refusal is not None:
            retry = () if refusal.retry_after_s is None else (("retry-after", f"{refusal.retry_after_s:g}"),)
            await send_json(send, refusal.status, _error(refusal.message, refusal.code), retry)
        elif request.get("stream"):
            await self._stream(step, place, send)
        else:
            await send_json(send, 200, await self._whole(step, place))

    def _refusal(self, step: Step, place: Place) -> Fail | None:
        for part in step:
            if isinstance(part, Fail) and self._strikes(place, part.times):
                return part
        return None

    def _strikes(self, place: Place, times: int | None) -> bool:
        """Whether a trouble of this step strikes once more."""
        struck = self._troubles.get(place.key, 0)
        self._troubles[place.key] = struck + 1
        return times is None or struck < times

    async def _stream(self, step: Step, place: Place, send: Send) -> None:
        await start(send, 200, (("content-type", "text/event-stream"), ("cache-control", "no-cache")))
        head = _head("chat.completion.chunk")
        finish = "stop"
        deltas: AsyncIterator[dict[str, Any]] = self._deltas(step, place)
        async for delta in deltas:
            finish = "tool_calls" if "tool_calls" in delta else finish
            await _event(send, head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        await _event(send, head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        await _event(send, head | {"choices": [], "usage": _usage(place)})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _whole(self, step: Step, place: Place) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        calls = []
        async for delta in self._deltas(step, place):
            for name in ("content", "reasoning_content"):
                if name in delta:
                    message[name] = message.get(name, "") + delta[name]
            calls += [{k: v for k, v in call.items() if k != "index"} for call in delta.get("tool_calls", ())]
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return _head("chat.completion") | {"choices": [choice], "usage": _usage(place)}

    async def _deltas(self, step: Step, place: Place) -> AsyncIterator[dict[str, Any]]:
        """The answer in pieces, as the `delta` of OpenAI's chunks."""
        yield {"role": "assistant", "content": ""}
        number = 0
        for part in step:
            match part:
                case Think():
                    for piece in _pieces(filled(part.text, place.words)):
                        yield {"reasoning_content": piece}
                case Say():
                    if _applies(part, place):
                        for piece in _pieces(filled(part.text, place.words)):
                            yield {"content": piece}
                            if part.pace_s:
                                await self._wait(self._clock.sleep(part.pace_s))
                case Use():
                    if _applies(part, place):
                        yield _call(number, part.tool, filled(part.args, place.words))
                        number += 1
                case Ask():
                    options = [{"label": label, "description": about} for label, about in part.options]
                    question = {"question": part.question, "header": part.header, "options": options}
                    yield _call(number, "question", {"questions": [filled(question, place.words)]})
                    number += 1
                case Pause():
                    await self._pause(part)
                case Drop():
                    if self._strikes(place, part.times):
                        raise Cut
                case Fail():
                    pass  # struck before the answer began, or is over

    async def _pause(self, pause: Pause) -> None:
        if not pause.until:
            await self._wait(self._clock.sleep(pause.seconds))
            return
        try:
            async with asyncio.timeout(pause.seconds):
                await self._wait(self._gate(pause.until).wait())
        except TimeoutError:
            pass  # nobody released it: the story goes on

    async def _wait(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait for something that `close` ends early.

        Raises Cut when the model was closed meanwhile
        """
        task = asyncio.ensure_future(waiting)
        self._pauses.add(task)
        try:
            await asyncio.wait((task,))
        finally:
            self._pauses.discard(task)
            task.cancel()
        if self._closed:
            raise Cut

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


def _applies(part: Say | Use, place: Place) -> bool:
    answer = place.words["answer"].lower()
    if part.when and part.when.lower() not in answer:
        return False
    return not (part.unless and part.unless.lower() in answer)


def _pieces(text: str) -> list[str]:
    """Words with the space that follows them."""
    return re.findall(r"\S+\s*|\s+", text)


def _call(number: int, tool: str, args: dict[str, Any]) -> dict[str, Any]:
    function = {"name": tool, "arguments": msgspec.json.encode(args).decode()}
    return {
        "tool_calls": [
            {"index": number, "id": f"call_{secrets.token_hex(8)}", "type": "function", "function": function}
        ]
    }


def _head(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": kind, "created": 0, "model": MODEL}


def _usage(place: Place) -> dict[str, int]:
    prompt = sum(len(text) for text in place.users) // 4 + 1
    return {"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20}


def _error(message: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted_error", "code": code}}


async def _event(send: Send, data: dict[str, Any]) -> None:
    body = b"data: " + msgspec.json.encode(data) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})
