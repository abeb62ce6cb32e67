"""Our copy of a repository: always usable once fetched, and nothing of ours is ever removed from it."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import GitError, Refusal
from dragoman.repositories import trusted as trusted_module
from dragoman.repositories.git import git
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.trusted import TrustedRepository
from tests.repositories.upstream import Desk, Upstream, files_in, run_git


async def test_the_first_refresh_makes_a_complete_copy(desk: Desk) -> None:
    run_git(desk.upstream.directory, "branch", "feature/x")
    assert (await desk.trusted.refresh(30)).note is None
    assert desk.trusted.default_branch() == "main"
    assert await desk.trusted.branch_tip("main") == desk.first
    assert await desk.trusted.branch_tip("feature/x") == desk.first
    assert await desk.trusted.branch_tip("none") is None
    assert run_git(desk.trusted.path, "rev-parse", "--is-bare-repository") == "true"
    assert run_git(desk.trusted.path, "for-each-ref", "refs/heads") == ""


async def test_nobody_else_can_read_the_copy(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    assert desk.trusted.root.stat().st_mode & 0o777 == 0o700
    files = files_in(desk.trusted.root)
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    assert len(files) > 5


async def test_a_file_url_works_like_a_path(desk: Desk) -> None:
    trusted = TrustedRepository(desk.trusted.root, "acme/other", desk.upstream.directory.as_uri())
    await trusted.refresh(30)
    assert await trusted.branch_tip("main") == desk.first


async def test_a_refresh_takes_new_commits_and_drops_branches_that_are_gone(desk: Desk) -> None:
    run_git(desk.upstream.directory, "branch", "a")
    await desk.trusted.refresh(30)
    run_git(desk.upstream.directory, "branch", "-m", "a", "a/b")  # refs a and a/b cannot be there together
    second = desk.upstream.commit(text="second\n")
    run_git(desk.upstream.directory, "commit", "--quiet", "--amend", "-m", "rewritten")
    rewritten = run_git(desk.upstream.directory, "rev-parse", "HEAD")
    assert (await desk.trusted.refresh(30)).note is None
    assert await desk.trusted.branch_tip("main") == rewritten != second
    assert await desk.trusted.branch_tip("a") is None
    assert await desk.trusted.branch_tip("a/b") == desk.first


async def test_a_refresh_never_removes_refs_of_ours(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    for ref in ("refs/dragoman/session/x", "refs/dragoman/checkpoint/x"):
        run_git(desk.trusted.path, "update-ref", ref, desk.first)
    run_git(desk.upstream.directory, "update-ref", "refs/dragoman/session/x", "HEAD")
    desk.upstream.commit(text="second\n")
    await desk.trusted.refresh(30)
    assert await desk.trusted.resolve("refs/dragoman/session/x") == desk.first
    assert await desk.trusted.resolve("refs/dragoman/checkpoint/x") == desk.first


async def test_with_the_remote_down_the_older_copy_serves_and_says_so(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    shutil.move(desk.upstream.directory, desk.upstream.directory.with_name("moved"))
    refreshed = await desk.trusted.refresh(30)
    assert refreshed.note is not None
    assert "could not be brought up to date" in refreshed.note
    assert await desk.trusted.branch_tip("main") == desk.first
    shutil.move(desk.upstream.directory.with_name("moved"), desk.upstream.directory)
    assert (await desk.trusted.refresh(30)).note is None


async def test_with_the_remote_down_and_no_copy_the_error_names_the_repository(tmp_path: Path) -> None:
    trusted = TrustedRepository(tmp_path / "repositories", "acme/gone", str(tmp_path / "gone"))
    with pytest.raises(GitError, match="acme/gone could not be fetched") as caught:
        await trusted.refresh(30)
    assert not caught.value.retryable
    with pytest.raises(Refusal, match="not been fetched"):
        trusted.default_branch()
    assert await trusted.resolve("HEAD") is None


async def test_a_remote_that_hangs_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        trusted = TrustedRepository(tmp_path, "acme/slow", f"http://127.0.0.1:{port}/slow.git")
        with pytest.raises(GitError, match="took longer") as caught:
            await trusted.refresh(0.8)
        assert caught.value.retryable
    finally:
        server.close()
        await server.wait_closed()


async def test_a_crash_during_the_first_fetch_leaves_nothing_that_counts_as_a_copy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def dies(*args: str, **options: Any) -> bytes:
        if args[0] in {"fetch", "symbolic-ref"}:
            raise KeyboardInterrupt
        return await git(*args, **options)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(trusted_module, "git", dies)
            with pytest.raises(KeyboardInterrupt):
                await desk.trusted._fetch(Deadline(30))
        with pytest.raises(Refusal):
            desk.trusted.default_branch()
    await desk.trusted.refresh(30)
    assert await desk.trusted.branch_tip("main") == desk.first


async def test_many_refreshes_at_once_share_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches = 0

    async def counted(*args: str, **options: Any) -> bytes:
        nonlocal fetches
        fetches += args[0] == "fetch"
        return await git(*args, **options)

    monkeypatch.setattr(trusted_module, "git", counted)
    await asyncio.gather(*[desk.trusted.refresh(30) for _ in range(20)])
    assert fetches == 2  # the one under way when the others came, and one for all of them


async def test_two_processes_do_not_fetch_at_the_same_time(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    other = TrustedRepository(desk.trusted.root, desk.trusted.name, str(desk.upstream.directory))
    async with file_lock(desk.trusted.path.with_suffix(".lock"), Deadline(5)):
        refreshed = await other.refresh(0.3)
    assert refreshed.note is not None
    assert "in use by another process" in refreshed.note
    assert (await other.refresh(30)).note is None


async def test_a_lock_file_of_a_killed_git_is_removed_when_it_is_old(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    stale = desk.trusted.path / "refs/remotes/origin/main.lock"
    stale.touch()
    long_ago = time.time() - 3600
    os.utime(stale, (long_ago, long_ago))
    second = desk.upstream.commit(text="second\n")
    assert (await desk.trusted.refresh(30)).note is None
    assert await desk.trusted.branch_tip("main") == second


async def test_an_empty_remote_is_told_as_such(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "upstream")
    trusted = TrustedRepository(tmp_path / "repositories", "acme/empty", str(upstream.directory))
    with pytest.raises(Refusal, match="no commits yet"):
        await trusted.refresh(30)
    upstream.commit()
    await trusted.refresh(30)
    assert trusted.default_branch() == "main"


async def test_the_remotes_own_default_branch_is_used_and_followed(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "upstream", branch="trunk")
    upstream.commit()
    run_git(upstream.directory, "branch", "main")
    trusted = TrustedRepository(tmp_path / "repositories", "acme/shop", str(upstream.directory))
    await trusted.refresh(30)
    assert trusted.default_branch() == "trunk"
    run_git(upstream.directory, "checkout", "--quiet", "main")
    await trusted.refresh(30)
    assert trusted.default_branch() == "main"


async def test_a_detached_remote_head_falls_back_to_the_usual_name(desk: Desk) -> None:
    run_git(desk.upstream.directory, "branch", "zeta")
    run_git(desk.upstream.directory, "checkout", "--quiet", "--detach")
    await desk.trusted.refresh(30)
    assert desk.trusted.default_branch() == "main"
    run_git(desk.upstream.directory, "branch", "-m", "main", "alpha")
    with pytest.raises(Refusal, match="Set base_branch"):
        await desk.trusted.refresh(30)


async def test_the_configured_branch_wins_and_must_exist(desk: Desk) -> None:
    run_git(desk.upstream.directory, "branch", "dev")
    root, url = desk.trusted.root, str(desk.upstream.directory)
    dev = TrustedRepository(root, "acme/shop", url, base_branch="dev")
    await dev.refresh(30)
    assert dev.default_branch() == "dev"
    with pytest.raises(Refusal, match="no branch 'gone'"):
        await TrustedRepository(root, "acme/shop", url, base_branch="gone").refresh(30)


async def test_hostile_refs_are_not_options(desk: Desk) -> None:
    await desk.trusted.refresh(30)
    assert await desk.trusted.resolve("--output=/tmp/x") is None
    assert await desk.trusted.resolve("-x") is None


def test_a_url_that_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="acme/shop cannot be used"):
        TrustedRepository(tmp_path, "acme/shop", "ext::sh -c id")
