"""OpenCodeClient against the real server with a scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from dragoman import OpenCodeClient
from dragoman.errors import NoAnswer, NotFound
from dragoman.ids import AgentThread
from tests.library.contexts import a_context
from tests.opencode.conftest import Live
from tests.opencode.scripted import Wait

pytestmark = [
    pytest.mark.deep,
    pytest.mark.needs_opencode,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]


@pytest_asyncio.fixture(loop_scope="module")
async def client(live: Live) -> AsyncIterator[OpenCodeClient]:
    here = live.workspace("library")
    async with OpenCodeClient(
        live.endpoint.url, live.endpoint.password, directory=here, model="play/m", deadline_s=90.0
    ) as found:
        yield found


async def test_a_first_message_reaches_the_model_once_and_the_context_is_kept(
    live: Live, client: OpenCodeClient
) -> None:
    live.model.plays["first"] = ["I look at it."]
    live.model.plays["second"] = ["OAuth2 it is."]
    session = await client.create_session(a_context(), "plays:first")
    assert session.reply is not None
    assert session.reply.text == "I look at it."
    assert session.reply.usage.input_tokens > 0
    assert live.model.asked("first") == 1
    assert (await client.send_session_message(session.id, "plays:second")).text == "OAuth2 it is."
    told = str(live.model.requests[-1]["messages"])
    assert "We need OAuth" in told
    assert "I look at it." in told
    thread = await live.client.thread(AgentThread(session.id))
    assert thread.title.startswith("Linear Issue: Add authentication")
    assert "dragoman_context" not in (thread.metadata or {})


async def test_a_stream_brings_the_pieces_of_every_text_and_ends_when_the_agent_has(
    live: Live, client: OpenCodeClient
) -> None:
    live.model.plays["stream"] = [[("bash", {"command": "echo hi > hi.txt", "description": "d"})], "All is well."]
    session = await client.create_session(a_context())
    chunks = [chunk async for chunk in client.stream_session_message(session.id, "plays:stream")]
    assert "".join(chunk.content for chunk in chunks) == "All is well."
    assert Path(session.directory, "hi.txt").read_text() == "hi\n"
    assert (await client.get_session_status(session.id)).status == "idle"


async def test_a_stream_that_is_left_leaves_the_run_which_a_completion_ends(live: Live, client: OpenCodeClient) -> None:
    wait = Wait()
    live.model.plays["left"] = [[("bash", {"command": "true", "description": "d"})], wait]
    session = await client.create_session(a_context())
    reading = asyncio.create_task(anext(client.stream_session_message(session.id, "plays:left")))
    await asyncio.wait_for(wait.reached.wait(), 60)
    assert (await client.get_session_status(session.id)).status == "busy"
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    completion = await client.complete_session(session.id, "no longer wanted")
    assert completion.verified
    state = await client.get_session_status(session.id)
    assert (state.status, state.detail) == ("completed", "no longer wanted")


async def test_a_permission_is_declined_because_nobody_is_there_and_the_run_goes_on(live: Live) -> None:
    here = live.workspace("declined")
    live.model.plays["declined"] = [[("bash", {"command": "touch made", "description": "d"})], "I went on without."]
    ask = ({"permission": "bash", "pattern": "*", "action": "ask"},)
    async with OpenCodeClient(
        live.endpoint.url, live.endpoint.password, directory=here, model="play/m", rules=ask
    ) as client:
        session = await client.create_session(a_context())
        async with aclosing(client.stream_session_message(session.id, "plays:declined")) as chunks:
            told = "".join([chunk.content async for chunk in chunks])
    assert told == "I went on without."
    assert not Path(here, "made").exists()
    assert "Nobody was there to approve this" in str(live.model.requests[-1]["messages"][-1])


async def test_a_model_that_is_unknown_is_an_error_with_its_cause(live: Live) -> None:
    async with OpenCodeClient(
        live.endpoint.url, live.endpoint.password, directory=live.workspace("library"), model="play/no-such-model"
    ) as client:
        session = await client.create_session(a_context())
        with pytest.raises(NoAnswer) as failed:
            await client.send_session_message(session.id, "plays:first")
    assert failed.value.cause == "not_found"


async def test_the_real_server_says_that_it_does_not_know_a_session(client: OpenCodeClient) -> None:
    with pytest.raises(NotFound):
        await client.get_session_status("ses_0000000000000000000000000")
