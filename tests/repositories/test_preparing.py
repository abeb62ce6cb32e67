"""What a workspace gets before the agent: the operator's files, from one folder and into one folder, never committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragoman.repositories.configured import Repository, problems_of
from dragoman.repositories.preparing import Preparation, bring, find_files
from dragoman.repositories.rescue import checkpoint
from tests.repositories.upstream import ONE, Desk, run_git


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give the operator's folder."""
    folder = tmp_path / "operator"
    (folder / "config" / "local").mkdir(parents=True)
    (folder / ".env").write_text("KEY=1\n")
    (folder / "config" / "local" / "a b.json").write_text("{}\n")
    (folder / "config" / "local" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "config" / "local" / "run.sh").chmod(0o755)
    (tmp_path / "secret").write_text("not yours\n")
    return folder


async def fresh(desk: Desk) -> Path:
    """A workspace that was just made."""
    await desk.trusted.refresh(30.0)
    return Path((await desk.workspace(ONE)).directory)


def brought(source: Path, workspace: Path, *globs: str) -> list[str]:
    """Bring what fits; what was not brought."""
    paths, notes = find_files(source, globs)
    return [*notes, *bring(source, paths, workspace)]


async def test_files_are_brought_with_their_folders_and_no_commit_takes_them_up(desk: Desk, source: Path) -> None:
    workspace = await fresh(desk)
    assert brought(source, workspace, ".env", "config/**/*") == []
    assert (workspace / ".env").read_text() == "KEY=1\n"
    assert (workspace / "config/local/a b.json").is_file()
    assert os.access(workspace / "config/local/run.sh", os.X_OK)
    assert (workspace / ".env").stat().st_mode & 0o077 == 0
    run_git(workspace, "add", "--all")
    assert run_git(workspace, "status", "--porcelain") == ""


async def test_what_leads_out_of_the_folder_stays_where_it_is(desk: Desk, source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to(tmp_path)
    (source / "inside").symlink_to(".env")
    workspace = await fresh(desk)
    notes = brought(source, workspace, "link", "folder/secret", "inside")
    assert len(notes) == 2
    assert all("leads elsewhere" in note for note in notes)
    assert not (workspace / "link").exists()
    assert not (workspace / "folder").exists()
    assert (workspace / "inside").read_text() == "KEY=1\n"


async def test_nothing_is_written_through_a_link_and_nothing_is_overwritten(
    desk: Desk, source: Path, tmp_path: Path
) -> None:
    workspace = await fresh(desk)
    outside = tmp_path / "outside"
    outside.mkdir()
    (workspace / "config").symlink_to(outside)
    (workspace / ".env").write_text("theirs\n")
    notes = brought(source, workspace, ".env", "config/local/run.sh")
    assert any(".env was not brought along: the repository has a file of that name" in note for note in notes)
    assert any("run.sh was not brought along" in note for note in notes)
    assert (workspace / ".env").read_text() == "theirs\n"
    assert not list(outside.iterdir())


async def test_a_glob_that_fits_nothing_is_told(desk: Desk, source: Path) -> None:
    workspace = await fresh(desk)
    assert brought(source, workspace, "*.pem") == [
        "Nothing fits '*.pem' among the files that were to be brought along."
    ]


async def test_what_we_save_of_a_workspace_leaves_them_out(desk: Desk, source: Path) -> None:
    workspace = await fresh(desk)
    preparation = Preparation(desk.trusted, desk.root, ONE, "ENG-12")
    assert not preparation.done
    assert await preparation.bring(source, [".env"]) == ()
    (workspace / "new.txt").write_text("the agent's\n")
    (workspace / ".git" / "info" / "exclude").unlink()  # the agent may do that
    commit = await checkpoint(desk.trusted, root=desk.root, session=ONE, issue_key="ENG-12")
    assert commit is not None
    saved = run_git(desk.trusted.path, "ls-tree", "-r", "--name-only", commit).split()
    assert "new.txt" in saved
    assert ".env" not in saved
    again = Preparation(desk.trusted, desk.root, ONE, "ENG-12")
    assert await again.bring(source, [".env"]) == (), "an attempt that was cut off finds what it brought"
    again.finish()
    assert Preparation(desk.trusted, desk.root, ONE, "ENG-12").done


def test_what_is_wrong_with_it_is_told(tmp_path: Path) -> None:
    def wrong(**fields: object) -> list[str]:
        return problems_of([Repository(name="acme/shop", url="/srv/shop", **fields)])  # type: ignore[arg-type]

    assert wrong(copy=(".env",), copy_from=str(tmp_path)) == []
    for fields in (
        {"copy": (".env",)},
        {"copy": (".env",), "copy_from": str(tmp_path / "nowhere")},
        {"copy": ("../x",), "copy_from": str(tmp_path)},
        {"copy": ("/etc/passwd",), "copy_from": str(tmp_path)},
        {"copy_from": str(tmp_path)},
        {"setup": (" ",)},
        {"setup_s": 0.0},
    ):
        assert len(wrong(**fields)) == 1, fields
