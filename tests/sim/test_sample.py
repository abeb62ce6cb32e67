"""The sample repository, and that the default story's edits really repair it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.sim.sample import make_sample
from dragoman.sim.script import Use
from dragoman.sim.stories import DEFAULT, RETURN_ZERO


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "unittest"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def test_the_sample_is_one_commit_on_main_and_its_tests_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    folder = make_sample(tmp_path / "repo")
    log = subprocess.run(
        ["git", "log", "--format=%an %D"], cwd=folder, capture_output=True, text=True, timeout=30, check=True
    )
    assert log.stdout.strip() == "Dragoman sample HEAD -> main"
    assert "FAILED (failures=1)" in run_tests(folder).stderr
    assert make_sample(folder) == folder


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(FileExistsError):
        make_sample(tmp_path)


@pytest.mark.parametrize("zero", [True, False])
def test_the_default_story_repairs_the_sample(tmp_path: Path, zero: bool) -> None:
    folder = make_sample(tmp_path / "repo")
    for step in DEFAULT.steps:
        for part in step:
            if isinstance(part, Use) and part.tool == "edit":
                if (part.when == RETURN_ZERO and not zero) or (part.unless == RETURN_ZERO and zero):
                    continue
                file = Path(str(part.args["filePath"]).replace("{cwd}", str(folder)))
                text = file.read_text("utf-8")
                assert text.count(part.args["oldString"]) == 1
                file.write_text(text.replace(part.args["oldString"], part.args["newString"]), "utf-8")
    assert "Ran 3 tests" in run_tests(folder).stderr
    assert run_tests(folder).returncode == 0
