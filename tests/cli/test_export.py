"""`dragoman sessions export|watch`, `dragoman replay` and `dragoman stats`: whole, exact, without secrets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.core.events import Event
from dragoman.core.events.linear import SessionOpened, StopRequested
from dragoman.core.events.runs import RunAborted, RunFailed, RunStarted
from dragoman.core.session import Session
from dragoman.ids import AgentThread, SessionId, run_id
from dragoman.ledger import turns
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import HOST, ORGANIZATION, a_person, a_prompt, an_issue
from tests.cli.conftest import CANARY, Run

SESSION = SessionId("5e551011-0000-4000-8000-000000000001")
NEW = Session(id=SESSION, organization=ORGANIZATION, host=HOST)
DEADLINE_S = 60.0


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(f"sqlite:///{tmp_path}/dragoman.db")
    yield opened
    await opened.close()


async def hear(ledger: SqliteLedger, *events: Event) -> None:
    for event in events:
        await ledger.turn(turns.receive, SESSION, event, new=lambda: NEW)


async def opened(ledger: SqliteLedger, text: str = "please fix it") -> None:
    await hear(ledger, SessionOpened(issue=None, prompt=a_prompt(text)))


async def settled(ledger: SqliteLedger, text: str = "please fix it") -> None:
    await opened(ledger, text)
    run = run_id(SESSION, 1)
    started = RunStarted(run=run, thread=AgentThread("ses_1"), repository="acme/shop", directory="/w", branch="b")
    await hear(ledger, started, RunFailed(run=run, reason="It cannot be done."), RunAborted(run=run, verified=True))


async def test_an_export_without_the_rules_of_the_service_says_that_a_replay_lacks_them(
    run: Run, ledger: SqliteLedger, tmp_path: Path
) -> None:
    await settled(ledger)
    assert "a replay of this goes by the defaults" in run("sessions", "export", "5e55").stderr
    assert run("sessions", "export", "5e55", "--format", "markdown").stderr == ""
    (tmp_path / "dragoman.toml").write_text('[[repositories]]\nname = "acme/shop"\nurl = "/srv/shop"\n')
    assert run("sessions", "export", "5e55").stderr == ""


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_secrets_are_masked_text_by_text_and_the_file_can_still_be_replayed(
    run: Run, ledger: SqliteLedger, form: str
) -> None:
    await settled(ledger, f"see http://host and {CANARY}")  # "http://host" … "ann@example.com" is no credential
    text = run("sessions", "export", "5e55", "--format", form).stdout
    assert CANARY not in text
    assert "see http://host and [secret]" in text
    assert "ann@example.com" in text
    replayed = run("replay", "-", given=text)
    assert (replayed.exit_code, replayed.stdout.splitlines()[-1]) == (0, "The end is exactly the stored session.")


async def test_markdown_can_be_read_and_nothing_in_it_passes_for_its_own_headings(
    run: Run, ledger: SqliteLedger
) -> None:
    await settled(ledger, f"# Not a title\n{CANARY} | cell")
    lines = run("sessions", "export", SESSION, "--format", "markdown").stdout.splitlines()
    assert [line for line in lines if line.startswith("#")] == [f"# {SESSION}", "## Conversation", "## Journal"]
    assert "> # Not a title" in lines
    assert "> [secret] | cell" in lines
    assert "- Repository: acme/shop, branch `b`" in lines
    [row] = [line for line in lines if "SessionOpened" in line]
    assert "\\| cell" in row


async def test_replay_says_where_an_event_was_cut_and_is_exact_elsewhere(run: Run, ledger: SqliteLedger) -> None:
    await settled(ledger, "x" * 20_000)
    text = run("sessions", "export", SESSION).stdout
    replayed = run("replay", "-", given=text)
    lines = replayed.stdout.splitlines()
    assert [line.endswith("[texts of the stored event are cut]") for line in lines[:4]] == [True, False, False, False]
    assert lines[4].startswith("1 event(s) were stored with long texts cut")
    # The prompt is not part of a session that rests: so the end is the same all the same.
    assert (lines[5], replayed.exit_code) == ("The end is exactly the stored session.", 0)


async def test_replay_says_when_the_end_is_another(run: Run, ledger: SqliteLedger) -> None:
    await settled(ledger)
    whole = json.loads(run("sessions", "export", SESSION).stdout)
    del whole["journal"][3]
    replayed = run("replay", "-", given=json.dumps(whole))
    assert replayed.exit_code == 1
    assert "The end is not the stored session:" in replayed.stdout
    assert "  phase: stored Resting(after='failed'), played Stopping(" in replayed.stdout


async def test_replay_skips_what_it_cannot_read_and_says_so(run: Run, ledger: SqliteLedger) -> None:
    await settled(ledger)
    whole = json.loads(run("sessions", "export", SESSION).stdout)
    whole["journal"].insert(1, {**whole["journal"][1], "event": {"type": "FromTheFuture"}})
    whole["journal"].insert(1, {**whole["journal"][1], "v": 99})
    replayed = run("replay", "-", given=json.dumps(whole))
    assert replayed.stdout.count("[the stored event cannot be read: skipped]") == 2
    assert "2 event(s) were stored with long texts cut, or cannot be read" in replayed.stdout
    assert replayed.exit_code == 0


@pytest.mark.parametrize("text", ["", "{}", "hello", '{"type":"Head"}', "[1]"])
def test_a_file_that_was_not_exported_is_told(run: Run, text: str) -> None:
    replayed = run("replay", "-", given=text)
    assert replayed.exit_code == 1
    assert replayed.stderr.startswith("<stdin>: ")
    assert "exported as json or ndjson" in replayed.stderr


async def test_watch_shows_what_comes_and_ends_when_the_turn_does(
    run: Run, ledger: SqliteLedger, tmp_path: Path
) -> None:
    await opened(ledger)
    with _watching(tmp_path, "--until-settled") as watching:
        assert watching.stdout is not None
        assert "SessionOpened" in watching.stdout.readline()
        await hear(ledger, StopRequested(sent_at=0.0, by=a_person("Bob")))
        assert "StopRequested     Bob" in watching.stdout.readline()
        assert watching.poll() is None
        await hear(ledger, RunAborted(run=run_id(SESSION, 1), verified=True))
        assert "RunAborted" in watching.stdout.readline()
        assert watching.wait(DEADLINE_S) == 0


async def test_watch_goes_on_until_it_is_interrupted(run: Run, ledger: SqliteLedger, tmp_path: Path) -> None:
    await settled(ledger)
    with _watching(tmp_path) as watching:
        assert watching.stdout is not None
        assert "SessionOpened" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEADLINE_S) == 0


async def test_watch_of_a_session_at_rest_ends_at_once(run: Run, ledger: SqliteLedger) -> None:
    await settled(ledger)
    watched = run("sessions", "watch", SESSION, "--until-settled")
    kinds = re.findall(r"SessionOpened|RunStarted|RunFailed|RunAborted", watched.stdout)
    assert kinds == ["SessionOpened", "RunStarted", "RunFailed", "RunAborted"]


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--since", "yesterday"], "write 7d, 12h or 30min"),
        (["--by", "weather"], "Invalid value"),
        (["--json", "--csv"], "not both"),
    ],
)
def test_a_wrong_option_of_stats_is_told(run: Run, arguments: list[str], said: str) -> None:
    shown = run("stats", *arguments)
    assert (shown.exit_code, said in shown.stderr) == (2, True)


async def test_a_name_of_somebodys_choosing_is_no_formula_in_a_spreadsheet(run: Run, ledger: SqliteLedger) -> None:
    prompt = a_prompt()
    person = a_person('=HYPERLINK("x")')
    await hear(ledger, SessionOpened(issue=an_issue(), prompt=replace(prompt, author=person)))
    rows = run("stats", "--by", "user", "--csv").stdout.splitlines()
    assert rows[1].startswith("\"'=HYPERLINK(")


def _watching(folder: Path, *options: str) -> subprocess.Popen[str]:
    # Where the tests run in the background, an interruption is ignored from birth.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    begin = f"{heed}; from dragoman.cli import main; main()"
    argv = [sys.executable, "-u", "-c", begin, "sessions", "watch", SESSION, *options]
    environment = {"PATH": os.environ["PATH"], "DRAGOMAN_DATA_DIR": str(folder), "HOME": str(folder)}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)
