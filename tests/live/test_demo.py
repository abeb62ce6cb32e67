"""`dragoman demo` as a newcomer sees it: a page in a real browser, the real OpenCode behind it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.marks import deep

PROGRAM = Path(sys.executable).with_name("dragoman")
START_S = 60.0
STORY_MS = 60_000

pytestmark = [pytest.mark.needs_opencode, pytest.mark.timeout(150)]


@asynccontextmanager
async def demo(
    home: Path, binary: Path | None, *arguments: str, path: str = os.environ["PATH"]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Give a running demo; it is ended with Ctrl-C, as a person ends it."""
    home.mkdir()
    chosen = {"OPENCODE_BIN": str(binary)} if binary is not None else {}
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "demo",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": path, "HOME": str(home), "TMPDIR": str(home), **chosen},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 60.0)


async def page_of(process: asyncio.subprocess.Process) -> str:
    """The address that the demo prints."""
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(START_S):
        while not (found := re.search(rb"pretend Linear:\s+(http://\S+)", said)):
            line = await process.stdout.readline()
            assert line, said.decode()
            said += line
    return found[1].decode()


def left_behind(home: Path) -> list[str]:
    """Command lines of processes that still run for this demo."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(home) in words:
                found.append(words)
    return found


async def test_the_default_story_plays_by_itself_and_leaves_nothing_running(tmp_path: Path, opencode_bin: Path) -> None:
    home = tmp_path / "home"
    async with demo(home, opencode_bin, "--ci") as process:
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert b"Ran python3 -m unittest -v" in said
    assert b"**Verified by me" in said
    assert left_behind(home) == []
    assert list(home.glob("dragoman-demo-*")) == []


@pytest.mark.deep
async def test_it_ends_with_all_it_started_when_its_terminal_is_closed(tmp_path: Path, opencode_bin: Path) -> None:
    home = tmp_path / "home"
    async with demo(home, opencode_bin) as process:
        await page_of(process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)  # from the shell and from the kernel
        await asyncio.wait_for(process.wait(), START_S)
    assert process.returncode == 0
    assert left_behind(home) == []
    assert list(home.glob("dragoman-demo-*")) == []


@pytest.mark.parametrize("arguments, code", [((), 78), deep(("--ci",), 1)])
async def test_without_opencode_it_says_so_and_invites_nobody(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    async with demo(tmp_path / "home", None, *arguments, path=str(tmp_path / "bin")) as process:
        said, _ = await process.communicate()
    assert process.returncode == code
    assert b"OpenCode was not found" in said
    assert b"pretend Linear" not in said
    assert b"was delegated" not in said


@pytest.mark.deep
async def test_alone_it_fails_when_it_is_ended_before_the_final_response(tmp_path: Path, opencode_bin: Path) -> None:
    async with demo(tmp_path / "home", opencode_bin, "--ci") as process:
        assert process.stdout is not None
        assert b"was delegated" in await asyncio.wait_for(process.stdout.readline(), START_S)
        process.terminate()
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert b"ended before the final response" in said


@pytest.mark.deep
@pytest.mark.needs_chromium
async def test_a_newcomer_delegates_answers_follows_up_and_stops(
    tmp_path: Path, opencode_bin: Path, chromium: Path
) -> None:
    home = tmp_path / "home"
    async with demo(home, opencode_bin) as process, async_playwright() as playwright:
        url = await page_of(process)
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        await page.goto(url)
        await page.get_by_text("average() is wrong").first.click()
        await page.get_by_role("button", name=re.compile("Delegate")).first.click()
        await page.get_by_role("button", name="Return 0.0").click(timeout=STORY_MS)
        await seen(page, "an empty list gives 0.0, as you asked")
        await seen(page, "Run the tests")
        await page.get_by_placeholder("Write to OpenCode").fill("[story=stop] and now wait a while")
        await page.get_by_role("button", name="Send").click()
        await seen(page, "sleep 120")
        await page.get_by_role("button", name="Stop").click()
        await seen(page, "Stopped.")
        assert troubles == []
        await the_link_opens_the_session(page)
        await browser.close()
    assert left_behind(home) == []


async def seen(page: Page, words: str) -> None:
    """Wait until people can read it."""
    await expect(page.get_by_text(words).first).to_be_visible(timeout=STORY_MS)


async def the_link_opens_the_session(page: Page) -> None:
    """The link that Linear shows leads to a page with the conversation; without its key it opens nothing."""
    link = await page.get_by_role("link", name="Dragoman").first.get_attribute("href")
    assert link is not None
    await page.goto(link)
    await seen(page, "an empty list gives 0.0, as you asked")
    answer = await page.goto(link.partition("?")[0])
    assert answer is not None
    assert answer.status == 404
