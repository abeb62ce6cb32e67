"""From a delegated issue to a pull request, with the real OpenCode, a real git remote and a pretend GitHub."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from dragoman.sim.forge import Forge
from dragoman.sim.script import Say
from dragoman.sim.stories import bash
from tests.live.conftest import Serving
from tests.live.service import LiveService, git
from tests.stories.checks import files_with

pytestmark = [pytest.mark.deep, pytest.mark.needs_opencode, pytest.mark.timeout(200)]

TOKEN = "ghp_canary_0123456789"
VERIFY = 'verify = ["python3 -m unittest -q"]\nverify_red = true\n'


def on_forge(service: LiveService, forge: Forge) -> None:
    """Have the sample repository at the pretend GitHub, with our token."""
    forge.add("acme/sample", service.repository)
    toml = service.folder / "dragoman.toml"
    url = f'url = "{forge.git_url("acme/sample")}"\n{VERIFY}'
    lines = [url if line.startswith("url = ") else line for line in toml.read_text("utf-8").splitlines()]
    toml.write_text("\n".join(lines), "utf-8")
    service.environment |= {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": forge.api_url}


async def test_an_issue_becomes_a_pull_request_with_a_receipt(serving: Serving, tmp_path: Path) -> None:
    forge = Forge(tmp_path / "forge", {TOKEN: "write"})
    async with serving(linear={"forge": forge}, start=False) as service:
        on_forge(service, forge)
        await service.start()
        issue = service.linear.people.create_issue("average() is wrong", "It divides by one too many.")
        session = service.linear.people.delegate(issue.id)
        await service.shows(session, "elicitation", "What should average([]) do?")
        service.linear.people.answer(session.id, "Return 0.0")
        final = await service.ends(session)

        shop = forge.repositories["acme/sample"]
        [pull] = shop.pulls
        assert final.body.startswith("Fixed. ")
        assert f"**Pull request:** {pull['html_url']}" in final.body
        assert "⚠️" not in final.body
        assert "- ✅ `python3 -m unittest -q`: exit code 0" in final.body
        assert "- ▫️ `python3 -m unittest -q`: exit code 1" in final.body
        assert "“What should average([]) do?” → “Return 0.0”" in final.body
        assert pull["title"] == f"{issue.identifier}: average() is wrong"
        assert "return sum(values) / len(values)" in shop.git("show", f"{issue.branch_name}:stats.py")
        world = service.linear.world
        await service.becomes(lambda: pull["html_url"] in [one.url for one in world.session(session.id).links])
        await service.becomes(lambda: pull["html_url"] in [one.url for one in world.attachments.values()])


async def test_an_agent_that_looks_for_the_token_finds_none_and_cannot_push(serving: Serving, tmp_path: Path) -> None:
    look = (
        "echo x > x.txt; git add -A; git commit -qm x; git push origin HEAD 2>&1; env; git config --list; "
        "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; true"
    )
    forge = Forge(tmp_path / "forge", {TOKEN: "write"})
    async with serving(linear={"forge": forge}, start=False) as service:
        on_forge(service, forge)
        service.linear.model.tell("look", [bash(look, "Look around")], [Say(text="I found:\n\n{result}")])
        one = "echo one > one.txt; git add one.txt; git commit -qm 'Add one'"
        service.linear.model.tell("pushed", [bash(one, "Add")], [Say(text="Added.")])
        await service.start()
        # Another session's push is under way, with the token in the environment of its git, while this agent looks.
        pushing = forge.hold("push")
        other = service.ask("[story=pushed] add one")
        await service.becomes(pushing.reached.is_set)
        seen = await asyncio.to_thread(processes)
        assert not [words for words, _ in seen if TOKEN in words]
        assert [words for words, environment in seen if TOKEN in environment and "push" in words]
        session = service.ask("[story=look] fix it")
        final = await service.ends(session)
        pushing.release()
        assert "**Pull request:**" in (await service.ends(other)).body
        assert "pushing-is-done-by-dragoman-after-the-turn" in final.body
        assert "**Pull request:**" in final.body
        assert TOKEN not in "\n".join(str(row.content) for row in service.rows(session))
        assert TOKEN not in service.log.read_text("utf-8")
        workspace = service.workspace(session)
        assert TOKEN not in git(workspace, "config", "--list")
        assert files_with(service.data, TOKEN) == []


def processes() -> list[tuple[str, str]]:
    """The words and the environment of every process that we may look at."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words, environment = (
                    (entry / name).read_bytes().replace(b"\0", b" ") for name in ("cmdline", "environ")
                )
                found.append((words.decode("utf-8", "replace"), environment.decode("utf-8", "replace")))
    return found


async def test_a_review_is_answered_with_commits_and_replies(serving: Serving, tmp_path: Path) -> None:
    forge = Forge(tmp_path / "forge", {TOKEN: "write"})
    async with serving(linear={"forge": forge}, start=False) as service:
        on_forge(service, forge)
        forge.reviews.hook_url, forge.reviews.hook_secret = f"{service.url}/webhooks/github", "canary-github-hook"
        service.environment["GITHUB_WEBHOOK_SECRET"] = "canary-github-hook"
        with (service.folder / "dragoman.toml").open("a", encoding="utf-8") as toml:
            toml.write("\n[session]\nreview_settle_s = 0.5\n")
        first = "echo one > one.txt; git add one.txt; git commit -qm 'Add one'"
        again = "echo uno > one.txt; git commit -qam 'Say it in Spanish'"
        words = "In Spanish now.\n\nReply to 1: Done.\nReply to 2: It says uno."
        service.linear.model.tell("reviewed", [bash(first, "Add")], [Say(text="Added.")])
        service.linear.model.tell("spanish", [bash(again, "Change")], [Say(text=words)])
        await service.start()
        session = service.ask("[story=reviewed] add one")
        await service.ends(session)
        shop = forge.repositories["acme/sample"]
        forge.reviews.rights["rita"] = "write"
        lines = (("one.txt", 1, "In Spanish, please"),)
        forge.reviews.review(shop, 1, "rita", "Nearly. [story=spanish]", lines=lines)
        assert await forge.reviews.deliver() == [200, 200]
        await service.shows(session, "thought", "From the pull request on GitHub")
        final = await service.ends(session, turns=2)
        assert final.body.startswith("In Spanish now.")
        branch = shop.pulls[0]["head"]["ref"]
        assert shop.git("show", f"{branch}:one.txt") == "uno"
        talk = forge.reviews.talk(shop, 1)
        await service.becomes(lambda: talk.comments[1:])
        assert talk.comments[1]["body"].startswith("It says uno.\n\nPushed since: ")
        assert [one["body"].partition("\n")[0] for one in talk.beside] == ["@rita Done."]
        assert len(shop.pulls) == 1
