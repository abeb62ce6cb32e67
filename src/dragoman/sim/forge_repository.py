"""The repositories of the pretend GitHub, and how it says no."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

DOCUMENTATION: Final = "https://docs.github.com/rest"
GIT_S: Final = 60

Json = dict[str, Any]


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, errors: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        body: Json = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
        self.body = body | ({"errors": errors} if errors else {})


class Repository:
    """A bare repository in `folder` and its pull requests, oldest first."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.pulls: list[Json] = []

    def git(self, *args: str) -> str:
        """What git says in it. Raises subprocess.CalledProcessError."""
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")  # no home may name anybody
        command = ["git", "-c", "safe.directory=*", *who, "-C", str(self.folder), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_S).stdout.strip()

    def tip(self, branch: str) -> str | None:
        """The commit of a branch."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        except subprocess.CalledProcessError:
            return None

    def branches(self) -> dict[str, str]:
        """Commits by branch."""
        rows = self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").splitlines()
        return {name: commit for name, _, commit in (row.partition(" ") for row in rows)}

    def protect(self, branch: str) -> None:
        """Let nobody push to a branch."""
        with (self.folder / "protected").open("a", encoding="utf-8") as rules:
            rules.write(f"refs/heads/{branch}\n")

    def open_pulls(self) -> list[Json]:
        """Those that are neither merged nor closed."""
        return [pull for pull in self.pulls if pull["state"] == "open"]
