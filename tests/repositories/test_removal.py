"""What was made for a session is gone without a trace, what others made stays whole, and git packs it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import GitError
from dragoman.repositories import removal
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import checkpoint_ref, rescue_ref, session_ref
from dragoman.repositories.removal import collect, drop_saved, erase_workspace, saved_sessions, tidy
from dragoman.repositories.rescue import checkpoint, remove_workspace, restore_workspace
from dragoman.repositories.workspaces import ASIDE, save_branch
from tests.repositories.upstream import ONE, TWO, Desk, agent_commits, run_git

ISSUE = "ENG-12"


async def test_workspace_records_and_commits_of_a_session_go_and_those_of_others_stay(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    mine = await desk.workspace(ONE, branch="ada/fix")
    other = await desk.workspace(TWO, branch="ada/other")
    tips = []
    for workspace, text in ((mine, "mine\n"), (other, "other\n")):
        tips.append(agent_commits(workspace, text=text))
        await save_branch(desk.trusted, workspace, session_ref(workspace.session))
    await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key=ISSUE)
    assert await desk.trusted.resolve(checkpoint_ref(ONE)) is not None
    for was_there in (True, False):
        erased = await erase_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=ISSUE)
        assert erased is was_there
        await collect(desk.trusted)
    assert not Path(mine.directory).exists()
    assert await desk.trusted.resolve(tips[0]) is None
    assert await desk.trusted.resolve(session_ref(TWO)) == tips[1]
    assert Path(other.directory).is_dir()
    named = run_git(desk.trusted.path, "for-each-ref", "--format=%(refname)", "refs/dragoman/")
    assert ONE not in named
    assert run_git(desk.trusted.path, "fsck", "--full", "--connectivity-only") == ""


async def test_nothing_is_collected_while_somebody_saves(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    async with (
        file_lock(desk.trusted.objects_lock, Deadline(10), shared=True),
        file_lock(desk.trusted.objects_lock, Deadline(10), shared=True),
    ):
        collecting = asyncio.create_task(collect(desk.trusted))
        done, _ = await asyncio.wait({collecting}, timeout=0.3)
        assert not done
    await asyncio.wait_for(collecting, 60)


async def saved(desk: Desk) -> dict[str, str]:
    """Two sessions with work of every kind, one of them removed; all refs of ours."""
    await desk.trusted.refresh(30)
    for session in (ONE, TWO):
        workspace = await desk.workspace(session)
        agent_commits(workspace, text=f"{session}\n")
        (Path(workspace.directory) / "open.py").write_text("not committed\n")
        await save_branch(desk.trusted, workspace, session_ref(session))
        await checkpoint(desk.trusted, root=desk.root, session=session, issue_key=ISSUE)
    await remove_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=ISSUE)
    return refs_of(desk)


def refs_of(desk: Desk) -> dict[str, str]:
    rows = run_git(desk.trusted.path, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(row.split(" ") for row in rows)


def loose_objects(desk: Desk) -> int:
    return int(run_git(desk.trusted.path, "count-objects").split(" ")[0])


async def test_tidying_packs_what_is_named_and_drops_the_rest(desk: Desk) -> None:
    before = await saved(desk)
    stray = desk.trusted.path.parent / "stray"
    stray.write_text("named by nobody\n")
    blob = run_git(desk.trusted.path, "hash-object", "-w", str(stray))
    assert await tidy(desk.trusted)
    assert loose_objects(desk) > 0  # too few to be worth it
    assert await tidy(desk.trusted, all_of_it=True)
    assert loose_objects(desk) == 0
    assert refs_of(desk) == before
    run_git(desk.trusted.path, "cat-file", "-e", blob, fails=True)
    assert run_git(desk.trusted.path, "fsck", "--full", "--connectivity-only") == ""
    restored = await restore_workspace(desk.trusted, root=desk.root, session=ONE, issue_key=ISSUE)
    assert (Path(restored.directory) / "open.py").read_text() == "not committed\n"
    assert desk.trusted.default_branch() == "main"


async def test_many_packs_are_reason_enough(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await saved(desk)
    monkeypatch.setattr(removal, "_IF_NEEDED", tuple(one.replace("=50", "=3") for one in removal._IF_NEEDED))
    for number in range(4):
        file = desk.trusted.path.parent / "file"
        file.write_text(f"{number}\n")
        tree = run_git(desk.trusted.path, "hash-object", "-w", str(file))
        run_git(desk.trusted.path, "update-ref", f"refs/dragoman/blob/{number}", tree)
        run_git(desk.trusted.path, "repack", "--quiet", "-d")
    packs = desk.trusted.path / "objects" / "pack"
    assert len(list(packs.glob("*.pack"))) > 3
    assert await tidy(desk.trusted)
    assert len(list(packs.glob("*.pack"))) == 1


async def test_a_copy_in_use_is_left_alone(desk: Desk) -> None:
    await saved(desk)
    for lock, shared in ((desk.trusted.path.with_suffix(".lock"), False), (desk.trusted.objects_lock, True)):
        async with file_lock(lock, Deadline(10), shared=shared):
            assert not await tidy(desk.trusted, all_of_it=True)
    assert loose_objects(desk) > 0


async def test_whoever_wants_the_copy_does_not_wait_for_its_tidying(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await saved(desk)
    begun = asyncio.Event()

    async def endless(*_: str, **__: Any) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never")

    monkeypatch.setattr(removal, "git", endless)
    tidying = asyncio.create_task(tidy(desk.trusted, all_of_it=True))
    await asyncio.wait_for(begun.wait(), 60)
    assert (await desk.trusted.refresh(30)).note is None
    assert await asyncio.wait_for(tidying, 60) is False
    assert refs_of(desk) == before
    begun.clear()
    tidying = asyncio.create_task(tidy(desk.trusted, all_of_it=True))
    await asyncio.wait_for(begun.wait(), 60)
    tidying.cancel()  # the service stops
    with pytest.raises(asyncio.CancelledError):
        await tidying


async def test_tidying_ends_at_its_deadline_and_harms_nothing(desk: Desk) -> None:
    before = await saved(desk)
    with pytest.raises(GitError, match="took longer"):
        await tidy(desk.trusted, all_of_it=True, deadline_s=0.001)
    assert refs_of(desk) == before
    assert run_git(desk.trusted.path, "fsck", "--full", "--connectivity-only", "--no-dangling") == ""
    for lock in (desk.trusted.path.with_suffix(".lock"), desk.trusted.objects_lock):
        async with file_lock(lock, Deadline(60)):
            pass  # a git that was ended holds it until it has gone
    assert await tidy(desk.trusted, all_of_it=True)


async def test_what_a_crash_left_aside_is_removed_when_it_is_old(desk: Desk) -> None:
    await saved(desk)
    old, new = desk.trusted.root / ASIDE / "verify-old", desk.trusted.root / ASIDE / "snapshot-new"
    for folder in (old, new):
        (folder / "clone").mkdir(parents=True)
    long_ago = time.time() - 2 * 86_400
    os.utime(old, (long_ago, long_ago))
    assert await tidy(desk.trusted)
    assert not old.exists()
    assert new.is_dir()


async def test_what_was_saved_of_a_session_is_dropped_unless_its_workspace_stands(desk: Desk) -> None:
    await saved(desk)
    assert await saved_sessions(desk.trusted) == {ONE, TWO}
    assert await drop_saved(desk.trusted, root=desk.root, session=ONE, issue_key=ISSUE)
    assert not await drop_saved(desk.trusted, root=desk.root, session=TWO, issue_key=ISSUE)
    assert await saved_sessions(desk.trusted) == {TWO}
    assert await desk.trusted.resolve(rescue_ref(ONE, ISSUE)) is None
    assert await desk.trusted.resolve(checkpoint_ref(TWO)) is not None


async def test_a_pushed_checkpoint_is_removed_from_the_remote(desk: Desk) -> None:
    await saved(desk)
    ref = checkpoint_ref(TWO)
    await desk.trusted.push_ref(ref)
    assert run_git(desk.upstream.directory, "rev-parse", ref)
    for _ in range(2):
        await desk.trusted.drop_pushed(ref)
        run_git(desk.upstream.directory, "rev-parse", "--verify", "--quiet", ref, fails=True)
    with pytest.raises(ValueError, match="not a ref of ours"):
        await desk.trusted.drop_pushed("refs/heads/main")
