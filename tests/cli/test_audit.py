"""`dragoman audit`, as somebody at a terminal has it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.cli import main
from dragoman.ledger import audit
from dragoman.ledger.sqlite import SqliteTx
from dragoman.ledger.sqlite_file import open_file
from tests.ledger.test_audit import a_decision


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a ledger with four decisions, for the program to find."""
    file = tmp_path / "dragoman.db"
    with closing(open_file(file)) as connection:
        for number, verdict in enumerate(("allowed", "user", "allowed", "rule")):
            audit.append(SqliteTx(connection.cursor(), 1_000.0 + number, set()), a_decision(verdict=verdict))
    monkeypatch.setenv("DRAGOMAN_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def tamper(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for guard in ("audit_is_not_changed", "audit_is_not_removed"):
            connection.execute(f"DROP TRIGGER {guard}")
        connection.execute(statement)


def test_decisions_are_listed_newest_first(ledger: Path) -> None:
    shown = run("list").output.splitlines()
    assert [line.split()[0] for line in shown] == ["N", "4", "3", "2", "1"]
    assert shown[1][shown[0].index("PERSON") :].startswith("Ann")
    assert shown[1][shown[0].index("VERDICT") :].startswith("rule")
    assert [row["n"] for row in json.loads(run("list", "--refused", "--json").output)] == [4, 2]
    assert len(run("list", "--since", "1h").output.splitlines()) == 1


def test_a_trail_that_holds_is_said_with_its_head(ledger: Path) -> None:
    head = run("head").output.strip()
    assert head.startswith("4:")
    found = run("verify", "--head", head)
    assert (found.exit_code, found.output.strip()) == (0, f"All 4 rows hold. Head: {head}")
    assert json.loads(run("verify", "--json").output)["holds"] is True


@pytest.mark.parametrize(
    "statement, told",
    [
        ("UPDATE audit SET verdict = 'allowed' WHERE n = 2", "row 2 was changed"),
        ("DELETE FROM audit WHERE n = 3", "row 3 is missing"),
        ("UPDATE audit SET n = 10 - n WHERE n IN (2, 3)", "rows 2 to 3 are missing"),
    ],
)
def test_a_trail_that_does_not_hold_is_an_error_that_names_the_row(ledger: Path, statement: str, told: str) -> None:
    tamper(ledger, statement)
    found = run("verify")
    assert found.exit_code == 1
    assert told in found.output


def test_an_end_that_was_cut_off_shows_against_a_kept_head(ledger: Path) -> None:
    head = run("head").output.strip()
    tamper(ledger, "DELETE FROM audit WHERE n = 4")
    assert run("verify").exit_code == 0
    found = run("verify", "--head", head)
    assert (found.exit_code, "the end was cut off" in found.output) == (1, True)


def test_a_head_that_is_none_is_a_wrong_option(ledger: Path) -> None:
    assert run("verify", "--head", "4711").exit_code == 2
