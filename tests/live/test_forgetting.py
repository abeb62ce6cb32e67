"""`dragoman forget` with the real OpenCode: afterwards no file of ours or of its holds a word of the issue."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from dragoman.sim.script import Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import PROGRAM, LiveService

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

WORD = "xylophone"
LONG = f"yes {WORD} | head -n 20000; echo {WORD} > {WORD}.txt; git add -A; git commit -qm 'Add {WORD}'"


def found_in(service: LiveService) -> list[str]:
    """Files of the data folder and of the ledger that hold the word or are named by it; packages of OpenCode's aside."""
    folders = [str(service.data), str(service.folder / "ledger")]
    by_content = subprocess.run(
        ["grep", "-rlai", "--exclude-dir=node_modules", "--exclude-dir=_cacache", WORD, *folders],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return by_content.stdout.splitlines() + [str(file) for file in service.data.rglob(f"*{WORD}*")]


async def forget(service: LiveService, issue: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "forget", issue),
        env=service.environment,
        cwd=service.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, waits = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, (said + waits).decode()


async def talked(service: LiveService) -> str:
    """A session in which the word was said, and long outputs were made; the issue's key."""
    service.linear.model.tell(WORD, [bash(LONG, f"Tune the {WORD}")], [Say(text=f"A {WORD} has wooden bars.")])
    session = service.ask(f"[story={WORD}] fix the {WORD}", f"The {WORD} is out of tune")
    await service.ends(session)
    files = " ".join(found_in(service))
    assert all(place in files for place in ("/opencode.db", "/tool-output/", "/workspaces/", "/dragoman.db")), files
    return service.linear.world.issue(session.issue or "").identifier


@pytest.mark.parametrize("running", [True, False], ids=["beside the service", "without it"])
async def test_nothing_of_a_forgotten_issue_is_on_the_disk(serving: Serving, running: bool) -> None:
    async with serving() as service:
        issue = await talked(service)
        if not running:
            await service.terminate()
        code, said = await forget(service, issue)
        assert (code, said.startswith(f"Forgot {issue}: 1 session(s)")) == (0, True), said
        assert "1 session(s) of OpenCode, 1 workspace(s)" in said
        assert found_in(service) == []
        if not running:
            assert service.left() == {}
        assert [path for path in Path(service.data / "workspaces").glob("*/*") if path.is_dir()] == []
