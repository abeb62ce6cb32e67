"""Two repositories, with the real OpenCode: the request's tag decides, what is set for that repository holds there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.sim.sample import make_sample
from dragoman.sim.script import Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import git

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]


async def test_a_tag_in_the_request_chooses_among_two_repositories(serving: Serving, tmp_path: Path) -> None:
    till = make_sample(tmp_path / "till")
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / ".env").write_text("TILL=1\n", "utf-8")
    toml = (
        f'[[repositories]]\nname = "acme/till"\nurl = {json.dumps(str(till))}\n'
        f'setup = ["echo set up > made.txt"]\ncopy = [".env"]\ncopy_from = {json.dumps(str(tmp_path / "operator"))}\n'
        'permissions = { bash = { "rm *" = "deny" } }\n'
    )
    async with serving(toml=toml) as service:
        look = bash("pwd; cat .env made.txt; rm made.txt", "Look around")
        service.linear.model.tell("looks", [look], [Say(text="It is the till.")])
        session = service.ask(r"\[repo=acme/till\] [story=looks] look around")
        final = await service.ends(session)
        assert "It is the till." in final.body
        workspace = service.workspace(session)
        assert workspace.parent.name == "acme-till"
        assert (workspace / "made.txt").read_text("utf-8") == "set up\n", "the repository's rule held"
        assert git(workspace, "check-ignore", ".env") == ".env"
        assert (await service.shows(session, "action", "echo set up")).content["result"]
        other = service.ask("[story=looks] where are you?")
        await service.ends(other)
        assert service.workspace(other).parent.name == "acme-sample"
