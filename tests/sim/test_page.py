"""The page, in a real browser: what a person does with mouse or keyboard, in both themes, under its strict policy."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

import dragoman.sim.page
from dragoman.sim import Simulator
from dragoman.sim.records import AgentSession
from tests.marks import deep
from tests.sim.conftest import DEADLINE_S

STATIC = Path(dragoman.sim.page.__file__).parent / "static"
OPTIONS: dict[str, Any] = {"options": [{"value": "zero", "label": "Return 0.0"}, {"value": "raise", "label": "Raise"}]}
expect.set_options(timeout=DEADLINE_S * 1000)
NASTY = "<img src=x onerror=alert(1)> <script>alert(2)</script>"


@dataclass
class Visit:
    """A person at the page. `complaints` are all that the browser's console and its errors said."""

    sim: Simulator
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        await self.page.goto(self.sim.url + path)

    def post(self, session: AgentSession, kind: str, body: str, **more: Any) -> None:
        self.sim.agent.create_activity(session.id, {"type": kind, "body": body}, **more)


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture
async def visit(sim: Simulator, browser: Browser) -> AsyncIterator[Visit]:
    context = await browser.new_context()
    context.set_default_timeout(DEADLINE_S * 1000)
    page = await context.new_page()
    visiting = Visit(sim, page)
    page.on("console", lambda message: visiting.complaints.append(message.text))
    page.on("pageerror", lambda error: visiting.complaints.append(str(error)))
    yield visiting
    await context.close()
    assert visiting.complaints == []


@pytest.mark.needs_chromium
async def test_a_person_files_an_issue_delegates_it_answers_writes_and_stops(visit: Visit) -> None:
    page, sim = visit.page, visit.sim
    await visit.go("/")
    await page.get_by_label("Title").fill("average() is wrong")
    await page.get_by_label("Description").fill("It gives **3.0**.")
    await page.get_by_role("button", name="Create issue").click()
    await expect(page.get_by_role("heading", name="average() is wrong")).to_be_visible()
    await page.get_by_role("button", name="Delegate to OpenCode").click()
    await expect(page.get_by_text("Waiting for OpenCode…")).to_be_visible()

    (session,) = sim.world.sessions.values()
    visit.post(session, "thought", "🚀 Session started", ephemeral=True)
    await expect(page.locator(".fleeting")).to_contain_text("Session started")
    sim.agent.update_session(session.id, {"plan": [{"content": "Read the code", "status": "inProgress"}]})
    sim.agent.update_session(session.id, {"addedExternalUrls": [{"label": "Live run", "url": "http://x.example/"}]})
    content = {"type": "action", "action": "Ran", "parameter": "ls", "result": "```\nstats.py\n```"}
    sim.agent.create_activity(session.id, content)
    await expect(page.locator(".fleeting")).to_have_count(0)
    await expect(page.get_by_role("list", name="Plan")).to_contain_text("Read the code (in progress)")
    await expect(page.get_by_role("link", name="Live run")).to_have_attribute("href", "http://x.example/")
    await page.locator("summary", has_text="Ran").click()
    await expect(page.locator(".result")).to_contain_text("stats.py")

    visit.post(session, "elicitation", "What should it do?", signal="select", signal_metadata=OPTIONS)
    await expect(page.locator(".chip")).to_have_text("Needs your answer")
    await page.get_by_role("button", name="Return 0.0").click()
    await expect(page.locator(".act.prompt")).to_contain_text("Return 0.0")
    await expect(page.locator(".choices")).to_have_count(0)
    await expect(page.locator(".result")).to_be_visible()  # it stays open

    visit.post(session, "response", "Done: it gives **4.0** now.\n\n+++ Receipt\n- pushed\n+++")
    await expect(page.locator(".chip")).to_have_text("Done")
    await expect(page.get_by_text("pushed")).to_be_hidden()
    await page.locator("summary", has_text="Receipt").click()
    await expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    field_ = page.get_by_label("Message to OpenCode")
    await field_.fill("And the empty list?")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".act.prompt")).to_have_count(2)
    await expect(field_).to_have_value("")
    await expect(page.get_by_text("pushed")).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".chip")).to_have_text("Stopping")
    assert [row.signal for row in sim.world.activities(session.id) if row.kind == "prompt"] == [None, None, "stop"]


@pytest.mark.needs_chromium
async def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    page, sim = visit.page, visit.sim
    issue = sim.people.create_issue("It is broken")
    await visit.go("/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(12):
        if await page.evaluate("document.activeElement.getAttribute('href')") == f"/issues/{issue.identifier}":
            break
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="It is broken")).to_be_visible()
    await page.get_by_label("Comment", exact=True).focus()
    await page.keyboard.type("please fix it")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    session = await sim.wait_for(lambda world: next(iter(world.sessions.values()), None))
    assert sim.world.comments[session.comment or ""].body == "@opencode please fix it"
    await page.get_by_label("Message to OpenCode").focus()
    await page.keyboard.type("one")
    visit.post(session, "thought", "meanwhile")
    await expect(page.get_by_text("meanwhile")).to_be_visible()
    await expect(page.get_by_label("Message to OpenCode")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".act.prompt")).to_contain_text("onetwo")


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of two sRGB colours, as WCAG 2 defines it."""

    def light(colour: list[float]) -> float:
        parts = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


# Each element's own colour on the first ground below it that is not transparent.
COLOURS = """() => [...document.querySelectorAll('.chip, .dim, .by strong, .md p, time, h1, h2, h3, .button:enabled, a, dt')]
  .filter(e => e.offsetParent && !e.closest('.fleeting')).map(e => {
    let ground = e, colour;
    do { colour = getComputedStyle(ground).backgroundColor; ground = ground.parentElement; }
    while (/, 0\\)$|transparent/.test(colour) && ground);
    const of = text => text.match(/[\\d.]+/g).map(Number);
    return [e.className + ' ' + e.textContent.trim().slice(0, 30), of(getComputedStyle(e).color), of(colour)];
  })"""


@pytest.mark.needs_chromium
@pytest.mark.parametrize("scheme", [deep("light"), "dark"])
async def test_it_is_readable_in_both_themes_and_on_a_small_screen(visit: Visit, scheme: Any) -> None:
    page, sim = visit.page, visit.sim
    session = sim.people.delegate(
        sim.people.create_issue("A long title " * 8, "Words", labels=["bug", "stats", "reports", "urgent"]).id
    )
    visit.post(sim.people.mention("ENG-1", "look, too"), "thought", "Looking.")
    sim.agent.create_activity(
        session.id, {"type": "action", "action": "Ran", "parameter": "x" * 190, "result": "y" * 300}
    )
    visit.post(session, "error", "It failed.")
    visit.post(session, "elicitation", "Which?", signal="select", signal_metadata=OPTIONS)
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": 320, "height": 700})
    for path in ("/", "/issues/ENG-1"):
        await visit.go(path)
        await expect(page.locator("#live")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        poor = [entry[0] for entry in await page.evaluate(COLOURS) if contrast(entry[1], entry[2]) < 4.5]
        assert poor == []
    ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    bright = sum(map(int, re.findall(r"\d+", ground)[:3])) > 380
    assert bright == (scheme == "light")


@pytest.mark.needs_chromium
async def test_markup_of_others_is_shown_and_not_obeyed(visit: Visit) -> None:
    page, sim = visit.page, visit.sim
    issue = sim.people.create_issue(NASTY, NASTY, labels=[NASTY])
    session = sim.people.delegate(issue.id)
    sim.agent.update_session(session.id, {"plan": [{"content": NASTY, "status": "pending"}], "summary": NASTY})
    sim.agent.create_activity(session.id, {"type": "action", "action": NASTY, "parameter": NASTY, "result": NASTY})
    options = {"options": [{"value": '"><b>', "label": NASTY}]}
    visit.post(session, "elicitation", NASTY, signal="select", signal_metadata=options)
    await visit.go("/")
    await expect(page.get_by_text("<script>").first).to_be_visible()
    await visit.go(f"/issues/{issue.identifier}")
    await page.get_by_role("button", name="<script>").click()
    await expect(page.locator(".act.prompt")).to_contain_text("<script>")
    assert await page.locator("main img, main script, main b").count() == 0


@pytest.mark.deep
@pytest.mark.needs_chromium
async def test_pictures_of_the_store_are_seen_and_other_files_are_downloads(
    visit: Visit, http: aiohttp.ClientSession
) -> None:
    pixel = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")
    picture = visit.sim.store.put("a b.gif", "image/gif", pixel)
    page = visit.sim.store.put("x.html", "text/html", b"<script>alert(1)</script>")
    session = visit.sim.people.mention(visit.sim.people.create_issue("Dark mode").id, "show me")
    visit.post(
        session, "response", f"Look.\n\n![a b.gif]({visit.sim.url}{picture})\n\n- [x.html]({visit.sim.url}{page})"
    )
    await visit.go(f"/issues/{visit.sim.world.issue(session.issue or '').identifier}")
    seen = visit.page.get_by_role("img", name="a b.gif")
    await expect(seen).to_be_visible()
    assert await seen.evaluate("image => image.naturalWidth") == 1
    address = await visit.page.get_by_role("link", name="x.html").get_attribute("href")
    async with http.get(f"{visit.sim.url}{address}") as reply:
        assert reply.headers["content-disposition"].startswith("attachment")
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.deep
async def test_what_happens_shows_in_the_list_and_a_late_agent_is_called_late(visit: Visit) -> None:
    page, sim = visit.page, visit.sim
    await visit.go("/")
    session = sim.people.delegate(sim.people.create_issue("It is broken").id)
    await expect(page.locator(".issues .chip")).to_have_text("Waiting for the agent")
    visit.post(session, "elicitation", "Which?")
    await expect(page.locator(".issues .chip")).to_have_text("Needs your answer")


async def test_every_page_forbids_inline_script_and_style(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.people.create_issue("It is broken")
    for path, status in (("/", 200), ("/issues/ENG-1", 200), ("/issues/ENG-9", 404)):
        async with http.get(path) as reply:
            text = await reply.text()
        assert reply.status == status
        assert "script-src 'self'; style-src 'self'" in reply.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|\shx-on", text)


@pytest.mark.parametrize(
    "path, form, status",
    [
        ("/issues", {"title": "  "}, 422),
        ("/issues", {"title": "x" * 20_001}, 422),
        ("/issues/ENG-9/comments", {"body": "x"}, 404),
        ("/issues/ENG-1/state", {"state": "Nowhere"}, 404),
        ("/sessions/none/stop", {}, 404),
        ("/issues/ENG-1/comments", {"body": "plain"}, 303),
    ],
)
async def test_forms_work_without_script_and_refuse_nonsense(
    sim: Simulator, http: aiohttp.ClientSession, path: str, form: dict[str, str], status: int
) -> None:
    sim.people.create_issue("It is broken")
    async with http.post(path, data=form, allow_redirects=False) as reply:
        assert reply.status == status


async def test_an_answer_to_no_question_is_a_conflict(sim: Simulator, http: aiohttp.ClientSession) -> None:
    session = sim.people.delegate(sim.people.create_issue("x").id)
    async with http.post(f"/sessions/{session.id}/prompts", data={"body": "x", "answer": "yes"}) as reply:
        assert reply.status == 409


async def test_the_stream_tells_changes_and_ends_its_watch_with_the_reader(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    watching = len(sim.world._watchers)
    reply = await http.get("/stream")
    assert reply.headers["content-type"].startswith("text/event-stream")
    first = await reply.content.readuntil(b"\n\n")
    assert b"No issues yet" in first
    sim.people.create_issue("It is broken")
    assert b"It is broken" in await reply.content.readuntil(b"\n\n")
    assert len(sim.world._watchers) == watching + 1
    reply.close()
    async with asyncio.timeout(DEADLINE_S):
        while len(sim.world._watchers) != watching:  # the server notices a closed connection when it writes
            sim.people.create_issue("Another one")
            async with http.get("/control/wait", params={"version": sim.world.version, "timeout_s": 0.1}):
                pass


def test_vendored_files_are_what_they_are_said_to_be() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (STATIC / "VENDORED.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name for name, _ in listed} == {path.name for path in STATIC.glob("*.min.js")}
    for name, digest in listed:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest
