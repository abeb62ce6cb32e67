"""The client against a server that misbehaves: each way of saying no becomes one error that says what to do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from dragoman.errors import NotFound, OpenCodeDown, OpenCodeError
from dragoman.ids import AgentThread, AskId, MessageId, PartId
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stopping import stop_run
from tests.skipped_time import skip

THREAD = AgentThread("ses_1")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pretender:
    """Answers every request as it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = self._nothing
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    def says(self, status: int, body: object = None, kind: str = "application/json") -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            if kind == "application/json":
                return web.json_response(body, status=status)
            return web.Response(status=status, text=str(body), content_type=kind)

        self.answer = answer

    async def take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, await request.read()))
        return await self.answer(request)

    def looks_after_abort(self) -> int:
        """How often it was asked what runs since it was last told to abort; the second time, the first has been judged."""
        paths = [path for _, path, _, _ in self.requests]
        aborts = [n for n, path in enumerate(paths) if path.endswith("/abort")]
        return paths[aborts[-1] :].count("/session/status") if aborts else 0


@pytest_asyncio.fixture
async def pretender() -> AsyncIterator[Pretender]:
    made = Pretender()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def client(pretender: Pretender) -> AsyncIterator[OpenCode]:
    made = OpenCode(pretender.url, "pass word")
    yield made
    await made.close()


async def test_every_call_carries_the_password_and_the_directory(client: OpenCode, pretender: Pretender) -> None:
    pretender.says(200, {"id": THREAD})
    assert await client.thread_exists(THREAD, "/srv/möbel 100%")
    _, _, headers, _ = pretender.requests[0]
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"opencode:pass word"
    assert headers["x-opencode-directory"] == "/srv/m%C3%B6bel%20100%25"


async def test_without_a_password_none_is_sent(pretender: Pretender) -> None:
    pretender.says(200, {"healthy": True, "version": "1.18.33"})
    client = OpenCode(pretender.url, None)
    assert await client.health() == "1.18.33"
    assert "authorization" not in pretender.requests[0][2]
    await client.close()


async def test_a_web_page_instead_of_json_is_another_server(client: OpenCode, pretender: Pretender) -> None:
    pretender.says(200, "<html></html>", "text/html")
    with pytest.raises(OpenCodeError, match=r"text/html, not JSON: it is no OpenCode server of version 1\.18") as error:
        await client.health()
    assert not error.value.retryable


async def test_json_of_another_shape_is_another_server(client: OpenCode, pretender: Pretender) -> None:
    pretender.says(200, {"status": "ok"})
    with pytest.raises(OpenCodeError, match=r"not what 1\.18 sends"):
        await client.health()


@pytest.mark.parametrize(
    "status,body,kind,words,retryable",
    [
        (404, {"name": "NotFoundError", "data": {"message": "Session not found: x"}}, NotFound, "Session not found", False),
        (404, {"_tag": "PermissionNotFoundError", "message": "gone"}, NotFound, "gone", False),
        (400, {"name": "BadRequest", "data": {"message": "Missing key"}}, OpenCodeError, "Missing key", False),
        (409, {"_tag": "SessionBusyError", "message": "busy"}, OpenCodeError, "busy", True),
        (500, {"name": "UnknownError", "data": {"message": "Check server logs"}}, OpenCodeError, "server logs", True),
        (401, None, OpenCodeError, "OPENCODE_SESSION_TOKEN", False),
        (502, ["odd"], OpenCodeError, "no reason given", True),
        (302, None, OpenCodeError, "302", False),
    ],
)  # fmt: skip
async def test_refusals_of_both_shapes(
    client: OpenCode,
    pretender: Pretender,
    status: int,
    body: object,
    kind: type[OpenCodeError],
    words: str,
    retryable: bool,
) -> None:
    pretender.says(status, body)
    with pytest.raises(kind, match=words) as error:
        await client.reply_permission(AskId("per_1"), THREAD, "/d", "once")
    assert error.value.retryable is retryable


async def test_nobody_there_is_down_and_not_a_refusal(pretender: Pretender) -> None:
    client = OpenCode("http://127.0.0.1:9", None)
    with pytest.raises(OpenCodeDown, match="could not be reached"):
        await client.health()
    verified, detail = await stop_run(client, THREAD, "/d", 60.0)
    assert not verified
    assert detail == "OpenCode could not be reached, so I could not see whether the work has ended"
    await client.close()


async def test_an_answer_that_does_not_come_is_down_at_the_deadline(client: OpenCode, pretender: Pretender) -> None:
    never = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    pretender.answer = hang
    with pytest.raises(OpenCodeDown, match=r"did not answer GET /global/health within 0\.2 s"):
        await client.health(0.2)
    assert await stop_run(client, THREAD, "/d", 0.3) == (
        False,
        "OpenCode did not confirm within 0.3 s that the work has ended",
    )
    never.set()


async def test_a_connection_cut_in_the_answer_is_down(client: OpenCode, pretender: Pretender) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "100"})
        await response.prepare(request)
        await response.write(b"[")
        assert request.transport is not None
        request.transport.close()
        return response

    pretender.answer = cut
    with pytest.raises(OpenCodeDown):
        await client.pending("/d")


async def test_a_busy_server_that_stores_a_prompt_late_is_waited_for(
    pretender: Pretender, client: OpenCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.opencode.client.ADMITTED_WITHIN_S", 0.0)
    looks, patience_s = 0, 60.0

    async def late(request: web.Request) -> web.StreamResponse:
        nonlocal looks
        if request.path == "/agent":
            return web.json_response([{"name": "build", "mode": "primary"}, {"name": "builder", "mode": "all"}])
        if request.method == "POST":
            monkeypatch.setattr("dragoman.opencode.client.PROMPT_DEADLINE_S", patience_s)
            return web.Response(status=204)
        looks += 1
        if looks < 4:
            return web.json_response({"name": "NotFoundError", "data": {"message": "Message not found"}}, status=404)
        told = {"id": "msg_1", "role": "user", "sessionID": THREAD, "time": {"created": 1}}
        return web.json_response({"info": told, "parts": []})

    pretender.answer = late
    await client.prompt(THREAD, "/d", MessageId("msg_1"), PartId("prt_1"), "hi", "a/b/c", "builder")
    assert sum(path == "/agent" for _, path, _, _ in pretender.requests) == 1
    looks, patience_s = -1000, 0.0
    with pytest.raises(OpenCodeDown, match="had not stored it"):
        await client.prompt(THREAD, "/d", MessageId("msg_1"), PartId("prt_1"), "hi", "a/b/c", "builder")


@pytest.mark.deep
async def test_a_prompt_that_was_taken_but_not_stored_is_refused_for_good(
    client: OpenCode, pretender: Pretender
) -> None:
    async def forget(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.Response(status=204)
        return web.json_response({"name": "NotFoundError", "data": {"message": "no"}}, status=404)

    pretender.answer = forget
    with pytest.raises(OpenCodeError, match="agent called 'builder'") as error:
        await client.prompt(THREAD, "/d", MessageId("msg_1"), PartId("prt_1"), "hi", "a/b/c", "builder")
    assert not error.value.retryable
    body = next(body for method, _, _, body in pretender.requests if method == "POST")
    assert b'"model":{"providerID":"a","modelID":"b/c"}' in body
    assert b'"messageID":"msg_1"' in body
    assert b'"id":"prt_1"' in body


async def test_a_stop_that_does_not_work_says_what_still_runs(client: OpenCode, pretender: Pretender) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/children"):
            return web.json_response([])
        if request.path == "/session/status":
            if pretender.looks_after_abort() == 2:
                skip(10.0)
            return web.json_response({THREAD: {"type": "busy"}})
        return web.json_response(True)

    pretender.answer = busy
    verified, detail = await stop_run(client, THREAD, "/d", 10.0)
    assert not verified
    assert detail == "OpenCode still calls the work busy"
    assert any(path == f"/session/{THREAD}/abort" for _, path, _, _ in pretender.requests)


async def test_a_stop_aborts_the_sub_agents_too_and_looks_at_their_tools(
    client: OpenCode, pretender: Pretender
) -> None:
    running = {
        "info": {"id": "msg_1", "role": "assistant"},
        "parts": [
            {"id": "prt_1", "messageID": "msg_1", "type": "tool", "tool": "bash", "state": {"status": "running"}}
        ],
    }

    async def idle(request: web.Request) -> web.StreamResponse:
        if request.path == f"/session/{THREAD}/children":
            return web.json_response([{"id": "ses_child"}])
        if request.path == "/session/status":
            if pretender.looks_after_abort() == 2:
                skip(10.0)
            aborted = "/session/ses_child/abort" in [path for _, path, _, _ in pretender.requests]
            return web.json_response({} if aborted else {"ses_child": {"type": "busy"}})
        if request.path.endswith("/message"):
            return web.json_response([running] if "ses_child" in request.path else [])
        return web.json_response(True)

    pretender.answer = idle
    verified, detail = await stop_run(client, THREAD, "/d", 10.0)
    assert (verified, detail) == (False, "the tool bash had not ended")
    assert "/session/ses_child/abort" in [path for _, path, _, _ in pretender.requests]


@pytest.mark.parametrize("gone", [True, False])
async def test_sub_agents_that_a_crash_cut_long_ago_do_not_put_a_stop_in_doubt(
    client: OpenCode, pretender: Pretender, gone: bool
) -> None:
    cut = [f"ses_child_{number}" for number in range(40)]
    running = {
        "info": {"id": "msg_1", "role": "assistant"},
        "parts": [
            {"id": "prt_1", "messageID": "msg_1", "type": "tool", "tool": "bash", "state": {"status": "running"}}
        ],
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/children"):
            return web.json_response([{"id": child} for child in cut])
        if request.path == "/session/status":
            aborted = f"/session/{THREAD}/abort" in [path for _, path, _, _ in pretender.requests]
            return web.json_response({} if aborted else {THREAD: {"type": "busy"}, cut[0]: {"type": "busy"}})
        if request.path.endswith("/message"):
            if cut[0] in request.path:
                return web.json_response({"name": "NotFoundError"}, status=404) if gone else web.json_response([])
            return web.json_response([running] if "child" in request.path else [])
        return web.json_response(True)

    pretender.answer = answer
    assert await stop_run(client, THREAD, "/d", 60.0) == (True, "")
    asked = [path for _, path, _, _ in pretender.requests]
    assert next(path for path in asked if path.endswith("/abort")) == f"/session/{THREAD}/abort"
    assert {f"/session/{child}/abort" for child in cut} < set(asked)


async def test_sub_agents_are_stopped_side_by_side(client: OpenCode, pretender: Pretender) -> None:
    waiting, all_here = 0, asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal waiting
        if request.path.endswith("/children"):
            return web.json_response([{"id": "ses_a"}, {"id": "ses_b"}, {"id": "ses_c"}])
        if request.path == "/session/status":
            return web.json_response({})
        if request.path.endswith("/abort") and THREAD not in request.path:
            waiting += 1
            if waiting == 3:
                all_here.set()
            await all_here.wait()  # one after another would wait for ever
        return web.json_response([] if request.path.endswith("/message") else True)

    pretender.answer = answer
    assert await stop_run(client, THREAD, "/d", 60.0) == (True, "")


async def test_a_snapshot_pages_back_until_it_reaches_the_message_it_was_asked_for(
    client: OpenCode, pretender: Pretender
) -> None:
    thread = [{"info": {"id": f"msg_{n:03}", "role": "user"}, "parts": []} for n in range(150)]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/message"):
            return web.json_response(thread[-int(request.query["limit"]) :])
        return web.json_response({} if request.path == "/session/status" else [])

    pretender.answer = answer
    snapshot = await client.snapshot(THREAD, "/d", MessageId("msg_020"))
    assert MessageId("msg_020") in [message.info.id for message in snapshot.messages]
    assert snapshot.status.type == "idle"
    pretender.requests.clear()
    await client.snapshot(THREAD, "/d", MessageId("msg_149"))
    assert [path for _, path, _, _ in pretender.requests if "/message" in path] == [
        f"/session/{THREAD}/message?limit=40"
    ]
