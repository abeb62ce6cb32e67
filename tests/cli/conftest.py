"""The command line, as somebody at a terminal has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.cli import main

CANARY = "canary-webhook-secret"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with nothing set but the data folder and one secret; `given` is what it reads."""
    monkeypatch.chdir(tmp_path)
    for name in ("SESSION_STORAGE_URL", "LINEAR_ACCESS_TOKEN", "DRAGOMAN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRAGOMAN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LINEAR_WEBHOOK_SECRET", CANARY)
    return lambda *arguments, given=None: CliRunner().invoke(main, arguments, input=given, catch_exceptions=False)
