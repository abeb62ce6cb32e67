"""A workspace that fights back: what it names to run never runs outside the sandbox, and no token is anywhere to be seen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.marks import deep
from tests.stories.checks import files_with
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, commits, git, writes
from tests.stories.world import GITHUB_TOKEN

pytestmark = pytest.mark.needs_bubblewrap

Trap = Callable[[Path, str], None]


def _config(*rows: str) -> Trap:
    def set_up(folder: Path, program: str) -> None:
        for row in rows:
            key, _, value = row.partition("=")
            git(folder, "config", key, value.replace("PROGRAM", program))

    return set_up


def _filter(kind: str) -> Trap:
    def set_up(folder: Path, program: str) -> None:
        git(folder, "config", f"filter.x.{kind}", program)
        writes(folder, ".gitattributes", "* filter=x\n")

    return set_up


def _hooks(folder: Path, program: str) -> None:
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-index-change", "pre-push"):
        hook = folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
        hook.chmod(0o755)


def _hooks_elsewhere(folder: Path, program: str) -> None:
    _hooks(folder, program)
    git(folder, "config", "core.hooksPath", str(folder / ".git" / "hooks"))


def _link_out(folder: Path, program: str) -> None:
    (folder / "secrets").symlink_to(Path(program).parent)


def _submodule(folder: Path, program: str) -> None:
    inner = folder / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    writes(inner, "a.txt", "a")
    git(inner, "add", "a.txt")
    git(inner, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "a")
    git(inner, "config", "core.fsmonitor", program)
    writes(folder, ".gitmodules", '[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n\tignore = none\n')


TRAPS: dict[str, Trap] = {
    "fsmonitor": _config("core.fsmonitor=PROGRAM"),
    "clean filter": _filter("clean"),
    "process filter": _filter("process"),
    "hooks": _hooks,
    "hooks elsewhere": _hooks_elsewhere,
    "insteadOf": _config("url.http://127.0.0.1:9/.insteadOf=http"),
    "credential helper": _config("credential.helper=!PROGRAM", "core.askPass=PROGRAM"),
    "ssh and proxies": _config("core.sshCommand=PROGRAM", "core.gitProxy=PROGRAM", "http.proxy=http://127.0.0.1:9"),
    "diff and pager": _config("diff.external=PROGRAM", "core.pager=PROGRAM", "core.editor=PROGRAM"),
    "signing": _config("gpg.program=PROGRAM", "commit.gpgSign=true"),
    "upload-pack": _config("uploadpack.packObjectsHook=PROGRAM", "remote.origin.uploadpack=PROGRAM"),
    "link out": _link_out,
    "submodule": _submodule,
}
ALWAYS = ("process filter", "hooks", "link out")


@pytest.mark.parametrize("name", [name if name in ALWAYS else deep(name) for name in TRAPS])
async def test_nothing_that_a_workspace_names_runs_outside_the_sandbox(
    make_stage: MakeStage, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    program = outside / "trap.sh"
    # It leaves a mark where only a command outside of the sandbox can, and tells what it sees.
    program.write_text(f"#!/bin/sh\ntouch {outside}/ran\nenv > {outside}/env\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    async with make_stage(forge=True, repository={"verify": ["true"]}) as stage:
        stage.agent.plays("not committed yet")
        session = await at_work(stage)
        folder = stage.workspace(session)
        branch = git(folder, "branch", "--show-current")
        writes(folder)
        TRAPS[name](folder, str(program))
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert body.startswith("Done: add() is there.")
        assert sorted(entry.name for entry in outside.iterdir()) == ["trap.sh"]
        shop = stage.forge.repositories["acme/shop"]
        if "**Pull request:**" in body:
            assert "add.py" in shop.git("ls-tree", "--name-only", branch)
            assert "secrets/" not in shop.git("ls-tree", "-r", "--name-only", branch)
        else:
            assert "⚠️" in body or "Not committed" in body


@pytest.mark.parametrize("name", ["fsmonitor", "clean filter", "hooks"])
def test_the_traps_are_live_where_nothing_holds_git(tmp_path: Path, name: str) -> None:
    folder, program = tmp_path / "work", tmp_path / "trap.sh"
    folder.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    git(folder, "init", "--quiet")
    writes(folder)
    TRAPS[name](folder, str(program))
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "x")
    assert (tmp_path / "ran").exists()


async def test_the_token_is_in_no_command_line_and_no_file_that_an_agent_could_read(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, repository={"verify": ["env; true"]}) as stage:
        fetching, pushing = stage.forge.hold("refs"), stage.forge.hold("push")
        working = asyncio.create_task(at_work(stage))
        await stage.until(fetching.reached.is_set, "the fetch")
        lines = await asyncio.to_thread(_command_lines)
        assert any("ls-remote" in line and stage.forge.url in line for line in lines)
        assert not [line for line in lines if GITHUB_TOKEN in line]
        fetching.release()
        session = await working
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.until(pushing.reached.is_set, "the push")
        lines = await asyncio.to_thread(_command_lines)
        assert any("push" in line and stage.forge.url in line for line in lines)
        assert not [line for line in lines if GITHUB_TOKEN in line]
        pushing.release()
        assert "**Pull request:**" in (await stage.final(session))[1]
        await stage.quiet()
        assert files_with(stage.folder / "data", GITHUB_TOKEN) == []
        assert any(seen.startswith("Basic ") for seen in stage.forge.seen)
        assert f"Bearer {GITHUB_TOKEN}" in stage.forge.seen


def _command_lines() -> list[str]:
    """The words of every process of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return found
