"""A workspace that is removed can be had back byte for byte, whatever state the agent left it in."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import GitError, Refusal
from dragoman.repositories.naming import checkpoint_ref, rescue_ref
from dragoman.repositories.rescue import checkpoint, remove_workspace, restore_workspace
from dragoman.repositories.workspaces import Places, Workspace
from tests.repositories.upstream import ONE, TWO, Desk, agent_commits, run_git

KEY = "ENG-12"
Change = Callable[[Workspace, Path], None]


async def start(desk: Desk) -> tuple[Workspace, Path]:
    desk.upstream.commit(".gitignore", "built/\n*.log\n")
    desk.upstream.commit(".gitattributes", "*.txt text eol=crlf\n*.bin filter=evil\n")
    desk.upstream.commit("notes.txt", "one\ntwo\n")
    await desk.trusted.refresh(30)
    workspace = await desk.workspace(branch="ada/fix")
    return workspace, Path(workspace.directory)


def content(directory: Path) -> dict[str, tuple[str, bytes]]:
    """Every file outside `.git`: kind and bytes."""
    found = {}
    for file in sorted(directory.rglob("*")):
        path = file.relative_to(directory)
        if path.parts[0] == ".git" or (file.is_dir() and not file.is_symlink()):
            continue
        if file.is_symlink():
            found[str(path)] = ("link", os.fsencode(file.readlink()))
        else:
            found[str(path)] = (
                "x" if os.access(file, os.X_OK) and file.stat().st_mode & 0o100 else "-",
                file.read_bytes(),
            )
    return found


def dirty(_: Workspace, directory: Path) -> None:
    (directory / "README.md").write_bytes(b"changed\r\nby the agent\x00\xff")
    (directory / "notes.txt").write_bytes(b"one\r\nmixed\n")
    (directory / ".gitattributes").unlink()


def untracked(_: Workspace, directory: Path) -> None:
    (directory / "new" / "deep").mkdir(parents=True)
    (directory / "new" / "deep" / 'a file with spaces\n"and" more é.py').write_text("x = 1\n")
    (directory / "new" / "run.sh").write_text("#!/bin/sh\n")
    (directory / "new" / "run.sh").chmod(0o755)
    (directory / "new" / "link").symlink_to("../README.md")
    (directory / "new" / "dangling").symlink_to("/nowhere/at/all")
    (directory / "data.bin").write_bytes(bytes(range(256)) * 8)
    (directory / "windows.txt").write_bytes(b"a\r\nb\n")


def unpushed(workspace: Workspace, _: Path) -> None:
    agent_commits(workspace, text="one\n")
    agent_commits(workspace, text="two\n")


def locked(workspace: Workspace, directory: Path) -> None:
    agent_commits(workspace)
    (directory / "fix.py").write_text("more\n")
    (directory / ".git" / "index.lock").touch()
    (directory / ".git" / "HEAD.lock").touch()


def mid_rebase(workspace: Workspace, directory: Path) -> None:
    run_git(directory, "checkout", "--quiet", "-b", "other")
    agent_commits(workspace, text="other\n")
    run_git(directory, "checkout", "--quiet", "ada/fix")
    agent_commits(workspace, text="mine\n")
    run_git(directory, "rebase", "other", fails=True)


def detached(workspace: Workspace, directory: Path) -> None:
    run_git(directory, "checkout", "--quiet", "--detach")
    agent_commits(workspace, text="nowhere else\n")
    (directory / "README.md").write_text("and dirty\n")


def staged(_: Workspace, directory: Path) -> None:
    (directory / "staged.py").write_text("staged\n")
    run_git(directory, "add", "staged.py")
    run_git(directory, "rm", "--quiet", "--cached", "README.md")


def mid_merge(workspace: Workspace, directory: Path) -> None:
    run_git(directory, "checkout", "--quiet", "-b", "other")
    agent_commits(workspace, text="other\n")
    run_git(directory, "checkout", "--quiet", "ada/fix")
    agent_commits(workspace, text="mine\n")
    run_git(directory, "merge", "other", fails=True)


def nothing_committed(_: Workspace, directory: Path) -> None:
    run_git(directory, "checkout", "--quiet", "--orphan", "anew")
    run_git(directory, "rm", "--quiet", "-r", "--cached", ".")
    (directory / "only.py").write_text("nowhere else\n")


def without_rights(_: Workspace, directory: Path) -> None:
    (directory / "closed").mkdir()
    (directory / "closed" / "kept.py").write_text("kept\n")
    (directory / "closed").chmod(0o500)


@pytest.mark.parametrize(
    "change",
    [dirty, untracked, unpushed, locked, mid_rebase, mid_merge, detached, staged, without_rights],
    ids=lambda c: c.__name__,
)
async def test_what_was_removed_comes_back_byte_for_byte(desk: Desk, change: Change) -> None:
    workspace, directory = await start(desk)
    change(workspace, directory)
    before = content(directory)
    head = run_git(directory, "rev-parse", "HEAD")
    tip = run_git(directory, "rev-parse", "refs/heads/ada/fix")

    removed = await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert removed is not None
    assert removed.ref == rescue_ref(ONE, KEY)
    assert not directory.exists()

    restored = await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert Path(restored.directory) == directory
    assert content(directory) == before
    assert run_git(directory, "rev-parse", "HEAD") == head
    assert run_git(directory, "rev-parse", "refs/heads/ada/fix") == tip
    assert run_git(directory, "fsck", "--connectivity-only", "--no-dangling") == ""
    assert run_git(desk.trusted.path, "fsck", "--full", "--connectivity-only") == ""


async def test_what_was_staged_is_staged_again(desk: Desk) -> None:
    _, directory = await start(desk)
    (directory / "only.py").write_text("in the index alone\n")
    (directory / "README.md").write_text("staged\n")
    run_git(directory, "add", "only.py", "README.md")
    (directory / "only.py").unlink()
    (directory / "README.md").write_text("changed again\n")
    status = run_git(directory, "status", "--porcelain")
    first = await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY) == first
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert run_git(directory, "status", "--porcelain") == status
    assert run_git(directory, "show", ":only.py") == "in the index alone"
    assert run_git(directory, "show", ":README.md") == "staged"
    assert (directory / "README.md").read_text() == "changed again\n"
    assert run_git(directory, "for-each-ref", "refs/heads/rescued") == ""


@pytest.mark.parametrize("index", [b"", b"DIRC" + bytes(40), b"nonsense", None])
async def test_an_index_that_git_does_not_understand_is_passed_over(desk: Desk, index: bytes | None) -> None:
    _, directory = await start(desk)
    (directory / "work.py").write_text("work\n")
    (directory / ".git" / "index").unlink()
    if index is None:
        os.mkfifo(directory / ".git" / "index")
    else:
        (directory / ".git" / "index").write_bytes(index)
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert (directory / "work.py").read_text() == "work\n"
    assert run_git(directory, "status", "--porcelain") == "?? work.py"


async def test_a_branch_without_a_commit_comes_back_as_files(desk: Desk) -> None:
    workspace, directory = await start(desk)
    nothing_committed(workspace, directory)
    before = content(directory)
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert content(directory) == before
    assert run_git(directory, "status", "--porcelain") == "?? only.py"  # on its own branch again


async def test_submodules_are_not_taken_for_removed_afterwards(desk: Desk, tmp_path: Path) -> None:
    run_git(desk.upstream.directory, "update-index", "--add", "--cacheinfo", f"160000,{desk.first},parts/sub")
    run_git(desk.upstream.directory, "update-index", "--add", "--cacheinfo", f"160000,{desk.first},out/sub")
    run_git(desk.upstream.directory, "commit", "--quiet", "-m", "Add submodules")
    _, directory = await start(desk)
    assert run_git(directory, "status", "--porcelain") == ""
    (directory / "out" / "sub").rmdir()
    (directory / "out").rmdir()
    (directory / "out").symlink_to(tmp_path)
    changed = run_git(directory, "status", "--porcelain")
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert (directory / "parts" / "sub").is_dir()
    assert run_git(directory, "status", "--porcelain") == changed
    assert not (tmp_path / "sub").exists()


async def test_what_was_not_committed_is_not_committed_afterwards(desk: Desk) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    (directory / "fix.py").write_text("changed\n")
    (directory / "new.py").write_text("new\n")
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert run_git(directory, "status", "--porcelain").splitlines() == ["M fix.py", "?? new.py"]


async def test_other_branches_and_the_stash_are_kept(desk: Desk) -> None:
    workspace, directory = await start(desk)
    run_git(directory, "checkout", "--quiet", "-b", "idea/two")
    idea = agent_commits(workspace, text="an idea\n")
    run_git(directory, "checkout", "--quiet", "ada/fix")
    (directory / "README.md").write_text("put away\n")
    run_git(directory, "stash")
    stash = run_git(directory, "rev-parse", "refs/stash")
    run_git(directory, "pack-refs", "--all")
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    kept = run_git(directory, "for-each-ref", "--format=%(objectname)", "refs/heads/rescued").splitlines()
    assert sorted(kept) == sorted([idea, stash])


async def test_what_the_repository_ignores_is_left_out_unless_it_is_tracked(desk: Desk) -> None:
    workspace, directory = await start(desk)
    (directory / "built").mkdir()
    (directory / "built" / "big").write_text("made again in a minute\n")
    (directory / "kept.log").write_text("tracked all the same\n")
    run_git(directory, "add", "--force", "kept.log")
    run_git(directory, "commit", "--quiet", "-m", "Keep a log")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    listed = run_git(desk.trusted.path, "ls-tree", "-r", "--name-only", checkpoint_ref(ONE)).splitlines()
    assert "kept.log" in listed
    assert "built/big" not in listed
    assert workspace.branch == "ada/fix"


async def test_files_of_a_repository_within_are_saved(desk: Desk) -> None:
    _, directory = await start(desk)
    run_git(directory, "init", "--quiet", "inner")
    (directory / "inner" / "file.py").write_text("inner\n")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert run_git(desk.trusted.path, "show", f"{checkpoint_ref(ONE)}:inner/file.py") == "inner"


async def test_a_workspace_that_did_not_change_is_the_same_checkpoint(desk: Desk) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    (directory / "new.py").write_text("new\n")
    first = await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert first is not None
    assert await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY) == first
    (directory / "new.py").write_text("newer\n")
    second = await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert second != first
    assert run_git(desk.trusted.path, "show", f"{checkpoint_ref(ONE)}:new.py") == "newer"


async def test_a_checkpoint_whose_ref_was_lost_is_made_anew(desk: Desk) -> None:
    _, directory = await start(desk)
    (directory / "new.py").write_text("new\n")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    run_git(desk.trusted.path, "update-ref", "-d", checkpoint_ref(ONE))
    run_git(desk.trusted.path, "gc", "--quiet", "--prune=now")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert run_git(desk.trusted.path, "show", f"{checkpoint_ref(ONE)}:new.py") == "new"


async def test_a_workspace_that_vanished_is_restored_from_its_checkpoint(desk: Desk) -> None:
    workspace, directory = await start(desk)
    agent_commits(workspace)
    (directory / "new.py").write_text("new\n")
    before = content(directory)
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    shutil.rmtree(directory)
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert content(directory) == before


async def test_work_after_a_restore_is_what_the_next_restore_brings(desk: Desk) -> None:
    _, directory = await start(desk)
    place: dict[str, Any] = {"root": desk.root, "session": ONE, "issue_key": KEY}
    (directory / "work.py").write_text("first\n")
    await checkpoint(desk.trusted, **place)
    await remove_workspace(desk.trusted, **place)
    assert await desk.trusted.resolve(checkpoint_ref(ONE)) is None  # the rescue has all of it
    await restore_workspace(desk.trusted, **place)
    (directory / "work.py").write_text("second\n")
    await checkpoint(desk.trusted, **place)
    shutil.rmtree(directory)
    await restore_workspace(desk.trusted, **place)
    assert (directory / "work.py").read_text() == "second\n"


async def test_what_cannot_be_saved_is_not_removed(desk: Desk) -> None:
    _, directory = await start(desk)
    (directory / "work.py").write_text("work\n")
    shutil.rmtree(directory / ".git" / "objects")
    (directory / ".git" / "objects").symlink_to(desk.trusted.path / "objects")
    with pytest.raises(GitError, match="was replaced"):
        await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert (directory / "work.py").read_text() == "work\n"
    assert await desk.trusted.resolve(rescue_ref(ONE, KEY)) is None


async def test_a_terabyte_of_nothing_is_refused_before_it_is_read(desk: Desk) -> None:
    _, directory = await start(desk)
    (directory / "huge").touch()
    os.truncate(directory / "huge", 1 << 40)
    with pytest.raises(GitError, match="more than 8 GiB"):
        await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY, deadline_s=20)


async def test_links_out_of_the_workspace_are_kept_as_links(desk: Desk, tmp_path: Path) -> None:
    _, directory = await start(desk)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "token").write_text("canary")
    (directory / "out").symlink_to(secret)
    (directory / "token").symlink_to(secret / "token")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    listed = run_git(desk.trusted.path, "ls-tree", "-r", checkpoint_ref(ONE)).splitlines()
    assert {line.split("\t")[1]: line.split()[0] for line in listed if "out" in line or "token" in line} == {
        "out": "120000",
        "token": "120000",
    }
    canary = run_git(desk.trusted.path, "hash-object", str(secret / "token"))
    assert "canary" not in run_git(desk.trusted.path, "cat-file", "-e", canary, fails=True)


async def test_nothing_the_workspace_names_is_run(desk: Desk, tmp_path: Path) -> None:
    _, directory = await start(desk)
    ran = tmp_path / "ran"
    run = f"touch {ran}; false"
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "core.hooksPath", "alias.ls-files"):
        run_git(directory, "config", name, run)
    (directory / "data.bin").write_bytes(b"through the filter")
    run_git(directory, "init", "--quiet", "inner")
    run_git(directory / "inner", "config", "core.fsmonitor", run)
    (directory / "inner" / "file").write_text("inner\n")
    removed = await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert removed is not None
    assert run_git(desk.trusted.path, "show", f"{removed.ref}:data.bin") == "through the filter"
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert not ran.exists()


async def test_a_removal_that_was_cut_off_is_finished_by_the_next(desk: Desk) -> None:
    _, directory = await start(desk)
    places = Places(desk.trusted, desk.root, ONE, KEY)
    (directory / "work.py").write_text("work\n")
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    directory.rename(places.gone)  # as far as it had come
    (places.gone / "closed").mkdir(mode=0o500)
    assert await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY) is None
    assert not places.gone.exists()
    await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    assert (directory / "work.py").read_text() == "work\n"


async def test_what_was_never_saved_or_stands_cannot_be_restored(desk: Desk) -> None:
    _, directory = await start(desk)
    with pytest.raises(Refusal, match="is there"):
        await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=KEY)
    with pytest.raises(Refusal, match="Nothing was saved"):
        await restore_workspace(desk.trusted, root=desk.root, session=TWO, issue_key=KEY)
    assert directory.is_dir()
