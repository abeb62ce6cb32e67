"""What Linear shall show, when Linear's quota is low or Linear refuses it for good."""

from __future__ import annotations

import json

import pytest

from dragoman.core.activities import Thought
from dragoman.core.effects import BeginIssue, Effect
from dragoman.errors import LinearError
from dragoman.ids import SessionId
from dragoman.ledger import effects
from dragoman.ledger.pools import pool_of
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import open_linear
from dragoman.linear.quota import Quota
from dragoman.runtime.performers.people import People
from dragoman.runtime.workers import Pointless
from tests.builders import HOST, SESSION, a_final_post, a_fleeting_post, a_post, a_session, an_issue
from tests.linear.fake_linear import WRITTEN, Asked, FakeLinear, Reply, data
from tests.runtime.lanes import queue


async def test_a_fleeting_activity_that_the_quota_has_no_room_for_is_given_back_undone(ledger: SqliteLedger) -> None:
    linear = open_linear("http://127.0.0.1:9", access_token="token", client_id="", client_secret="")
    try:
        linear.governor.answered(Quota(limit=100, remaining=10))
        await queue(ledger, a_fleeting_post("reads a file"))
        [claimed] = await ledger.turn(effects.claim, "linear", host=HOST, limit=1, lease_s=60)
        with pytest.raises(Pointless):
            await People(linear, ledger, _no_link).perform(claimed)
    finally:
        await linear.close()


def _no_link(_: SessionId) -> None:
    return None


# ── refused for good ─────────────────────────────────────────────────────
def refused(message: str, **extensions: object) -> Reply:
    return Reply(400, json.dumps({"errors": [{"message": message, "extensions": extensions}]}).encode())


CONTENT = refused("body is invalid", type="invalid input", code="INPUT_ERROR")
GONE = refused("Entity not found: AgentSession", type="invalid input", code="INPUT_ERROR")
FORBIDDEN = refused("no access", type="forbidden", code="FORBIDDEN")


async def perform(ledger: SqliteLedger, fake: FakeLinear, effect: Effect, link: str | None = None) -> None:
    await ledger.turn(effects.insert, a_session(), [effect])
    [claimed] = await ledger.turn(effects.claim, pool_of(effect), host=HOST, limit=1, lease_s=60)
    linear = open_linear(fake.url, access_token="token", client_id="", client_secret="")
    try:
        await People(linear, ledger, lambda _: link).perform(claimed)
    finally:
        await linear.close()


async def test_a_final_that_linear_does_not_take_is_replaced_by_where_the_answer_is(ledger: SqliteLedger) -> None:
    async with FakeLinear(CONTENT) as fake:
        await perform(ledger, fake, a_final_post("What was found."))
    first, second = (asked.variables["input"] for asked in fake.asked)
    assert first["content"]["body"] == "What was found."
    assert second["id"] == first["id"]
    assert second["content"]["type"] == "response"
    assert f"dragoman sessions show {SESSION}" in second["content"]["body"]


@pytest.mark.parametrize("reply", [GONE, FORBIDDEN])
async def test_a_session_that_is_gone_or_closed_to_us_is_not_written_to_again(
    ledger: SqliteLedger, reply: Reply
) -> None:
    async with FakeLinear(reply) as fake:
        with pytest.raises(LinearError):
            await perform(ledger, fake, a_final_post())
    assert len(fake.asked) == 1


async def test_a_thought_that_linear_does_not_take_is_not_replaced(ledger: SqliteLedger) -> None:
    async with FakeLinear(CONTENT) as fake:
        with pytest.raises(LinearError):
            await perform(ledger, fake, a_post("one", Thought(body="hm")))
    assert len(fake.asked) == 1


async def test_a_final_whose_replacement_is_refused_too_ends_there(ledger: SqliteLedger) -> None:
    async with FakeLinear(CONTENT, CONTENT) as fake:
        with pytest.raises(LinearError):
            await perform(ledger, fake, a_final_post())
    assert len(fake.asked) == 2


@pytest.mark.parametrize("refusal", ["SessionUpdate", "IssueUpdate"])
async def test_a_link_and_the_issue_do_not_depend_on_one_another(ledger: SqliteLedger, refusal: str) -> None:
    def answer(asked: Asked) -> Reply:
        match asked.document:
            case name if name == refusal:
                return FORBIDDEN
            case "Issue":
                return data(issue={"id": "i", "identifier": "ENG-12", "title": "t", "url": "u"})
            case "Viewer":
                organization = {"id": "o", "urlKey": "acme"}
                us = {"id": "us", "name": "d", "displayName": "d", "url": "u", "organization": organization}
                return data(viewer=us)
            case _:
                return WRITTEN

    async with FakeLinear(always=answer) as fake:
        with pytest.raises(LinearError, match="no access"):
            await perform(ledger, fake, BeginIssue(issue=an_issue(), start=False, delegate=True), "https://d.example/s")
    documents = [asked.document for asked in fake.asked]
    assert documents.count("SessionUpdate") == documents.count("IssueUpdate") == 1
