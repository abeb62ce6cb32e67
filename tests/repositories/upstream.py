"""Builders: a remote repository on disk, with ordinary git, as people use it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from dragoman.ids import SessionId
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import Workspace, ensure_workspace

ONE = SessionId("11111111-2222-4333-8444-555555555555")
TWO = SessionId("99999999-2222-4333-8444-555555555555")


def run_git(directory: Path, *args: str, fails: bool = False) -> str:
    """Run git as a person or an agent would, obeying the repository's own configuration."""
    done = subprocess.run(
        ["git", *args],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "LANG": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout.strip()


class Upstream:
    """The remote: `people` work in `directory`."""

    def __init__(self, directory: Path, branch: str = "main") -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        run_git(directory, "init", "--quiet", f"--initial-branch={branch}")
        run_git(directory, "config", "user.name", "Ada")
        run_git(directory, "config", "user.email", "ada@example.org")

    def commit(self, path: str = "README.md", text: str = "hello\n") -> str:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        run_git(self.directory, "add", "--", path)
        run_git(self.directory, "commit", "--quiet", "-m", f"Change {path}")
        return run_git(self.directory, "rev-parse", "HEAD")


class Desk:
    """A data folder with a trusted repository of an upstream that has one commit."""

    def __init__(self, folder: Path) -> None:
        self.upstream = Upstream(folder / "upstream")
        self.first = self.upstream.commit()
        self.root = folder / "data" / "workspaces"
        self.trusted = TrustedRepository(folder / "data" / "repositories", "acme/shop", str(self.upstream.directory))

    async def workspace(self, session: SessionId = ONE, **changes: str) -> Workspace:
        branch = changes.pop("branch", f"work-{session[:4]}")
        return await ensure_workspace(
            self.trusted,
            root=self.root,
            session=session,
            issue_key=changes.pop("issue_key", "ENG-12"),
            branch=branch,
            base=changes.pop("base", None),
            start_from=changes.pop("start_from", None),
        )


def agent_commits(workspace: Workspace, path: str = "fix.py", text: str = "fixed = True\n") -> str:
    directory = Path(workspace.directory)
    (directory / path).write_text(text)
    run_git(directory, "add", "--", path)
    run_git(directory, "commit", "--quiet", "-m", f"Write {path}")
    return run_git(directory, "rev-parse", "HEAD")


def files_in(folder: Path) -> list[Path]:
    """All plain files in a folder and below."""
    return [file for file in folder.rglob("*") if file.is_file()]


async def until(condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(deadline_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)
