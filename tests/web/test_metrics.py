"""`/metrics` and `/api/v1/stats` of a whole service: what they say when something is away."""

from __future__ import annotations

import asyncio
from typing import Never

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dragoman.config.values import is_loopback
from dragoman.core.access import Policy
from dragoman.core.events.linear import SessionOpened
from dragoman.core.pace import Paces
from dragoman.errors import LedgerError
from dragoman.ids import OrganizationId, SessionId
from dragoman.ledger import numbers
from dragoman.runtime.gate import Gate
from dragoman.runtime.service import Service
from dragoman.web import metrics
from tests.builders import a_prompt
from tests.web.sockets import Answer, ask, get, request


async def scraped(url: str) -> dict[str, float]:
    answer = await get(url, "/metrics")
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {
        ":".join((sample.name, *sample.labels.values())): sample.value for one in families for sample in one.samples
    }


async def stats(service: Service, url: str, query: str = "") -> Answer:
    key = f"Authorization: Bearer {service.operator_key}"
    return await ask(url, request(b"", method="GET", path=f"/api/v1/stats{query}", signature=None, more=[key]))


async def refused(*_: object) -> Never:
    raise LedgerError("the disk is gone")


async def test_what_is_away_is_told_and_what_waits_is_counted(service: Service, url: str) -> None:
    await service.engine.receive(SessionId("one"), OrganizationId("acme"), SessionOpened(issue=None, prompt=a_prompt()))
    told = await scraped(url)
    assert told["dragoman_opencode_up"] == 0
    assert told["dragoman_ledger_up"] == 1
    assert told["dragoman_sessions:creating"] == 1
    assert told["dragoman_sessions:timeout"] == 0
    assert told["dragoman_effect_age_seconds:linear"] >= 0
    assert told["process_resident_memory_bytes"] > 0


async def test_refused_signatures_and_refused_people_are_counted(service: Service, url: str) -> None:
    for _ in range(3):
        assert (await ask(url, request(b"{}", signature="0" * 64))).status == 401
    service.engine.gate = Gate(Policy(users=("somebody else",)), Paces())
    await service.engine.receive(SessionId("one"), OrganizationId("acme"), SessionOpened(issue=None, prompt=a_prompt()))
    told = await scraped(url)
    assert told["dragoman_webhooks_refused_total:BadSignature"] == 3
    assert told["dragoman_decisions_total:start:user"] == 1
    assert told["dragoman_turns_total:refused"] == 1


async def test_a_ledger_that_cannot_be_read_leaves_its_numbers_out(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(service.ledger, "read", refused)
        told = await scraped(url)
        assert told["dragoman_ledger_up"] == 0
        assert not [name for name in told if name.startswith("dragoman_sessions")]
        assert (await stats(service, url)).status == 503
    monkeypatch.setattr(metrics, "KEPT_S", 0.0)
    assert (await scraped(url))["dragoman_ledger_up"] == 1


async def test_the_ledger_is_read_once_for_scrapes_within_a_second(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = service.ledger.read, 0

    async def counting(*arguments: object) -> object:
        nonlocal asked
        asked += arguments[0] is numbers.counts  # what else the service reads is its own business
        return await read(*arguments)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(metrics, "KEPT_S", 60.0)
    monkeypatch.setattr(service.ledger, "read", counting)
    await asyncio.gather(*(scraped(url) for _ in range(5)))
    assert asked == 1


BY, SPAN = "`by` is one of team, repository,", "is no span of time: write 7d, 12h or 30min"


@pytest.mark.parametrize(
    "query, told", [("since=yesterday", SPAN), ("by=weather", BY), ("by=team&by=user", BY), ("since=7", SPAN)]
)
async def test_a_wrong_question_about_statistics_is_told(service: Service, url: str, query: str, told: str) -> None:
    answer = await stats(service, url, f"?{query}")
    assert answer.status == 400
    assert told in answer.json["error"]


async def test_statistics_name_people_so_they_are_for_operators_only(service: Service, url: str) -> None:
    assert (await stats(service, url)).json["total"]["turns"] == 0
    assert (await get(url, "/api/v1/stats")).status == 401


@pytest.mark.parametrize(
    "host,expected",
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("box", False)],
)
def test_a_loopback_address_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
