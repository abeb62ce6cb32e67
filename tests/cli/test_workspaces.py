"""`dragoman workspaces`: lists what is on disk or saved, removes only what was saved, and puts it back."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from dragoman.cli import main
from dragoman.core.events.linear import IssueRead, SessionOpened, StopRequested
from dragoman.core.events.runs import RunAborted, RunStarted
from dragoman.ids import AgentThread, SessionId, run_id
from dragoman.ledger import turns
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.repositories.naming import rescue_ref
from dragoman.repositories.trusted import TrustedRepository
from dragoman.repositories.workspaces import ensure_workspace
from tests.builders import a_person, a_prompt, a_session, an_issue
from tests.repositories.upstream import Upstream

RESTS = SessionId("5e551011-0000-4000-8000-000000000001")
WORKS = SessionId("5e552022-0000-4000-8000-000000000002")

Run = Callable[..., Result]


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, beside a ledger with a session at rest on ENG-12 and one at work on OPS-7, both with files."""
    upstream = Upstream(tmp_path / "upstream")
    upstream.commit()
    data = tmp_path / "data"
    trusted = TrustedRepository(data / "repositories", "acme/shop", str(upstream.directory))
    await trusted.refresh(30)
    ledger = await SqliteLedger.open(f"sqlite:///{data}/dragoman.db")
    for session, key in ((RESTS, "ENG-12"), (WORKS, "OPS-7")):
        made = await ensure_workspace(
            trusted, root=data / "workspaces", session=session, issue_key=key, branch=f"ada/{key.lower()}"
        )
        (Path(made.directory) / "work.py").write_text(f"# {key}\n")
        issue, one = an_issue(key), run_id(session, 1)
        unheard = a_session(session, issue=issue)
        opened = SessionOpened(issue=issue, prompt=a_prompt("please fix it"))
        began = RunStarted(
            run=one,
            thread=AgentThread("ses_1"),
            repository="acme/shop",
            directory=made.directory,
            branch=made.branch,
        )
        await ledger.turn(turns.receive, session, opened, new=partial(replace, unheard))
        await ledger.turn(turns.receive, session, IssueRead(run=one))
        await ledger.turn(turns.receive, session, began)
    await ledger.turn(turns.receive, RESTS, StopRequested(sent_at=0.0, by=a_person("Bob")))
    await ledger.turn(turns.receive, RESTS, RunAborted(run=run_id(RESTS, 1), verified=True, detail=""))
    await ledger.close()
    monkeypatch.chdir(tmp_path)
    for name in ("SESSION_STORAGE_URL", "LEDGER_URL", "DRAGOMAN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRAGOMAN_DATA_DIR", str(data))
    (tmp_path / "dragoman.toml").write_text(
        f'[[repositories]]\nname = "acme/shop"\nurl = {json.dumps(str(upstream.directory))}\n'
    )
    return lambda *arguments: CliRunner().invoke(main, ["workspaces", *arguments], catch_exceptions=False)


def listed(run: Run) -> dict[str, dict[str, str]]:
    shown = run("list", "--json")
    assert shown.exit_code == 0, shown.output
    return {one["issue"]: one for one in json.loads(shown.stdout)}


def test_a_workspace_is_removed_and_comes_back(run: Run, tmp_path: Path) -> None:
    before = listed(run)
    directory = Path(before["ENG-12"]["directory"])
    assert before["ENG-12"]["state"] == before["OPS-7"]["state"] == "on disk"

    removed = run("remove", "eng-12")
    assert removed.exit_code == 0, removed.output
    assert rescue_ref(RESTS, "ENG-12") in removed.stdout
    assert "dragoman workspaces restore eng-12" in removed.stdout
    assert not directory.exists()
    assert listed(run)["ENG-12"]["state"] == "saved"

    restored = run("restore", "ENG-12")
    assert restored.exit_code == 0, restored.output
    assert (directory / "work.py").read_text() == "# ENG-12\n"
    assert listed(run)["ENG-12"]["state"] == "on disk"


def test_a_workspace_at_work_is_not_removed(run: Run) -> None:
    refused = run("remove", "OPS-7")
    assert refused.exit_code == 1
    assert "is at work" in refused.stderr
    assert "working" in run("list").stdout
    assert Path(listed(run)["OPS-7"]["directory"]).is_dir()


def test_what_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    assert "ENG-12 has no saved workspace" in run("restore", "ENG-12").stderr
    assert "ENG-99 has no workspace on disk" in run("remove", "ENG-99").stderr
    (tmp_path / "dragoman.toml").write_text('[[repositories]]\nname = "other/one"\nurl = "/nowhere"\n')
    gone = run("remove", "ENG-12")
    assert gone.exit_code == 78
    assert "acme/shop is not among the [[repositories]]" in gone.stderr


def test_a_repository_that_is_configured_no_more_keeps_nothing_from_the_list(run: Run, tmp_path: Path) -> None:
    assert run("remove", "ENG-12").exit_code == 0
    (tmp_path / "dragoman.toml").write_text('[[repositories]]\nname = "other/one"\nurl = "/nowhere"\n')
    shown = listed(run)
    assert (shown["ENG-12"]["state"], shown["OPS-7"]["state"]) == ("unknown", "on disk")
    refused = run("restore", "ENG-12")
    assert refused.exit_code == 78
    assert "acme/shop is not among the [[repositories]]" in refused.stderr
