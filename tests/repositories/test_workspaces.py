"""A workspace is whole or not there, belongs to one session, and shares nothing with our copy."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import GitError, Refusal
from dragoman.repositories import workspaces as workspaces_module
from dragoman.repositories.git import git
from dragoman.repositories.naming import session_ref, workspace_path
from dragoman.repositories.workspaces import save_branch
from tests.repositories.upstream import ONE, TWO, Desk, agent_commits, files_in, run_git


class Killed(BaseException):
    """The process ended here."""


async def test_a_workspace_has_the_files_and_a_branch_of_its_own(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    workspace = await desk.workspace(branch="ada/eng-12-fix")
    directory = Path(workspace.directory)
    assert directory == workspace_path(desk.root, "acme/shop", ONE, "ENG-12")
    assert directory.name.startswith("eng-12-")
    assert (directory / "README.md").read_text() == "hello\n"
    assert run_git(directory, "branch", "--show-current") == "ada/eng-12-fix"
    assert run_git(directory, "status", "--porcelain") == ""
    assert run_git(directory, "rev-parse", "HEAD", "origin/main").split() == [desk.first, desk.first]
    assert workspace.base_commit == desk.first
    assert workspace.notes == ()


async def test_the_agents_commits_carry_its_name(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    workspace = await desk.workspace()
    agent_commits(workspace)
    assert run_git(Path(workspace.directory), "log", "-1", "--format=%an") == "OpenCode via Dragoman"


async def test_the_agents_push_fails_and_says_who_pushes(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    workspace = await desk.workspace()
    agent_commits(workspace)
    said = run_git(Path(workspace.directory), "push", "origin", "HEAD", fails=True)
    assert "pushing-is-done-by-dragoman-after-the-turn" in said


async def test_nothing_in_a_workspace_names_or_shares_our_copy(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    workspace = await desk.workspace()
    secrets = [str(desk.trusted.root).encode(), str(desk.upstream.directory).encode()]
    files = files_in(Path(workspace.directory))
    assert [file for file in files if any(secret in file.read_bytes() for secret in secrets)] == []
    assert [file for file in files if file.stat().st_nlink > 1] == []
    assert [file for file in files if file.name == "alternates"] == []
    shutil.rmtree(desk.trusted.root)
    assert run_git(Path(workspace.directory), "fsck", "--full") == ""


async def test_a_remote_with_many_branches_makes_no_more_files(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    few = len(files_in(Path((await desk.workspace()).directory)))
    for number in range(30):
        run_git(desk.upstream.directory, "branch", f"other/{number}")
    await desk.trusted.refresh(30)
    directory = Path((await desk.workspace(session=TWO)).directory)
    assert run_git(directory, "rev-parse", "origin/other/29") == desk.first
    assert len(files_in(directory)) == few


async def test_a_second_call_finds_the_workspace_and_changes_nothing(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    first = await desk.workspace()
    tip = agent_commits(first)
    (Path(first.directory) / "README.md").write_text("half done\n")
    assert await desk.workspace(branch="another-name") == first
    assert run_git(Path(first.directory), "rev-parse", "HEAD") == tip
    assert (Path(first.directory) / "README.md").read_text() == "half done\n"


async def test_the_workspace_is_found_when_the_issue_has_moved_to_another_team(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    first = await desk.workspace(issue_key="ENG-12")
    assert await desk.workspace(issue_key="OPS-3") == first


async def test_a_workspace_that_was_removed_is_made_again(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    first = await desk.workspace()
    shutil.rmtree(first.directory)
    assert await desk.workspace() == first
    assert (Path(first.directory) / "README.md").exists()


async def test_two_sessions_of_one_issue_work_side_by_side(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    one, two = await asyncio.gather(desk.workspace(ONE), desk.workspace(TWO))
    assert one.directory != two.directory
    tips = [agent_commits(one, text="one\n"), agent_commits(two, text="two\n")]
    saved = await asyncio.gather(
        save_branch(desk.trusted, one, session_ref(ONE)),
        save_branch(desk.trusted, two, session_ref(TWO)),
        desk.trusted.refresh(30),
    )
    assert list(saved[:2]) == tips


async def test_the_same_workspace_asked_for_at_once_is_made_once(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    made = await asyncio.gather(*[desk.workspace() for _ in range(5)])
    assert all(workspace == made[0] for workspace in made)


async def test_a_later_session_starts_from_the_branch_of_an_earlier_one(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    one = await desk.workspace(ONE)
    tip = agent_commits(one)
    await save_branch(desk.trusted, one, session_ref(ONE))
    two = await desk.workspace(TWO, start_from=session_ref(ONE))
    assert two.base_commit == tip
    assert (Path(two.directory) / "fix.py").exists()


async def test_any_commit_of_our_copy_can_be_started_from(desk: Desk) -> None:
    desk.upstream.commit(text="second\n")
    await desk.trusted.refresh(30)
    workspace = await desk.workspace(start_from=desk.first)
    assert (Path(workspace.directory) / "README.md").read_text() == "hello\n"


async def test_another_base_can_be_named(desk: Desk) -> None:
    run_git(desk.upstream.directory, "checkout", "--quiet", "-b", "dev")
    dev = desk.upstream.commit("dev.txt")
    await desk.trusted.refresh(30)
    assert (await desk.workspace(base="dev")).base_commit == dev


async def test_what_is_not_there_to_start_from_is_refused(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    with pytest.raises(Refusal, match="no branch 'gone'"):
        await desk.workspace(base="gone")
    with pytest.raises(Refusal, match="no refs/dragoman/session/x to start from"):
        await desk.workspace(start_from="refs/dragoman/session/x")
    with pytest.raises(Refusal, match="no name for a branch"):
        await desk.workspace(branch="--force")
    assert not desk.root.exists()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_crash_at_any_git_command_is_made_good_by_the_next_call(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    await desk.trusted.refresh(30)
    crashes = 0
    for crash_at in range(20):
        calls = 0

        async def dies(*args: str, at: int = crash_at, **options: Any) -> bytes:
            nonlocal calls
            calls += 1
            if before and calls > at:
                raise Killed
            output = await git(*args, **options)
            if calls > at:
                raise Killed
            return output

        with monkeypatch.context() as patched:
            patched.setattr(workspaces_module, "git", dies)
            try:
                await desk.workspace()
            except Killed:
                crashes += 1
                assert not desk.root.exists()
                continue
        break
    assert crashes == 6  # init, fetch, packing of refs, checkout, and two looks for submodules and large files
    await _whole(desk)


@pytest.mark.parametrize("step", ["write_record", "move_into_place"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_crash_around_the_last_steps_is_made_good_by_the_next_call(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    await desk.trusted.refresh(30)
    real = getattr(workspaces_module, step)

    def dies(*args: Any) -> None:
        if not before:
            real(*args)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(workspaces_module, step, dies)
        with pytest.raises(Killed):
            await desk.workspace()
    await desk.workspace()
    await _whole(desk)


async def _whole(desk: Desk) -> None:
    workspace = await desk.workspace()
    assert run_git(Path(workspace.directory), "status", "--porcelain") == ""
    assert run_git(Path(workspace.directory), "fsck", "--full") == ""
    assert run_git(Path(workspace.directory), "rev-parse", "HEAD") == workspace.base_commit == desk.first
    assert list(desk.trusted.root.rglob("*.new")) == []


async def test_a_broken_record_and_a_half_made_one_aside_do_no_harm(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    first = await desk.workspace()
    [record] = desk.trusted.root.rglob("*.json")
    shutil.rmtree(first.directory)
    record.write_text('{"type":')
    (record.with_suffix(".new") / ".git").mkdir(parents=True)
    assert await desk.workspace() == first
    await _whole(desk)


async def test_somebody_elses_directory_is_never_touched(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    place = workspace_path(desk.root, "acme/shop", ONE, "ENG-12")
    place.mkdir(parents=True)
    (place / "work.txt").write_text("mine")
    with pytest.raises(Refusal, match="not made for this session"):
        await desk.workspace()
    assert [file.name for file in place.iterdir()] == ["work.txt"]
    (place / "work.txt").unlink()
    assert (await desk.workspace()).directory == str(place)


async def test_a_record_of_another_session_is_not_believed(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    await desk.workspace()
    [record] = desk.trusted.root.rglob("*.json")
    record.write_text(record.read_text().replace(ONE, TWO))
    with pytest.raises(Refusal, match="not made for this session"):
        await desk.workspace()


@pytest.mark.parametrize("level", ["workspace", "folder"])
async def test_a_link_in_place_of_a_directory_is_not_followed(desk: Desk, tmp_path: Path, level: str) -> None:
    await desk.trusted.refresh(30)
    outside = tmp_path / "outside"
    outside.mkdir()
    place = workspace_path(desk.root, "acme/shop", ONE, "ENG-12")
    link = place if level == "workspace" else place.parent
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(Refusal, match="through a link"):
        await desk.workspace()
    assert list(outside.iterdir()) == []


async def test_a_file_in_place_of_a_workspace_is_refused(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    place = workspace_path(desk.root, "acme/shop", ONE, "ENG-12")
    place.parent.mkdir(parents=True)
    place.write_text("x")
    with pytest.raises(Refusal, match="not a directory"):
        await desk.workspace()


async def test_another_file_system_is_told_plainly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.trusted.refresh(30)

    def crosses(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", crosses)
    with pytest.raises(GitError, match="must lie on one file system"):
        await desk.workspace()


async def test_a_workspace_whose_git_is_gone_is_found_with_a_note(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    first = await desk.workspace()
    (Path(first.directory) / "work.txt").write_text("mine")
    shutil.rmtree(Path(first.directory) / ".git")
    again = await desk.workspace()
    assert again.notes == (".git was removed or replaced: commits cannot be saved from here.",)
    assert (Path(first.directory) / "work.txt").read_text() == "mine"


async def test_submodules_and_large_files_are_told_and_do_not_break_it(desk: Desk) -> None:
    desk.upstream.commit(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch ran"\n')
    desk.upstream.commit("assets/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    desk.upstream.commit("assets/a.bin", "version https://git-lfs.github.com/spec/v1\n")
    await desk.trusted.refresh(30)
    workspace = await desk.workspace()
    assert ["submodules" in note for note in workspace.notes] == [True, False]
    assert "Git LFS" in workspace.notes[1]
    assert (Path(workspace.directory) / "assets/a.bin").read_text().startswith("version")
