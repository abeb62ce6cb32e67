"""The real binary, with a scripted model: what the recordings say still holds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dragoman.core.events.opencode import (
    Aborted,
    AgentEvent,
    Answered,
    AskGone,
    PermissionAsked,
    QuestionAsked,
    RunSettled,
    Said,
    ToolFinished,
)
from dragoman.errors import NotFound, OpenCodeError
from dragoman.ids import AgentThread, MessageId, PartId
from dragoman.opencode.inbound import RunView
from dragoman.opencode.stopping import stop_run
from dragoman.opencode.stream import Connected, EventStream, Heard
from tests.opencode.conftest import Live, becomes
from tests.opencode.recorded import RUN
from tests.opencode.scripted import Wait

pytestmark = [
    pytest.mark.deep,
    pytest.mark.needs_opencode,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]
ASK_BASH = ({"permission": "bash", "pattern": "*", "action": "ask"},)


async def until(live: Live, view: RunView, kind: type[AgentEvent], deadline_s: float = 60.0) -> list[AgentEvent]:
    """All facts up to the first of this kind."""
    told: list[AgentEvent] = []
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        await live.look(view)
        told += [event for _, event in view.facts()]
        if any(isinstance(event, kind) for event in told):
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {kind.__name__} within {deadline_s} s: {told}")


async def test_a_run_edits_a_real_file_and_every_step_is_told(live: Live) -> None:
    directory = live.workspace("edits")
    live.model.plays["edits"] = [
        [("write", {"filePath": f"{directory}/a.txt", "content": "one\n"})],
        [("bash", {"command": "cat a.txt; pwd", "description": "look"})],
        "All done.",
    ]
    stream = EventStream(live.client)
    heard: list[Heard] = []
    connected = asyncio.Event()

    async def follow() -> None:
        async for signal in stream.signals():
            if isinstance(signal, Connected):
                connected.set()
            elif isinstance(signal, Heard):
                heard.append(signal)

    follower = asyncio.create_task(follow())
    await asyncio.wait_for(connected.wait(), 60)
    thread = await live.client.create_thread(directory, "edits", "key-edits")
    stream.follow(thread)
    view = RunView(RUN, thread, directory, ())
    await live.say(view, "plays:edits")
    by_snapshot = RunView(view.run, thread, directory, view.messages)
    verdict = await live.settle(by_snapshot)
    stream.close()
    await asyncio.wait_for(follower, 60)

    assert read(directory, "a.txt") == "one\n"
    assert isinstance(verdict.event, RunSettled)
    assert isinstance(verdict.event.outcome, Answered)
    assert verdict.event.outcome.text == "All done."
    for signal in heard:
        view.apply_event(signal.event)
    by_events = [key for key, _ in view.facts()]
    assert by_events == [key for key, _ in by_snapshot.facts()]
    assert len(by_events) == 2
    assert {signal.thread for signal in heard} == {thread}
    assert await live.client.find_thread(directory, "key-edits") == thread
    assert await live.client.find_thread(directory, "key-of-nobody") is None


async def test_the_same_prompt_twice_is_one_prompt(live: Live) -> None:
    directory = live.workspace("twice")
    live.model.plays["twice"] = ["Once."]
    view = await live.begin(directory, "plays:twice")
    await live.say(view, "plays:twice", view.messages[0])
    await live.settle(view)
    await live.say(view, "plays:twice", view.messages[0])
    await live.settle(view)
    assert live.model.asked("twice") == 1


async def test_a_permission_is_asked_answered_and_gone(live: Live) -> None:
    directory = live.workspace("permission")
    live.model.plays["permission"] = [[("bash", {"command": "echo allowed", "description": "d"})], "fin"]
    view = await live.begin(directory, "plays:permission", ASK_BASH)
    asked = next(e for e in await until(live, view, PermissionAsked) if isinstance(e, PermissionAsked))
    assert asked.subject == "echo allowed"
    assert asked.ask in await live.client.pending(directory)
    await live.client.reply_permission(asked.ask, asked.thread, directory, "once")
    told = await until(live, view, ToolFinished)
    assert any(isinstance(event, AskGone) for event in told)
    verdict = await live.settle(view)
    assert isinstance(verdict.event, RunSettled)
    assert isinstance(verdict.event.outcome, Answered)
    with pytest.raises(NotFound):
        await live.client.reply_permission(asked.ask, asked.thread, directory, "once")


async def test_a_rejection_with_words_lets_the_run_go_on(live: Live) -> None:
    directory = live.workspace("rejection")
    live.model.plays["rejection"] = [[("bash", {"command": "rm -r x", "description": "d"})], "Then not."]
    view = await live.begin(directory, "plays:rejection", ASK_BASH)
    asked = next(e for e in await until(live, view, PermissionAsked) if isinstance(e, PermissionAsked))
    await live.client.reply_permission(asked.ask, asked.thread, directory, "reject", "use git rm")
    verdict = await live.settle(view)
    assert isinstance(verdict.event, RunSettled)
    assert isinstance(verdict.event.outcome, Answered)
    assert verdict.event.outcome.text == "Then not."
    assert "use git rm" in str(live.model.requests[-1]["messages"][-1])


async def test_a_question_takes_free_text(live: Live) -> None:
    directory = live.workspace("question")
    question = {"question": "Which?", "header": "H", "options": [{"label": "A", "description": "a"}]}
    live.model.plays["question"] = [[("question", {"questions": [question]})], "Thanks."]
    view = await live.begin(directory, "plays:question")
    asked = next(e for e in await until(live, view, QuestionAsked) if isinstance(e, QuestionAsked))
    await live.client.reply_question(asked.ask, asked.thread, directory, [["neither, please"]])
    verdict = await live.settle(view)
    assert isinstance(verdict.event, RunSettled)
    assert isinstance(verdict.event.outcome, Answered)
    assert "neither, please" in str(live.model.requests[-1]["messages"][-1])


async def test_a_message_during_a_run_steers_it_and_one_answer_ends_both(live: Live) -> None:
    directory = live.workspace("steer")
    wait = Wait()
    live.model.plays["steer"] = [wait, "never reached"]
    live.model.plays["steered"] = ["Steered."]
    view = await live.begin(directory, "plays:steer")
    await asyncio.wait_for(wait.reached.wait(), 60)
    newest = await live.say(view, "plays:steered")
    wait.over.set()
    verdict = await live.settle(view)
    assert isinstance(verdict.event, RunSettled)
    assert verdict.event.newest == newest
    assert isinstance(verdict.event.outcome, Answered)
    assert verdict.event.outcome.text == "Steered."
    assert [event.text for _, event in view.facts() if isinstance(event, Said)] == ["waited"]


async def test_a_stop_ends_the_command_and_is_verified(live: Live) -> None:
    directory = live.workspace("stop")
    nap = f"sleep 100.{time.time_ns()}"  # as no other process on this machine sleeps
    command = f"touch begun; {nap}; touch ended"
    live.model.plays["stop"] = [[("bash", {"command": command, "description": "d"})], "fin"]
    view = await live.begin(directory, "plays:stop")
    await becomes(lambda: nap in commands_running() and read(directory, "begun") is not None)
    assert await stop_run(live.client, view.thread, directory, 60.0) == (True, "")
    verdict = await live.settle(view)
    assert isinstance(verdict.event, RunSettled)
    assert isinstance(verdict.event.outcome, Aborted)
    assert read(directory, "ended") is None
    await becomes(lambda: nap not in commands_running())
    assert read(directory, "ended") is None


async def test_stopping_an_unknown_thread_is_no_trouble(live: Live) -> None:
    assert await stop_run(live.client, AgentThread("ses_unknown"), live.workspace("none"), 5.0) == (True, "")


async def test_an_unknown_agent_is_refused_in_words(live: Live) -> None:
    directory = live.workspace("agent")
    thread = await live.client.create_thread(directory, "", "key-agent")
    message, part = MessageId("msg_ffff00000000aaaaaaaaaaaaaa"), PartId("prt_ffff00000000aaaaaaaaaaaaaa")
    with pytest.raises(OpenCodeError, match="agent called 'nobody'") as refused:
        await live.client.prompt(thread, directory, message, part, "hi", "play/m", "nobody")
    assert not refused.value.retryable


async def test_only_the_configured_provider_is_on_offer(live: Live) -> None:
    assert await live.client.providers(live.workspace("providers")) == ("play/m",)


async def test_directories_with_spaces_and_letters_beyond_ascii_work(live: Live) -> None:
    directory = live.workspace("möbel & 100% räume")
    live.model.plays["umlaut"] = [[("bash", {"command": "pwd > here.txt", "description": "d"})], "fin"]
    await live.settle(await live.begin(directory, "plays:umlaut"))
    assert read(directory, "here.txt") == directory + "\n"


def read(directory: str, name: str) -> str | None:
    path = Path(directory, name)
    return path.read_text() if path.exists() else None


def commands_running() -> str:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return "\n".join(found)
