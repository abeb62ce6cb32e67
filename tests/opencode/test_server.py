"""The managed server's life: started, adopted, killed, replaced, ended, and nothing of it left."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from dragoman.core.events.opencode import Answered, RunInterrupted, RunSettled
from dragoman.errors import Refusal
from dragoman.opencode import adopt
from dragoman.opencode.server import Endpoint
from tests.opencode.conftest import Live, becomes, managed
from tests.opencode.scripted import ScriptedModel, Wait

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(400)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def state_of(folder: Path) -> adopt.ServerState:
    state = adopt.read_state(folder / "data" / "opencode" / "server.json")
    assert state is not None
    return state


def number_in(path: Path) -> int:
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else 0


def command_lines(state: adopt.ServerState) -> str:
    members = adopt.family(state)
    assert members
    return "\n".join(words_of(pid).decode("utf-8", "replace") for pid in members)


def words_of(pid: int) -> bytes:
    """The command line; nothing when the process has ended meanwhile, as short ones of OpenCode's do."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill_the_binary(state: adopt.ServerState) -> None:
    """Kill the process that is OpenCode itself, as the kernel does when memory runs out."""
    killed = 0
    for pid in adopt.family(state):
        words = words_of(pid).split(b"\0")
        if words[0].endswith(b"opencode") and b"serve" in words:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed == 1


async def test_started_adopted_killed_replaced_resumed_and_ended(tmp_path: Path, opencode_bin: Path) -> None:
    async with ScriptedModel() as model:
        server = managed(tmp_path, opencode_bin, model)
        watching: asyncio.Task[None] | None = None
        try:
            live = Live(server, await server.ensure(), model, tmp_path)
            state = state_of(tmp_path)
            home = tmp_path / "data" / "opencode"
            assert [mode(home / name) for name in ("server.json", "settings/opencode.json", "server.out")] == [
                0o600
            ] * 3
            assert live.endpoint.password not in command_lines(state)
            assert server.rss_bytes() > 100 * 2**20

            # Another process of the same folder finds it, and gets no second one.
            other = managed(tmp_path, opencode_bin, model)
            adopted = await other.ensure()
            assert adopted.adopted
            assert (adopted.url, adopted.password) == (live.endpoint.url, live.endpoint.password)
            assert state_of(tmp_path) == state

            # It is killed in the middle of a run: replaced at the same address, and the run can be resumed.
            told: list[Endpoint | None] = []

            async def tell(endpoint: Endpoint | None) -> None:
                told.append(endpoint)

            watching = asyncio.create_task(server.watch(tell))
            wait = Wait()
            model.plays["killed"] = [wait]
            view = await live.begin(live.workspace("killed"), "plays:killed")
            await asyncio.wait_for(wait.reached.wait(), 60)
            kill_the_binary(state)
            await becomes(lambda: len(told) == 2)
            assert told[0] is None
            assert told[1] is not None
            assert told[1].url == live.endpoint.url
            wait.over.set()
            cut = await live.settle(view)
            assert cut.event == RunInterrupted(run=view.run, tools=False, after=1, newest=view.messages[-1])
            model.plays["killed"] = ["first step of nobody", "Resumed.", "Resumed."]
            await live.say(view, "plays:killed", view.messages[-1])
            view.resumed(2)
            verdict = await live.settle(view)
            assert isinstance(verdict.event, RunSettled)
            assert isinstance(verdict.event.outcome, Answered)
            await live.client.close()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            last = adopt.read_state(tmp_path / "data" / "opencode" / "server.json")
            await server.stop()
        assert last is not None
        assert adopt.family(last) == set()
        assert not (tmp_path / "data" / "opencode" / "server.json").exists()
        assert not server.running


async def test_without_a_sandbox_commands_reach_our_data_and_one_that_outlives_the_server_is_ended_too(
    tmp_path: Path, opencode_bin: Path
) -> None:
    async with ScriptedModel() as model:
        server = managed(tmp_path, opencode_bin, model, sandboxing="off")
        try:
            live = Live(server, await server.ensure(), model, tmp_path)
            directory = live.workspace("orphan")
            # The attack of test_sandbox.py works when nothing holds it: so it is the sandbox that held it there.
            # The permission does not: it sees through paths in a command only where they stand in plain words.
            (tmp_path / "data" / "ledger.sqlite").write_text("what is ours")
            command = "up=..; cat $up/$up/data/ledger.sqlite > seen; echo $$ > pid; sleep 300"
            model.plays["orphan"] = [[("bash", {"command": command, "description": "d"})]]
            await live.begin(directory, "plays:orphan")
            written = tmp_path / "workspaces" / "orphan" / "pid"
            await becomes(lambda: number_in(written) > 0)
            orphan = number_in(written)
            assert written.with_name("seen").read_text() == "what is ours"
            state = state_of(tmp_path)
            kill_the_binary(state)
            await becomes(lambda: not adopt.is_alive(state))
            assert adopt.started_at(orphan) is not None
            assert orphan in adopt.family(state)
            await live.client.close()
        finally:
            await server.stop()
        assert adopt.started_at(orphan) is None


async def test_a_binary_that_does_not_serve_is_refused_with_its_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "opencode"
    broken.write_text("#!/bin/sh\necho no such architecture >&2\nexit 3\n")
    broken.chmod(0o755)
    async with ScriptedModel() as model:
        server = managed(tmp_path, broken, model)
        with pytest.raises(Refusal, match="no such architecture"):
            await server.ensure()
        await server.stop()
