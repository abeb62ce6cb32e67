"""The agent's commits reach our copy, and nothing else of what it left in its workspace has any effect."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.errors import GitError
from dragoman.repositories.naming import session_ref
from dragoman.repositories.workspaces import Workspace, save_branch
from tests.repositories.upstream import ONE, Desk, agent_commits, run_git

REF = session_ref(ONE)


async def start(desk: Desk) -> tuple[Workspace, Path]:
    await desk.trusted.refresh(30)
    workspace = await desk.workspace(branch="ada/fix")
    return workspace, Path(workspace.directory)


async def test_a_commit_is_saved_and_saved_again(desk: Desk) -> None:
    workspace, _ = await start(desk)
    for text in ("one\n", "two\n"):
        tip = agent_commits(workspace, text=text)
        for _ in range(2):
            assert await save_branch(desk.trusted, workspace, REF) == tip
            assert await desk.trusted.resolve(REF) == tip
    assert run_git(desk.trusted.path, "fsck", "--full", "--connectivity-only") == ""
    assert list(desk.trusted.root.rglob("reader*")) == []


async def test_what_was_saved_outlives_the_workspace(desk: Desk) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    await save_branch(desk.trusted, workspace, REF)
    shutil.rmtree(directory)
    assert run_git(desk.trusted.path, "show", f"{REF}:fix.py") == "fixed = True"


async def test_packed_refs_and_packed_objects_are_read(desk: Desk) -> None:
    workspace, directory = await start(desk)
    tip = agent_commits(workspace)
    run_git(directory, "gc", "--quiet", "--prune=now")
    assert not (directory / ".git/refs/heads/ada/fix").exists()
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_an_agent_that_made_its_own_branch_is_followed_there(desk: Desk) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    run_git(directory, "checkout", "--quiet", "-b", "my-idea")
    tip = agent_commits(workspace, text="better\n")
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_an_agent_that_looks_at_an_old_commit_is_not_followed(desk: Desk) -> None:
    workspace, directory = await start(desk)
    tip = agent_commits(workspace)
    run_git(directory, "checkout", "--quiet", "--detach", "HEAD~1")
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_an_agent_in_the_middle_of_a_rebase_is_not_followed(desk: Desk) -> None:
    workspace, directory = await start(desk)
    run_git(directory, "checkout", "--quiet", "-b", "other")
    agent_commits(workspace, text="other\n")
    run_git(directory, "checkout", "--quiet", "ada/fix")
    tip = agent_commits(workspace, text="mine\n")
    run_git(directory, "rebase", "other", fails=True)
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_a_detached_head_without_the_branch_is_saved(desk: Desk) -> None:
    workspace, directory = await start(desk)
    tip = agent_commits(workspace)
    run_git(directory, "checkout", "--quiet", "--detach")
    run_git(directory, "branch", "-D", "ada/fix")
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_a_workspace_where_nothing_is_committed_gives_nothing(desk: Desk) -> None:
    workspace, directory = await start(desk)
    run_git(directory, "checkout", "--quiet", "--orphan", "new")
    run_git(directory, "branch", "-D", "ada/fix")
    assert await save_branch(desk.trusted, workspace, REF) is None
    assert await desk.trusted.resolve(REF) is None


async def test_only_refs_of_ours_are_written(desk: Desk) -> None:
    workspace, _ = await start(desk)
    for ref in ("refs/remotes/origin/main", "HEAD", "refs/dragoman/../heads/x", "refs/dragoman/a:refs/heads/b"):
        with pytest.raises(ValueError, match="not a ref of ours"):
            await save_branch(desk.trusted, workspace, ref)


def settings_that_run(ran: Path) -> list[tuple[str, str]]:
    run = f"touch {ran}; false"
    return [
        ("core.fsmonitor", run),
        ("core.hooksPath", "hooks"),
        ("core.sshCommand", run),
        ("core.gitProxy", run),
        ("core.alternateRefsCommand", run),
        ("core.editor", run),
        ("core.pager", run),
        ("core.askPass", run),
        ("uploadpack.packObjectsHook", run),
        ("credential.helper", f"!{run}"),
        ("diff.external", run),
        ("gpg.program", run),
        ("alias.upload-pack", f"!{run}"),
        ("alias.rev-list", f"!{run}"),
        ("alias.fetch", f"!{run}"),
        ("filter.evil.clean", run),
        ("filter.evil.smudge", run),
        ("filter.evil.process", run),
        ("extensions.partialClone", "evil"),
        ("remote.evil.promisor", "true"),
        ("remote.evil.url", f"ext::sh -c {ran.name}"),
        ("remote.evil.uploadpack", run),
        ("remote.evil.vcs", "ext"),
        ("url.ext::sh.insteadOf", "/"),
        ("protocol.ext.allow", "always"),
        ("trailer.x.command", run),
        ("include.path", "../../evil-config"),
        ("extensions.worktreeConfig", "true"),
        ("diff.evil.textconv", run),
        ("merge.evil.driver", run),
        ("submodule.recurse", "true"),
        ("submodule.evil.update", f"!{run}"),
        ("url.http://127.0.0.1:9/.pushInsteadOf", "/"),
    ]


async def test_nothing_that_a_hostile_configuration_names_is_run(desk: Desk, tmp_path: Path) -> None:
    workspace, directory = await start(desk)
    ran = tmp_path / "ran"
    (directory / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    tip = agent_commits(workspace)
    hooks = directory / "hooks"
    hooks.mkdir()
    (directory / ".git/hooks").mkdir()
    names = (
        "post-checkout pre-commit post-commit post-merge pre-auto-gc pre-push proc-receive post-receive post-update "
        "push-to-checkout reference-transaction fsmonitor-watchman pre-receive update post-index-change"
    )
    for name in names.split():
        for place in (hooks, directory / ".git/hooks"):
            (place / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
            (place / name).chmod(0o755)
    for name, value in settings_that_run(ran):
        run_git(directory, "config", "--file", str(directory / ".git/config"), name, value)

    (directory / ".git/config.worktree").write_text(f"[core]\n\tfsmonitor = touch {ran}; false\n")

    # The trap works: git that opens the workspace runs it.
    run_git(directory, "-c", "remote.evil.promisor=false", "add", "--all", fails=True)
    assert ran.exists()
    ran.unlink()
    (directory / ".git/index.lock").unlink(missing_ok=True)

    assert await save_branch(desk.trusted, workspace, REF) == tip
    assert await desk.workspace(branch="ada/fix") == workspace
    assert (await desk.trusted.refresh(30)).note is None
    assert not ran.exists()


def swap_git_for_link(directory: Path, elsewhere: Path) -> None:
    shutil.move(directory / ".git", elsewhere)
    (directory / ".git").symlink_to(elsewhere)


def swap_git_for_file(directory: Path, elsewhere: Path) -> None:
    shutil.move(directory / ".git", elsewhere)
    (directory / ".git").write_text(f"gitdir: {elsewhere}\n")


def link_objects(directory: Path, elsewhere: Path) -> None:
    shutil.move(directory / ".git/objects", elsewhere)
    (directory / ".git/objects").symlink_to(elsewhere)


def borrow_objects(directory: Path, elsewhere: Path) -> None:
    (directory / ".git/objects/info").mkdir(exist_ok=True)
    (directory / ".git/objects/info/alternates").write_text(f"{elsewhere}\n")


def share_another(directory: Path, elsewhere: Path) -> None:
    (directory / ".git/commondir").write_text(f"{elsewhere}\n")


def link_a_pack(directory: Path, elsewhere: Path) -> None:
    (directory / ".git/objects/pack/pack-x.pack").symlink_to(elsewhere)


def pipe_for_a_pack(directory: Path, _: Path) -> None:
    os.mkfifo(directory / ".git/objects/pack/pack-x.idx")


def remove_the_workspace(directory: Path, _: Path) -> None:
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    "replace",
    [
        swap_git_for_link,
        swap_git_for_file,
        link_objects,
        borrow_objects,
        share_another,
        link_a_pack,
        pipe_for_a_pack,
        remove_the_workspace,
    ],
)
async def test_a_workspace_that_leads_elsewhere_is_refused(
    desk: Desk, tmp_path: Path, replace: Callable[[Path, Path], None]
) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    replace(directory, tmp_path / "elsewhere")
    with pytest.raises(GitError, match="replaced or leads out") as caught:
        await save_branch(desk.trusted, workspace, REF)
    assert not caught.value.retryable
    assert await desk.trusted.resolve(REF) is None


@pytest.mark.parametrize(
    "head",
    [
        "ref: refs/heads/../../../../secret\n",
        "ref: /etc/passwd\n",
        "nonsense",
        "",
        "ref: refs/heads/-x\n",
        "\x00" * 5000,
    ],
)
async def test_a_hostile_head_is_passed_over(desk: Desk, head: str) -> None:
    workspace, directory = await start(desk)
    tip = agent_commits(workspace)
    (directory / ".git/HEAD").write_text(head)
    assert await save_branch(desk.trusted, workspace, REF) == tip


async def test_a_branch_that_is_a_pipe_or_a_link_is_passed_over(desk: Desk, tmp_path: Path) -> None:
    workspace, directory = await start(desk)
    branch = directory / ".git/refs/heads/ada/fix"
    branch.unlink()
    os.mkfifo(branch)
    assert await save_branch(desk.trusted, workspace, REF) is None
    branch.unlink()
    (tmp_path / "secret").write_text(desk.first)
    branch.symlink_to(tmp_path / "secret")
    assert await save_branch(desk.trusted, workspace, REF) is None


async def test_a_commit_that_is_not_there_is_an_error_and_changes_nothing(desk: Desk) -> None:
    workspace, directory = await start(desk)
    tip = agent_commits(workspace)
    await save_branch(desk.trusted, workspace, REF)
    (directory / ".git/refs/heads/ada/fix").write_text("1" * 40 + "\n")
    with pytest.raises(GitError):
        await save_branch(desk.trusted, workspace, REF)
    assert await desk.trusted.resolve(REF) == tip


def raw_tree(directory: Path, blob: str) -> Path:
    """Write a tree object with a file named .git in it, which no git would make."""
    file = directory / "tree"
    file.write_bytes(b"100644 .git\0" + bytes.fromhex(blob))
    return file


async def test_objects_made_to_hurt_another_git_are_not_taken_over(desk: Desk) -> None:
    workspace, directory = await start(desk)
    blob = run_git(directory, "rev-parse", "HEAD:README.md")
    tree = run_git(directory, "hash-object", "--literally", "-t", "tree", "-w", str(raw_tree(directory, blob)))
    commit = run_git(directory, "commit-tree", tree, "-m", "hostile")
    run_git(directory, "update-ref", "refs/heads/ada/fix", commit)
    with pytest.raises(GitError, match=r"hasDotgit|contains '\.git'"):
        await save_branch(desk.trusted, workspace, REF)
