"""The simulator over HTTP: faults, the control API, and who may knock."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from dragoman.sim import Fault, Simulator
from dragoman.sim.records import AgentSession
from tests.sim.conftest import DEADLINE_S, Receiver

CREATE = "mutation($input: AgentActivityCreateInput!){agentActivityCreate(input:$input){success}}"


def mentioned(sim: Simulator) -> AgentSession:
    return sim.people.mention(sim.people.create_issue("It is broken").id, "please fix it")


async def post(
    http: aiohttp.ClientSession, sim: Simulator, session: AgentSession, kind: str = "thought"
) -> tuple[int, Any, Any]:
    """Status, body and headers of an activity that is posted."""
    entry = {"agentSessionId": session.id, "content": {"type": kind, "body": "words"}}
    headers = {"Authorization": f"Bearer {sim.access_token}"}
    async with http.post("/graphql", json={"query": CREATE, "variables": {"input": entry}}, headers=headers) as reply:
        return reply.status, await reply.json(content_type=None) if reply.status < 500 else None, reply.headers


@pytest.mark.parametrize(
    "fault, status, code",
    [
        (Fault(kind="server_error", status=502), 502, None),
        (Fault(kind="rate_limited", retry_after_s=7), 400, "RATELIMITED"),
        (Fault(kind="too_many", retry_after_s=7), 429, "RATELIMITED"),
        (Fault(kind="gone"), 200, "INPUT_ERROR"),
        (Fault(kind="forbidden"), 200, "FORBIDDEN"),
        (Fault(kind="unauthorized"), 401, "AUTHENTICATION_ERROR"),
    ],
)
async def test_a_fault_refuses_once_and_writes_nothing(
    sim: Simulator, http: aiohttp.ClientSession, fault: Fault, status: int, code: str | None
) -> None:
    session = mentioned(sim)
    sim.faults.order(fault)
    seen, body, headers = await post(http, sim, session)
    assert seen == status
    if code is not None:
        assert body["errors"][0]["extensions"]["code"] == code
    if fault.kind == "too_many":
        assert headers["retry-after"] == "7"
    if fault.kind == "rate_limited":
        assert headers["x-ratelimit-requests-remaining"] == "0"
        assert int(headers["x-ratelimit-requests-reset"]) > sim.world.now() * 1000
    assert sim.world.activities(session.id) == []
    assert (await post(http, sim, session))[0] == 200
    assert sim.faults.hits == {fault.kind: 1}


async def test_a_lost_reply_was_written(sim: Simulator, http: aiohttp.ClientSession) -> None:
    session = mentioned(sim)
    sim.faults.order(Fault(kind="lose_reply"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(http, sim, session)
    assert len(sim.world.activities(session.id)) == 1


@pytest.mark.parametrize("kind, written", [("hang", 0), ("hang_after", 1)])
async def test_a_hanging_request_is_cut_when_released(
    sim: Simulator, http: aiohttp.ClientSession, kind: str, written: int
) -> None:
    session = mentioned(sim)
    sim.faults.order(Fault(kind=kind))
    asked = asyncio.create_task(post(http, sim, session))
    await sim.wait_for(lambda _: sim.faults.hits)
    assert not asked.done()
    assert len(sim.world.activities(session.id)) == written
    sim.faults.clear()
    with pytest.raises(aiohttp.ClientPayloadError):
        await asked


async def test_a_fault_can_choose_its_operation_and_its_content(sim: Simulator, http: aiohttp.ClientSession) -> None:
    session = mentioned(sim)
    sim.faults.order(
        Fault(kind="server_error", operation="viewer"), Fault(kind="server_error", content_type="response", times=None)
    )
    assert (await post(http, sim, session))[0] == 200
    assert (await post(http, sim, session, "response"))[0] == 503
    assert (await post(http, sim, session, "response"))[0] == 503
    sim.faults.clear()
    assert (await post(http, sim, session, "response"))[0] == 200
    with pytest.raises(ValueError, match="no fault"):
        sim.faults.order(Fault(kind="boredom"))


async def test_tokens_are_granted_over_http(sim: Simulator, http: aiohttp.ClientSession) -> None:
    form = {"grant_type": "client_credentials", "scope": "read,write"}
    basic = aiohttp.encode_basic_auth(sim.client_id, sim.client_secret)
    async with http.post("/oauth/token", data=form, headers={"Authorization": basic}) as reply:
        grant = await reply.json()
    assert reply.status == 200
    headers = {"Authorization": f"Bearer {grant['access_token']}"}
    async with http.post("/graphql", json={"query": "{viewer{name}}"}, headers=headers) as reply:
        assert await reply.json() == {"data": {"viewer": {"name": "OpenCode"}}}


async def control(http: aiohttp.ClientSession, what: str, **order: Any) -> Any:
    async with http.post(f"/control/{what}", json=order) as reply:
        answer = await reply.json()
        assert reply.status == 200, answer
        return answer["result"]


async def test_another_process_can_do_all_that_people_do(
    sim: Simulator, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    await control(http, "hooks", url=receiver.url, next=[{"hold": True}])
    issue = await control(http, "people", do="create_issue", args={"title": "Remote", "by": "bob"})
    session = await control(http, "people", do="mention", args={"issue": issue["identifier"], "text": "hi"})
    await control(http, "faults", order=[{"kind": "server_error", "times": 2}])
    assert (await post(http, sim, sim.world.session(session["id"])))[0] == 503
    assert await control(http, "faults", clear=True) == {"server_error": 1}
    await control(http, "hooks", release="as they came")
    async with asyncio.timeout(DEADLINE_S):
        version = 0
        while True:
            async with http.get("/control/wait", params={"version": version, "timeout_s": 5}) as reply:
                state = await reply.json()
            version = state["version"]
            if [delivery["state"] for delivery in state["deliveries"]] == ["delivered", "delivered"]:
                break
    assert state["sessions"][0]["status"] == "pending"
    assert state["issues"][0]["creator"] == sim.world.bob.id
    stories = await control(
        http, "model", story={"name": "mine", "steps": [[{"type": "Say", "text": "x"}]]}, default="mine", release="g"
    )
    assert "mine" in stories
    await control(http, "tokens", revoke=True, lifetime_s=60)
    assert (await post(http, sim, sim.world.session(session["id"])))[0] == 401


@pytest.mark.parametrize(
    "what, order",
    [
        ("people", {"do": "explode"}),
        ("people", {"do": "mention", "args": {"issue": "ENG-9", "text": "x"}}),
        ("people", {"do": "stop", "args": {"nonsense": 1}}),
        ("faults", {"order": [{"kind": "boredom"}]}),
        ("faults", {"order": [{"times": 1}]}),
        ("model", {"story": {"name": "x", "steps": [[{"type": "Sing"}]]}}),
    ],
)
async def test_an_order_that_makes_no_sense_is_400_with_the_problem(
    http: aiohttp.ClientSession, what: str, order: dict[str, Any]
) -> None:
    async with http.post(f"/control/{what}", json=order) as reply:
        assert reply.status == 400
        assert (await reply.json())["problem"]


async def test_pages_of_other_sites_cannot_knock(sim: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.post("/issues", data={"title": "x"}, headers={"Origin": "https://evil.example"}) as reply:
        assert reply.status == 403
    async with http.get("/", headers={"Host": "evil.example"}) as reply:
        assert reply.status == 403
    headers = {"Origin": sim.url}
    async with http.post("/issues", data={"title": "x"}, headers=headers, allow_redirects=False) as reply:
        assert (reply.status, reply.headers["location"]) == (303, "/issues/ENG-1")


async def test_the_simulator_ends_although_clients_still_wait() -> None:
    async with asyncio.timeout(DEADLINE_S):
        async with Simulator() as sim, aiohttp.ClientSession(sim.url) as client:
            sim.faults.order(Fault(kind="hang"))
            hanging = asyncio.create_task(post(client, sim, mentioned(sim)))
            stream = await client.get("/stream")
            await sim.wait_for(lambda _: sim.faults.hits)
            await sim.close()
            assert b"data:" in await stream.read()
            with pytest.raises(aiohttp.ClientError):
                await hanging
