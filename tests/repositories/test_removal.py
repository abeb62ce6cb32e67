"""What was made for a session is gone without a trace, and what others made stays whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import checkpoint_ref, session_ref
from dragoman.repositories.removal import collect, erase_workspace
from dragoman.repositories.rescue import checkpoint
from dragoman.repositories.workspaces import save_branch
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
    await asyncio.wait_for(collecting, 30)
