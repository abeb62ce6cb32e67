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
from tests.stories.world import CANARY, GITHUB_TOKEN, Stage

pytestmark = pytest.mark.needs_bubblewrap

Trap = Callable[[Path, str], None]

ATTRIBUTES = "* filter=x diff=x merge=x\n"
HOOKS = """
    applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg post-commit
    pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update
    reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman post-index-change
"""


def _config(*rows: str) -> Trap:
    def set_up(folder: Path, program: str) -> None:
        for row in rows:
            key, _, value = row.partition("=")
            git(folder, "config", key, value.replace("PROGRAM", program))

    return set_up


def _filter(kind: str) -> Trap:
    def set_up(folder: Path, program: str) -> None:
        git(folder, "config", f"filter.x.{kind}", program)
        writes(folder, ".gitattributes", ATTRIBUTES)

    return set_up


def _drivers(folder: Path, program: str) -> None:
    for row in ("diff.x.textconv", "diff.x.command", "merge.x.driver"):
        git(folder, "config", row, program)
    writes(folder, ".gitattributes", ATTRIBUTES)


def _hooks(folder: Path, program: str) -> None:
    for name in HOOKS.split():
        hook = folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
        hook.chmod(0o755)


def _hooks_elsewhere(folder: Path, program: str) -> None:
    _hooks(folder, program)
    (folder / ".git" / "hooks").rename(folder / ".git" / "others")
    git(folder, "config", "core.hooksPath", str(folder / ".git" / "others"))


def _included(folder: Path, program: str) -> None:
    (folder / ".git" / "evil").write_text(f"[core]\n\tfsmonitor = {program}\n", encoding="utf-8")
    git(folder, "config", "include.path", "evil")
    git(folder, "config", "includeIf.gitdir:/.path", "evil")


def _of_this_worktree(folder: Path, program: str) -> None:
    (folder / ".git" / "config.worktree").write_text(f"[core]\n\tfsmonitor = {program}\n", encoding="utf-8")
    git(folder, "config", "extensions.worktreeConfig", "true")


def _link_out(folder: Path, program: str) -> None:
    (folder / "secrets").symlink_to(Path(program).parent.parent.parent)
    (folder / "passwords").symlink_to("/etc/passwd")


def _submodule(folder: Path, program: str) -> None:
    inner = folder / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    writes(inner, "a.txt", "a")
    git(inner, "add", "a.txt")
    git(inner, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "a")
    git(inner, "config", "core.fsmonitor", program)
    git(folder, "config", "submodule.inner.update", f"!{program}")
    git(folder, "config", "submodule.recurse", "true")
    writes(folder, ".gitmodules", '[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n\tignore = none\n')


def _moved(folder: Path, program: str) -> Path:
    """`.git` is elsewhere in the workspace, and runs the program."""
    git(folder, "config", "core.fsmonitor", program)
    return (folder / ".git").rename(folder / "elsewhere")


def _git_is_a_file(folder: Path, program: str) -> None:
    moved = _moved(folder, program)
    (folder / ".git").write_text(f"gitdir: {moved}\n", encoding="utf-8")


def _git_is_a_link(folder: Path, program: str) -> None:
    (folder / ".git").symlink_to(_moved(folder, program))


def _common_folder(folder: Path, program: str) -> None:
    other = folder / "other"
    git(folder, "clone", "--quiet", "--bare", ".", str(other))
    git(other, "config", "core.fsmonitor", program)
    (folder / ".git" / "commondir").write_text(f"{other}\n", encoding="utf-8")


def _alternates(folder: Path, program: str) -> None:
    git(folder, "config", "core.fsmonitor", program)
    info = folder / ".git" / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text("/proc/self/cwd/../objects\n", encoding="utf-8")


TRAPS: dict[str, Trap] = {
    "fsmonitor": _config("core.fsmonitor=PROGRAM"),
    "clean filter": _filter("clean"),
    "smudge filter": _filter("smudge"),
    "process filter": _filter("process"),
    "diff and merge drivers": _drivers,
    "hooks": _hooks,
    "hooks elsewhere": _hooks_elsewhere,
    "insteadOf": _config("url.http://127.0.0.1:9/.insteadOf=http", "url.http://127.0.0.1:9/.pushInsteadOf=http"),
    "credential helper": _config("credential.helper=!PROGRAM", "core.askPass=PROGRAM"),
    "ssh and proxies": _config("core.sshCommand=PROGRAM", "core.gitProxy=PROGRAM", "http.proxy=http://127.0.0.1:9"),
    "diff and pager": _config("diff.external=PROGRAM", "core.pager=PROGRAM", "core.editor=PROGRAM"),
    "aliases": _config("alias.status=!PROGRAM", "alias.add=!PROGRAM", "alias.commit=!PROGRAM"),
    "signing": _config("gpg.program=PROGRAM", "commit.gpgSign=true"),
    "upload-pack": _config("uploadpack.packObjectsHook=PROGRAM", "remote.origin.uploadpack=PROGRAM"),
    "include": _included,
    "worktree config": _of_this_worktree,
    "work tree elsewhere": _config("core.worktree=/"),
    "link out": _link_out,
    "submodule": _submodule,
}
REPLACED: dict[str, Trap] = {
    ".git is a file": _git_is_a_file,
    ".git is a link": _git_is_a_link,
    "common folder": _common_folder,
    "alternates": _alternates,
}
RUNS = {"clean filter", "process filter"}  # those of git's own that no setting of ours switches off; in the sandbox


def trapped(folder: Path, outside: Path) -> str:
    """A program in the workspace that shows where it was run: only outside of the sandbox it can write to `outside`."""
    program = folder / ".git" / "trap.sh"
    program.write_text(
        f"#!/bin/sh\nenv >> {folder}/.git/ran\n(touch {outside}/ran; env > {outside}/env) 2>/dev/null\ncat\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return str(program)


async def handed_in(stage: Stage, outside: Path, *traps: Trap) -> tuple[str, Path, str]:
    """The answer to a turn whose agent set traps and left work uncommitted; its workspace and branch."""
    outside.mkdir()
    stage.agent.plays("not committed yet")
    session = await at_work(stage)
    folder = stage.workspace(session)
    branch = git(folder, "branch", "--show-current")
    writes(folder)
    program = trapped(folder, outside)
    for trap in traps:
        trap(folder, program)
    stage.agent.release("work")
    _, body = await stage.final(session)
    await stage.quiet()
    assert body.startswith("Done: add() is there.")
    assert list(outside.iterdir()) == []
    ran = next((place for place in (folder / ".git" / "ran", folder / "elsewhere" / "ran") if place.exists()), None)
    assert ran is None or CANARY not in ran.read_text(encoding="utf-8")
    return body, folder, branch


async def test_a_workspace_full_of_traps_is_handed_in_and_none_of_them_runs_outside_the_sandbox(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    traps = [
        trap
        for name, trap in TRAPS.items()
        if name not in {"process filter", "signing", "submodule", "work tree elsewhere"}
    ]
    async with make_stage(forge=True, repository={"verify": ["true"], "checkpoint_push": True}) as stage:
        body, folder, branch = await handed_in(stage, tmp_path / "outside", *traps)
        assert (folder / ".git" / "ran").exists()  # in the sandbox they did run
        assert "**Pull request:**" in body
        shop = stage.forge.repositories["acme/shop"]
        assert "add.py" in shop.git("ls-tree", "--name-only", branch)
        kinds = {row.split("\t")[1]: row.split()[0] for row in shop.git("ls-tree", "-r", branch).splitlines()}
        assert {kinds["secrets"], kinds["passwords"]} == {"120000"}  # links are links, whatever they point to


@pytest.mark.deep
@pytest.mark.parametrize("name", TRAPS)
async def test_nothing_that_a_workspace_names_runs_outside_the_sandbox(
    make_stage: MakeStage, tmp_path: Path, name: str
) -> None:
    async with make_stage(forge=True, repository={"verify": ["true"]}) as stage:
        body, folder, branch = await handed_in(stage, tmp_path / "outside", TRAPS[name])
        assert (folder / ".git" / "ran").exists() == (name in RUNS)
        shop = stage.forge.repositories["acme/shop"]
        if "**Pull request:**" in body:
            assert "add.py" in shop.git("ls-tree", "--name-only", branch)
            assert "secrets/" not in shop.git("ls-tree", "-r", "--name-only", branch)
        else:
            assert "⚠️" in body or "Not committed" in body


@pytest.mark.parametrize("name", [".git is a file", *map(deep, list(REPLACED)[1:])])
async def test_a_workspace_whose_git_leads_elsewhere_is_not_handed_in_and_people_are_told(
    make_stage: MakeStage, tmp_path: Path, name: str
) -> None:
    async with make_stage(forge=True) as stage:
        body, folder, branch = await handed_in(stage, tmp_path / "outside", REPLACED[name])
        assert "⚠️" in body
        assert (folder / "add.py").is_file()
        assert branch not in stage.forge.repositories["acme/shop"].branches()


@pytest.mark.parametrize("name", ["fsmonitor", "clean filter", "hooks", "include", "worktree config"])
def test_the_traps_are_live_where_nothing_holds_git(tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "work", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    git(folder, "init", "--quiet")
    writes(folder)
    TRAPS[name](folder, trapped(folder, outside))
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "x")
    assert (outside / "ran").exists()


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
