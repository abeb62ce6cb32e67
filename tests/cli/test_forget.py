"""`dragoman forget` at a terminal: what is heard while a service is at it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from dragoman.cli import forget
from dragoman.ledger.forgetting import Report
from dragoman.ledger.sqlite import SqliteLedger
from tests.cli.conftest import Run


async def test_whoever_waits_for_the_service_is_told_what_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "QUIET_S", 0.0)
    await (await SqliteLedger.open(f"sqlite:///{tmp_path}/dragoman.db")).close()
    with (tmp_path / "dragoman.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = run("forget", "ENG-1", "--timeout", "1")
    assert result.exit_code == 1
    assert result.stderr.count("The service is at it.") == 1
    assert "It is not done yet; the service goes on with it." in result.stderr
    assert result.stdout == ""


async def test_of_an_unknown_issue_it_tells_what_could_not_be_removed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await SqliteLedger.open(f"sqlite:///{tmp_path}/dragoman.db")).close()
    report = Report(left=("OpenCode's database was not rewritten",))
    monkeypatch.setattr(forget, "_done", lambda *_: report)
    result = run("forget", "ENG-1")
    assert result.exit_code == 1
    assert "ENG-1 (any more), but for this:\nNot removed: OpenCode's database" in result.stdout
