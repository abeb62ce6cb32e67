"""OpenCodeClient against a pretend server: what is sent, what is read along, how it ends, and trouble in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from dragoman import LinearContext, OpenCodeClient
from dragoman.errors import ConfigurationError, NoAnswer, NotFound, OpenCodeDown, OpenCodeError, Refusal
from dragoman.opencode import listening
from dragoman.opencode.stream import Connected, Signal
from dragoman.sim.script import Ask, Fail, Pause, Say, Think, Use
from tests.library.contexts import a_context
from tests.runtime.waiting import until
from tests.stories.agent_script import Compacts, Guarded
from tests.stories.agent_threads import Thread, text_of
from tests.stories.scripted_agent import ScriptedAgent

PASSWORD = "pass-word"


@pytest.fixture
async def agent() -> AsyncIterator[ScriptedAgent]:
    async with ScriptedAgent(password=PASSWORD) as found:
        yield found


@pytest.fixture
async def client(agent: ScriptedAgent) -> AsyncIterator[OpenCodeClient]:
    async with OpenCodeClient(agent.url, PASSWORD, directory="/project/here") as found:
        yield found


async def read(client: OpenCodeClient, session: str, message: str) -> list[str]:
    return [chunk.content async for chunk in client.stream_session_message(session, message)]


def only_thread(agent: ScriptedAgent) -> Thread:
    (thread,) = agent.threads.values()
    return thread


# ── a session and its first message ──────────────────────────────────────
async def test_s45_a_session_is_created_about_the_issue_and_its_first_message_is_sent_once(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", Say(text="I look at it."))
    session = await client.create_session(a_context(), "help me implement it")
    thread = only_thread(agent)
    assert session.id == thread.id
    assert session.title == "Linear Issue: Add authentication"
    assert session.directory == thread.directory == "/project/here"
    assert session.reply is not None
    assert session.reply.text == "I look at it."
    (first,) = thread.users()
    assert "help me implement it" in text_of(first)
    assert "Add authentication" in text_of(first)
    assert "We need OAuth" in text_of(first)
    assert agent.requests.count("prompt") == 1


async def test_without_a_first_message_the_next_one_brings_the_context_along_and_only_that_one(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", Say(text="Yes."))
    session = await client.create_session(a_context())
    assert session.reply is None
    assert only_thread(agent).users() == []
    await read(client, session.id, "begin")
    await read(client, session.id, "and now OAuth2")
    first, second = (text_of(message) for message in only_thread(agent).users())
    assert "We need OAuth" in first
    assert "begin" in first
    assert second == "and now OAuth2"


async def test_a_session_without_a_directory_of_its_own_works_where_the_server_was_started(
    agent: ScriptedAgent,
) -> None:
    async with OpenCodeClient(agent.url, PASSWORD) as client:
        assert (await client.create_session(a_context())).directory == "/srv/started/here"


@pytest.mark.parametrize("label", ["create_thread", "prompt"])
async def test_when_the_answer_to_a_sending_is_lost_it_is_not_done_twice(
    agent: ScriptedAgent, client: OpenCodeClient, label: str
) -> None:
    agent.plays("", Say(text="Once."))
    agent.lose_reply(label)
    session = await client.create_session(a_context(), "do it")
    assert session.reply is not None
    assert session.reply.text == "Once."
    assert len(only_thread(agent).users()) == 1
    assert agent.runs_twice() == {}


async def test_a_context_that_lacks_something_is_refused_by_name(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    with pytest.raises(Refusal, match="says nothing in: issueTitle, userName"):
        await client.create_session(a_context(issue_title=" ", user_name=""), "hello")
    assert agent.requests == []


# ── messages ─────────────────────────────────────────────────────────────
async def test_s46_a_message_is_answered_with_the_last_words_and_what_they_cost(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", (Say(text="Looking."), Use(tool="bash", args={"command": "echo x"})), Say(text="All done."))
    session = await client.create_session(a_context())
    reply = await client.send_session_message(session.id, "do it")
    assert reply.text == "All done."
    assert reply.message_id == only_thread(agent).messages[-1]["info"]["id"]
    assert reply.usage.input_tokens == 200


async def test_s05_an_answer_is_streamed_in_its_pieces_without_the_reasoning(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays(
        "",
        (Think(text="let me see"), Say(text="First I look."), Use(tool="bash", args={"command": "echo x"})),
        Say(text="Then I am done."),
    )
    session = await client.create_session(a_context())
    chunks = [chunk async for chunk in client.stream_session_message(session.id, "do it")]
    assert [chunk.content for chunk in chunks] == [
        "First ", "I ", "look.", "Then ", "I ", "am ", "done."
    ]  # fmt: skip
    assert len({chunk.part_id for chunk in chunks}) == 2
    assert len({chunk.message_id for chunk in chunks}) == 2


async def test_a_summary_for_the_model_is_not_streamed(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    agent.plays("", (Say(text="One."), Compacts()), Say(text="Two."))
    session = await client.create_session(a_context())
    assert await read(client, session.id, "do it") == ["One.", "Two."]


async def test_pieces_come_while_the_agent_still_writes(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    agent.plays("", (Say(text="Before."), Pause(until="go"), Say(text="After.")))
    session = await client.create_session(a_context())
    async with aclosing(client.stream_session_message(session.id, "do it")) as chunks:
        assert (await anext(chunks)).content == "Before."
        assert (await client.get_session_status(session.id)).status == "busy"
        agent.release("go")
        assert [chunk.content async for chunk in chunks] == ["After."]


async def test_after_a_gap_in_the_stream_nothing_is_missing_and_nothing_twice(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", (Say(text="one two"), Pause(until="go"), Say(text="three four")), Say(text="five six"))
    session = await client.create_session(a_context())
    async with aclosing(client.stream_session_message(session.id, "do it")) as chunks:
        told = [(await anext(chunks)).content]
        agent.cut_streams()
        agent.release("go")
        told += [chunk.content async for chunk in chunks]
    assert "".join(told) == "one twothree four"


async def test_a_slow_reader_gets_all_of_it(
    agent: ScriptedAgent, client: OpenCodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_WAITING", 2)
    words = " ".join(str(number) for number in range(300))
    agent.plays("", Say(text=words))
    session = await client.create_session(a_context())
    told = ""
    async for chunk in client.stream_session_message(session.id, "count"):
        told += chunk.content
        await asyncio.sleep(0)
    assert told == words


async def test_an_empty_message_is_refused_before_anything_is_sent(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    session = await client.create_session(a_context())
    with pytest.raises(Refusal, match="The message is empty"):
        await client.send_session_message(session.id, "  ")
    assert "prompt" not in agent.requests


# ── trouble ──────────────────────────────────────────────────────────────
async def test_an_error_of_the_models_provider_is_raised_with_its_cause(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", (Say(text="Well,"), Fail(status=401, message="invalid api key")))
    session = await client.create_session(a_context())
    chunks = client.stream_session_message(session.id, "do it")
    assert (await anext(chunks)).content == "Well,"
    with pytest.raises(NoAnswer, match="refused our credentials") as failed:
        await anext(chunks)
    assert failed.value.cause == "credentials"
    assert not failed.value.retryable


async def test_a_provider_that_keeps_failing_is_given_up_and_the_run_ended(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", Fail(status=529, message="overloaded", times=None))
    session = await client.create_session(a_context())
    with pytest.raises(NoAnswer, match="kept failing") as failed:
        await client.send_session_message(session.id, "do it")
    assert failed.value.cause == "server"
    assert set(agent.aborts) == {session.id}
    assert (await client.get_session_status(session.id)).status == "idle"


async def test_a_run_in_which_nothing_moves_is_ended(agent: ScriptedAgent) -> None:
    agent.plays("", (Say(text="Hm."), Pause(until="never")))
    async with OpenCodeClient(agent.url, PASSWORD, directory="/d", silence_s=0.4) as client:
        session = await client.create_session(a_context())
        with pytest.raises(NoAnswer, match=r"silent for 0\.4 s") as failed:
            await client.send_session_message(session.id, "do it")
    assert failed.value.cause == "silent"
    assert set(agent.aborts) == {session.id}


async def test_a_run_that_goes_on_too_long_is_ended(agent: ScriptedAgent) -> None:
    agent.plays("", (Say(text="Hm."), Pause(until="never")))
    async with OpenCodeClient(agent.url, PASSWORD, directory="/d", deadline_s=0.4) as client:
        session = await client.create_session(a_context())
        with pytest.raises(NoAnswer, match=r"had not ended after 0\.4 s") as failed:
            await client.send_session_message(session.id, "do it")
    assert failed.value.cause == "timeout"
    assert set(agent.aborts) == {session.id}


async def test_nobody_is_there_to_ask_so_the_agent_is_told_and_goes_on(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays(
        "",
        Guarded(tool="bash", args={"command": "git push"}),
        Ask(question="Which one?", options=(("A", "a"), ("B", "b"))),
        Say(text="I did without: {answer}"),
    )
    session = await client.create_session(a_context())
    reply = await client.send_session_message(session.id, "do it")
    assert "Nobody is there to answer" in reply.text
    refused = next(p for m in only_thread(agent).messages for p in m["parts"] if p.get("tool") == "bash")
    assert "Nobody was there to approve this" in refused["state"]["error"]


async def test_a_server_that_dies_in_the_middle_is_told_as_a_cut(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    agent.plays("", (Say(text="Half"), Pause(until="never")))
    session = await client.create_session(a_context())
    chunks = client.stream_session_message(session.id, "do it")
    assert (await anext(chunks)).content == "Half"
    await agent.restart()
    with pytest.raises(NoAnswer, match="cut in the middle") as failed:
        await anext(chunks)
    assert failed.value.cause == "interrupted"


async def test_a_server_that_is_away_is_said_to_be(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    session = await client.create_session(a_context())
    await agent.die()
    with pytest.raises(OpenCodeDown, match="could not be reached"):
        await client.send_session_message(session.id, "do it")


async def test_a_wrong_token_is_said_in_words(agent: ScriptedAgent) -> None:
    async with OpenCodeClient(agent.url, "wrong", directory="/d") as client:
        with pytest.raises(OpenCodeError, match="Set OPENCODE_SESSION_TOKEN"):
            await client.create_session(a_context(), "hello")


async def test_whoever_stops_reading_closes_the_connection_and_not_the_run(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("", (Say(text="One."), Pause(until="go"), Say(text="Two.")))
    session = await client.create_session(a_context())
    reading = asyncio.create_task(read(client, session.id, "do it"))

    async def nobody_reads() -> bool:
        agent._emit("/project/here", "tui.toast.show", {})  # a write is how the server sees that nobody reads
        return not agent._readers

    async def begun() -> bool:
        return bool(only_thread(agent).messages)

    await until(begun)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert agent.aborts == []
    await until(nobody_reads)
    assert not [task for task in asyncio.all_tasks() if "_pump" in repr(task)]
    assert (await client.get_session_status(session.id)).status == "busy"


async def test_a_cancellation_that_meets_a_piece_of_text_is_not_lost() -> None:
    signals: asyncio.Queue[Signal] = asyncio.Queue()
    waiting = asyncio.create_task(listening._next(signals, 10.0))
    await asyncio.sleep(0)
    signals.put_nowait(Connected())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# ── status and end ───────────────────────────────────────────────────────
async def test_s47_s48_a_session_is_busy_then_completed_with_its_reason_and_taken_up_again(
    agent: ScriptedAgent, client: OpenCodeClient
) -> None:
    agent.plays("work", (Say(text="One."), Pause(until="never")))
    agent.plays("again", Say(text="Here I am."))
    session = await client.create_session(a_context())
    assert (await client.get_session_status(session.id)).status == "idle"
    chunks = client.stream_session_message(session.id, "work")
    await anext(chunks)
    assert (await client.get_session_status(session.id)).status == "busy"

    completion = await client.complete_session(session.id, "Task completed")
    assert completion.verified
    state = await client.get_session_status(session.id)
    assert (state.status, state.detail) == ("completed", "Task completed")
    with pytest.raises(NoAnswer, match="ended from outside") as failed:
        await anext(chunks)
    assert failed.value.cause == "stopped"

    assert (await client.send_session_message(session.id, "again")).text == "Here I am."
    assert (await client.get_session_status(session.id)).status == "idle"


async def test_a_provider_that_is_tried_again_shows_in_the_status(agent: ScriptedAgent, client: OpenCodeClient) -> None:
    agent.player.retry_s = 60.0
    agent.plays("", Fail(status=429, message="slow down"))
    session = await client.create_session(a_context())
    reading = asyncio.create_task(read(client, session.id, "do it"))

    async def retrying() -> bool:
        return (await client.get_session_status(session.id)).status == "retrying"

    await until(retrying)
    assert (await client.get_session_status(session.id)).detail == "slow down"
    reading.cancel()


async def test_an_unknown_session_and_what_is_no_id_are_told_apart(client: OpenCodeClient) -> None:
    with pytest.raises(NotFound):
        await client.get_session_status("ses_unknown")
    with pytest.raises(NotFound):
        await client.complete_session("ses_unknown", "done")
    with pytest.raises(Refusal, match="is no id of an OpenCode session"):
        await client.get_session_status("../config")


@pytest.mark.parametrize("url", ["", "127.0.0.1:4096", "redis://localhost", "http://opencode:hunter2@127.0.0.1:4096"])
def test_an_address_that_is_none_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of an OpenCode server") as refused:
        OpenCodeClient(url)
    assert "hunter2" not in str(refused.value)


def test_a_context_as_json_has_the_names_of_the_seed() -> None:
    assert LinearContext.__struct_encode_fields__ == (
        "issueId", "issueTitle", "issueDescription", "userId", "userName", "teamId", "commentId", "mentionText",
        "createdAt",
    )  # fmt: skip
