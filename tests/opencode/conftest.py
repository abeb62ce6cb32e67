"""A real server and a scripted model, once for each module: a start costs seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from dragoman.ids import AgentThread, MessageId, RunId, message_id, part_id
from dragoman.opencode.client import OpenCode, Rule
from dragoman.opencode.inbound import RunView, Verdict
from dragoman.opencode.server import Endpoint, ManagedServer
from tests.opencode.scripted import ScriptedModel

MODEL_KEY = "sk-model-key-of-the-test"


class Live:
    """A running server with all that a test needs of it."""

    def __init__(self, server: ManagedServer, endpoint: Endpoint, model: ScriptedModel, folder: Path) -> None:
        self.server = server
        self.endpoint = endpoint
        self.model = model
        self.folder = folder
        self.client = OpenCode(endpoint.url, endpoint.password)
        self._runs = 0

    def workspace(self, name: str) -> str:
        directory = self.folder / "workspaces" / name
        directory.mkdir(parents=True, exist_ok=True)
        return str(directory)

    async def begin(self, directory: str, text: str, rules: tuple[Rule, ...] = ()) -> RunView:
        """A thread with one prompt."""
        self._runs += 1
        run = RunId(f"session-{self._runs}/1")
        thread = await self.client.create_thread(directory, "a test", f"key-{self._runs}-{time.time_ns()}", rules)
        view = RunView(run, thread, directory, ())
        await self.say(view, text)
        return view

    async def say(self, view: RunView, text: str, message: MessageId | None = None) -> MessageId:
        """One more user message, or an old one again."""
        message = message or message_id(view.run, len(view.messages), time.time())
        view.add_message(message)
        thread = AgentThread(view.thread)
        await self.client.prompt(thread, view.directory, message, part_id(message), text, "play/m", "build")
        return message

    async def settle(self, view: RunView, deadline_s: float = 150.0) -> Verdict:
        """Read snapshots until the run is over."""
        verdict: Verdict | None = None
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            await self.look(view)
            verdict = view.settled(verdict)
            if verdict is not None and verdict.confirmed:
                return verdict
        raise AssertionError(f"the run did not end within {deadline_s} s: {verdict}")

    async def look(self, view: RunView) -> None:
        """One snapshot."""
        view.apply_snapshot(await self.client.snapshot(view.thread, view.directory, view.resync_from()))


async def becomes(true: Callable[[], bool], deadline_s: float = 60.0) -> None:
    """Wait for what nobody tells."""
    until = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < until, "it did not become so in time"
        await asyncio.sleep(0.05)


def managed(folder: Path, binary: Path, model: ScriptedModel, **more: object) -> ManagedServer:
    return ManagedServer(
        binary,
        folder / "data",
        folder / "workspaces",
        config=model.config(MODEL_KEY),
        model="play/m",
        **more,  # type: ignore[arg-type]  # a test names what it changes
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory, opencode_bin: Path) -> AsyncIterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    async with ScriptedModel() as model:
        server = managed(folder, opencode_bin, model)
        try:
            found = Live(server, await server.ensure(), model, folder)
            yield found
            await found.client.close()
        finally:
            await server.stop()
