"""A model of a few lines: the prompt says `plays:NAME`, and NAME's steps are answered one by one.

A step is text, a list of (tool, arguments), or a wait that lasts until the test lets go.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, Self

from aiohttp import web

Call = tuple[str, dict[str, Any]]


class Wait:
    """Nothing comes until the test sets it."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.reached = asyncio.Event()


Step = str | Sequence[Call] | Wait


class ScriptedModel:
    """An OpenAI-compatible server on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.plays: dict[str, list[Step]] = {}
        self.requests: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for play in self.plays.values():
            for step in play:
                if isinstance(step, Wait):
                    step.over.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def config(self, key: str = "sk-model-key") -> dict[str, object]:
        """The provider `play` with the model `m`, for OpenCode's configuration."""
        return {
            "provider": {
                "play": {
                    "npm": "@ai-sdk/openai-compatible",
                    "name": "play",
                    "options": {"baseURL": f"http://127.0.0.1:{self.port}/v1", "apiKey": key},
                    "models": {"m": {"name": "m", "limit": {"context": 200_000, "output": 8_000}, "tool_call": True}},
                }
            }
        }

    def asked(self, play: str) -> int:
        """How often the model was asked within a play."""
        return sum(1 for request in self.requests if _place(request["messages"])[0] == play)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        name, number = _place(body["messages"])
        steps = self.plays.get(name, ["nothing to play"])
        step = steps[number] if number < len(steps) else "the end"
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        if isinstance(step, Wait):
            step.reached.set()
            await step.over.wait()
            step = "waited"
        if isinstance(step, str):
            await _send(response, {"role": "assistant", "content": step}, None)
            await _send(response, {}, "stop")
        else:
            calls = [
                {"index": n, "id": f"call_{name}_{number}_{n}", "type": "function",
                 "function": {"name": tool, "arguments": json.dumps(arguments)}}
                for n, (tool, arguments) in enumerate(step)
            ]  # fmt: skip
            await _send(response, {"role": "assistant", "tool_calls": calls}, None)
            await _send(response, {}, "tool_calls")
        await response.write(b"data: [DONE]\n\n")
        return response


def _place(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """Which play, and how many steps of it were answered: assistant messages since the newest `plays:`."""
    found: tuple[str, int] = ("", 0)
    for n, message in enumerate(messages):
        if message["role"] != "user":
            continue
        text = message["content"] if isinstance(message["content"], str) else json.dumps(message["content"])
        if (said := re.search(r"plays:(\w+)", text)) is not None:
            found = (said[1], sum(1 for later in messages[n:] if later["role"] == "assistant"))
    return found


async def _send(response: web.StreamResponse, delta: dict[str, Any], finish: str | None) -> None:
    chunk = {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }  # fmt: skip
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
