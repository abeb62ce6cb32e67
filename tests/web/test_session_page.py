"""The page that a session's link in Linear opens: for who has the key, without secrets, without anything that runs."""

from __future__ import annotations

import html
from typing import Never

import pytest

from dragoman.core.events.linear import SessionOpened
from dragoman.errors import LedgerError
from dragoman.ids import OrganizationId, SessionId
from dragoman.runtime.service import Service
from tests.builders import a_prompt, an_issue
from tests.web.conftest import CANARY
from tests.web.sockets import get

ONE, TWO = SessionId("5e551011-0000-4000-8000-000000000001"), SessionId("5e552022-0000-4000-8000-000000000002")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&#60;script&#62;",
)


async def opened(service: Service, session: SessionId, text: str) -> str:
    """A session that began with these words; the path of its page."""
    event = SessionOpened(issue=an_issue(), prompt=a_prompt(text))
    await service.engine.receive(session, OrganizationId("ours"), event)
    return f"/sessions/{session}?key={service.links.key_of(session)}"


async def test_the_link_opens_the_session_with_its_conversation_and_journal(service: Service, url: str) -> None:
    answer = await get(url, await opened(service, ONE, "please fix it"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    for words in ("ENG-12 The parser drops the last line", "please fix it", "Ann", "SessionOpened", "Still to be done"):
        assert words in page


@pytest.mark.parametrize(
    "query", ["", "?key=", "?key=0123456789abcdef0123456789abcdef", "?key=%C3%A9", "?other=1", "?key"]
)
async def test_without_the_key_there_is_no_page(service: Service, url: str, query: str) -> None:
    await opened(service, ONE, "please fix it")
    answer = await get(url, f"/sessions/{ONE}{query}")
    assert answer.status == 404
    assert b"please" not in answer.body


async def test_the_key_of_one_session_opens_no_other(service: Service, url: str) -> None:
    await opened(service, ONE, "please fix it")
    await opened(service, TWO, "and this")
    assert (await get(url, f"/sessions/{ONE}?key={service.links.key_of(TWO)}")).status == 404


async def test_a_session_that_is_gone_is_told(service: Service, url: str) -> None:
    answer = await get(url, f"/sessions/{ONE}?key={service.links.key_of(ONE)}")
    assert (answer.status, answer.body) == (404, b"This session is not known here (any more).")


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_people_write_is_text_and_nothing_else(service: Service, url: str, text: str) -> None:
    answer = await get(url, await opened(service, ONE, text))
    page = answer.body.decode()
    assert html.escape(text, quote=False) in page.replace("&#34;", '"').replace("&#39;", "'")
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg" not in page
    assert "default-src 'none'; style-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_secret_that_somebody_wrote_is_masked_however_a_page_spells_it(service: Service, url: str) -> None:
    answer = await get(url, await opened(service, ONE, f"use {CANARY}-token and {CANARY}-hook"))
    page = answer.body.decode()
    assert "use [secret] and [secret]" in page
    assert "canary" not in html.unescape(page)


async def test_the_style_sheet_is_served(url: str) -> None:
    answer = await get(url, "/static/session.css")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/css")


async def test_a_ledger_that_cannot_be_read_is_told(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await opened(service, ONE, "please fix it")

    async def unreadable(*_: object) -> Never:
        raise LedgerError("disk I/O error")

    monkeypatch.setattr(service.ledger, "read", unreadable)
    answer = await get(url, path)
    monkeypatch.undo()
    assert answer.status == 503
    assert b"disk I/O error" in answer.body
