"""`dragoman sessions`: reads the ledger beside a running service; readable, honest, without secrets."""

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dragoman.cli import main
from dragoman.core.events.linear import SessionOpened, StopRequested
from dragoman.core.events.runs import RunWaiting
from dragoman.ids import SessionId, run_id
from dragoman.ledger import audit, turns
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import a_person, a_prompt, a_session, an_issue
from tests.cli.conftest import CANARY, Run

FIRST = SessionId("5e551011-0000-4000-8000-000000000001")
SECOND = SessionId("5e552022-0000-4000-8000-000000000002")


@pytest.fixture
def run(run: Run) -> Run:
    """`dragoman sessions`."""
    return partial(run, "sessions")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    """Two sessions, held open as a running service would hold them."""
    opened = await SqliteLedger.open(f"sqlite:///{tmp_path}/dragoman.db")
    first = SessionOpened(issue=an_issue("ENG-12"), prompt=a_prompt(f"please\x1b[31m fix\nit, {CANARY}"))
    second = SessionOpened(issue=an_issue("OPS-7"), prompt=a_prompt("and this"))
    await opened.turn(turns.receive, FIRST, first, new=lambda: a_session(FIRST, issue=an_issue("ENG-12")))
    await opened.turn(turns.receive, SECOND, second, new=lambda: a_session(SECOND, issue=an_issue("OPS-7")))
    await opened.turn(turns.receive, FIRST, RunWaiting(run=run_id(FIRST, 1), cause="opencode", detail="it is away"))
    await opened.turn(turns.receive, SECOND, StopRequested(sent_at=0.0, by=a_person("Bob")))
    yield opened
    await opened.close()


def test_the_list_shows_the_newest_first_while_the_service_runs(run: Run, ledger: SqliteLedger) -> None:
    shown = run("list")
    assert shown.exit_code == 0
    header, *rows = shown.stdout.splitlines()
    assert header.split() == ["ID", "ISSUE", "STATUS", "PHASE", "OPENED", "MOVED"]
    assert [row.split()[:4] for row in rows] == [
        [SECOND, "OPS-7", "active", "Stopping"],
        [FIRST, "ENG-12", "creating", "Starting"],
    ]
    assert all(len(line) <= 100 for line in shown.stdout.splitlines())


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--issue", "eng-12"], [FIRST]),
        (["--status", "active"], [SECOND]),
        (["--limit", "1"], [SECOND]),
        (["--issue", "ENG-99"], []),
    ],
)
def test_the_list_is_filtered(run: Run, ledger: SqliteLedger, arguments: list[str], expected: list[str]) -> None:
    shown = run("list", "--json", *arguments)
    assert [one["id"] for one in json.loads(shown.stdout)] == expected


@pytest.mark.parametrize("arguments", [["--status", "happy"], ["--limit", "0"], ["--limit", "x"]])
def test_a_wrong_option_is_told(run: Run, ledger: SqliteLedger, arguments: list[str]) -> None:
    shown = run("list", *arguments)
    assert shown.exit_code == 2
    assert "Invalid value" in shown.stderr


def test_a_session_is_shown_by_the_beginning_of_its_id(run: Run, ledger: SqliteLedger) -> None:
    shown = run("show", "5e551")
    assert shown.exit_code == 0
    text = shown.stdout
    for words in (
        FIRST,
        "ENG-12 The parser drops the last line",
        "creating (Starting, turn 1",
        "Conversation",
        "Journal",
    ):
        assert words in text
    assert re.search(r"#1 +Ann +please \[31m fix it, \[secret\]", text)
    assert re.search(r"SessionOpened +Ann · please", text)
    assert re.search(r"#1 +RunWaiting +cause=opencode · detail=it is away", text)
    assert re.search(r"Post +linear +due\n", text)
    assert re.search(r"Remind +- +due in 10 min\n", text)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "\x1b" not in text
    assert CANARY not in text


def test_a_session_is_shown_for_programs(run: Run, ledger: SqliteLedger) -> None:
    shown = run("show", SECOND, "--json")
    whole: dict[str, Any] = json.loads(shown.stdout)
    assert whole["summary"]["id"] == SECOND
    assert [line["kind"] for line in whole["journal"]] == ["SessionOpened", "StopRequested"]
    assert whole["journal"][1]["event"]["by"]["name"] == "Bob"
    assert {effect["kind"] for effect in whole["effects"]} >= {"Post", "AbortRun"}
    assert CANARY not in run("show", FIRST, "--json").stdout


def test_an_id_that_nobody_has_is_an_error_with_a_hint(run: Run, ledger: SqliteLedger) -> None:
    for unknown in ("ffff", "", "5e551011-0000-4000-8000-000000000001x"):
        shown = run("show", unknown)
        assert shown.exit_code == 1
        assert shown.stderr.startswith(f"No session has the id {unknown!r}")
        assert shown.stdout == ""


def test_a_beginning_that_several_share_names_them(run: Run, ledger: SqliteLedger) -> None:
    shown = run("show", "5e55")
    assert shown.exit_code == 1
    assert shown.stderr == f"Several sessions begin with '5e55': {SECOND}, {FIRST}\n"


def test_without_a_ledger_it_says_where_it_looked(run: Run, tmp_path: Path) -> None:
    shown = run("list")
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"There is no ledger at {tmp_path / 'dragoman.db'}. Set DRAGOMAN_DATA_DIR")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_ledger_is_told(run: Run, tmp_path: Path) -> None:
    for content in (b"no database at all, only text that is long enough to be looked at" * 20, b""):
        (tmp_path / "dragoman.db").write_bytes(content)
        shown = run("list")
        assert shown.exit_code == 1
        assert shown.stderr.startswith(f"The ledger {tmp_path / 'dragoman.db'} cannot be read: ")


def test_a_ledger_in_memory_cannot_be_looked_into(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_STORAGE_URL", "memory://")
    shown = run("list")
    assert shown.exit_code == 1
    assert "kept in memory" in shown.stderr


def test_a_wrong_setting_ends_with_78(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_URL", f"redis://:{CANARY}@x")
    shown = run("list")
    assert shown.exit_code == 78
    assert "LEDGER_URL (the environment) names a redis server" in shown.stderr
    assert CANARY not in shown.stderr


def test_a_session_is_completed_and_reactivated_by_command(run: Run, ledger: SqliteLedger) -> None:
    assert run("complete", FIRST, "--reason", "shipped").exit_code == 0
    shown = run("show", FIRST).stdout
    assert "Session completed: shipped" in shown
    assert "Stopping" in shown, "its turn is ended first"
    again = run("reactivate", SECOND)
    assert again.exit_code == 1
    assert again.stderr == f"Session {SECOND} is active; it cannot become active.\n"
    assert "No session has the id 'nobody'" in run("complete", "nobody").stderr


async def test_what_is_asked_by_command_is_in_the_audit_trail(run: Run, ledger: SqliteLedger) -> None:
    run("complete", FIRST)
    run("reactivate", SECOND)
    rows = await ledger.read(audit.newest)
    assert [(row.source, row.action, row.verdict, row.session, row.team) for row in rows] == [
        ("cli", "reactivate", "status", SECOND, an_issue("OPS-7").team_key),
        ("cli", "complete", "allowed", FIRST, an_issue("ENG-12").team_key),
    ]
    assert await ledger.read(audit.verify) is None
    listed = CliRunner().invoke(main, ["audit", "list"]).stdout
    assert "by cli" in listed


def test_without_session_management_the_command_line_changes_nothing(
    run: Run, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENABLE_SESSION_MANAGEMENT", "false")
    refused = run("complete", FIRST)
    assert refused.exit_code == 1
    assert "ENABLE_SESSION_MANAGEMENT is false" in refused.stderr
    assert run("list").exit_code == 0
    assert "CompletionRequested" not in run("show", FIRST).stdout
