"""What is made once in the data folder, and never by halves."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.runtime import data_folder


@pytest.mark.parametrize("made", [data_folder.host_id, data_folder.key])
def test_what_is_made_once_stays_and_is_ours_alone(tmp_path: Path, made: Callable[[Path], str]) -> None:
    path = tmp_path / "made"
    first = made(path)
    assert first
    assert made(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("made", [data_folder.host_id, data_folder.key])
def test_what_a_crash_left_empty_is_made_anew(tmp_path: Path, made: Callable[[Path], str]) -> None:
    path = tmp_path / "made"
    path.touch()
    path.with_name("made.new").write_text("half")
    assert len(made(path)) > len("half")
    assert [file.name for file in tmp_path.iterdir()] == ["made"]
