"""The repository that every story works in, and a way to make stages."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.runtime.performers import agent, fence
from tests.stories.world import DEADLINE_S, Stage

MakeStage = Callable[..., Stage]


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tiny git repository; nobody writes to it."""
    folder = tmp_path_factory.mktemp("upstream")
    (folder / "readme.md").write_text("A shop.\n", encoding="utf-8")
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "-q", "-m", "Begin"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True, timeout=20)
    return folder


UNHURRIED = {"stop_s": DEADLINE_S}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop is seen to have worked before it is confirmed, however slow the machine is; with the rules UNHURRIED."""
    for module in (agent, fence):
        monkeypatch.setattr(module, "ABORT_S", DEADLINE_S)


@pytest.fixture
def make_stage(tmp_path: Path, upstream: Path) -> MakeStage:
    """Give a way to make the stage of a story."""

    def make(**how: object) -> Stage:
        return Stage(tmp_path, upstream, **how)  # type: ignore[arg-type]  # passed on as they are

    return make
