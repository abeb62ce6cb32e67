"""`dragoman config check|show|explain`, as people and programs use it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.cli import main
from dragoman.config import Settings, catalogue, describe
from dragoman.config.catalogue import sessions
from dragoman.config.table import RECORDS, keys_of

CANARY = "canary-5ecr3t-value"
TOML = f"""\
[[repositories]]
name = "acme/shop"
url = "https://me:{CANARY}-r@host/x.git"

[session]
while_busy = "queue"
"""
GOOD = {"LINEAR_ACCESS_TOKEN": f"{CANARY}-1", "LINEAR_WEBHOOK_SECRET": f"{CANARY}-2", "SESSION_TIMEOUT_MINUTES": "45"}

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing set outside it."""
    monkeypatch.chdir(tmp_path)
    for name in [*catalogue.ALL, "CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("SESSION_", "DRAGOMAN_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "dragoman.toml").write_text(TOML)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in GOOD.items()))
    for file in (".env", "dragoman.toml"):
        (tmp_path / file).chmod(0o600)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    assert folder.is_dir()
    return lambda *arguments: CliRunner().invoke(main, ["config", *arguments], catch_exceptions=False)


BROKEN = f"https://me:pa/{CANARY}@host/x.git"  # an unescaped “/”: an address that cannot be read


@pytest.mark.parametrize(
    "name, value",
    [
        ("LINEAR_API_URL", BROKEN),
        ("OPENCODE_SESSION_API_URL", f"http://opencode:pa#{CANARY}@host:4096"),
        ("SESSION_STORAGE_URL", f"redis://:pa/{CANARY}@host:6379/0"),
        ("SESSION_STORAGE_URL", f"me:{CANARY}@host:6379"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:pa?{CANARY}@host"),
        ("repositories.url", BROKEN),
    ],
)
def test_an_address_that_cannot_be_read_shows_no_password(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    if name == "repositories.url":
        (folder / "dragoman.toml").write_text(f'[[repositories]]\nname = "acme/shop"\nurl = "{value}"\n')
    else:
        monkeypatch.setenv(name, value)
    told = [run(*words) for words in (("check",), ("show",), ("show", "--json"), ("explain", name))]
    told.append(run("explain", name, value))
    assert "host" in told[3].stdout
    assert [one.output for one in told if CANARY in one.output] == []


# ── check ────────────────────────────────────────────────────────────────
def test_check_says_that_all_is_well_and_ends_with_0(run: Run) -> None:
    checked = run("check")
    assert (checked.exit_code, checked.stdout) == (0, "The settings can be used.\n")


def test_check_tells_all_problems_and_doubts_and_ends_with_78(run: Run, folder: Path) -> None:
    (folder / ".env").write_text(f"PORT=x\nLINEAR_ACCESS_TOKEN={CANARY} x\nSESSION_TIMEOUT=1\n")
    checked = run("check")
    assert checked.exit_code == 78
    assert checked.stdout.splitlines()[0] == "3 setting(s) need attention"
    assert f"  - PORT ({folder / '.env'}:1) is no whole number. Example: 3000" in checked.stdout
    assert "did you mean SESSION_TIMEOUT_MINUTES?" in checked.stdout
    assert CANARY not in checked.stdout


def test_check_tells_programs_the_same(run: Run, folder: Path) -> None:
    assert json.loads(run("check", "--json").stdout) == {"usable": True, "problems": [], "doubts": []}
    (folder / ".env").write_text(f"PORT=x\nSESSION_TIMEOUT={CANARY}\n")
    checked = run("check", "--json")
    told = json.loads(checked.stdout)
    assert (checked.exit_code, told["usable"], len(told["problems"]), len(told["doubts"])) == (78, False, 3, 1)


# ── show ─────────────────────────────────────────────────────────────────
def test_show_has_every_setting_with_value_source_and_default_and_no_secret(run: Run, folder: Path) -> None:
    shown = run("show", "--json")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert set(catalogue.ALL) <= set(rows)
    assert rows["SESSION_TIMEOUT_MINUTES"] == {
        "name": "SESSION_TIMEOUT_MINUTES", "value": "45", "source": f"{folder / '.env'}:3", "default": "30", "problem": "",
    }  # fmt: skip
    assert rows["PORT"] == {"name": "PORT", "value": "3000", "source": "default", "default": "3000", "problem": ""}
    assert rows["LINEAR_ACCESS_TOKEN"]["value"] == "(set, hidden)"
    busy = rows["[session] while_busy"]
    assert (busy["value"], busy["source"], busy["default"]) == ('"queue"', f"{folder / 'dragoman.toml'}:6", '"steer"')
    assert rows["[session] heartbeat_s"]["source"] == "default"
    assert rows["[[repositories]] 1 url"]["value"] == '"https://[secret]@host/x.git"'
    assert CANARY not in shown.stdout


def test_show_marks_what_cannot_be_used_and_shows_what_holds_instead(run: Run, folder: Path) -> None:
    (folder / ".env").write_text("PORT=x\n")
    assert re.search(r"^PORT ! +3000 +\S+/\.env:1 +3000$", run("show").stdout, re.MULTILINE)
    [port] = [row for row in json.loads(run("show", "--json").stdout) if row["name"] == "PORT"]
    assert port["problem"] == "is no whole number. Example: 3000"


def test_show_can_leave_out_what_nobody_set(run: Run) -> None:
    names = [line.split("  ")[0] for line in run("show", "--set").stdout.splitlines()[1:]]
    assert names == [
        "LINEAR_ACCESS_TOKEN", "LINEAR_WEBHOOK_SECRET", "SESSION_TIMEOUT_MINUTES",
        "[[repositories]] 1 name", "[[repositories]] 1 url", "[session] while_busy",
    ]  # fmt: skip


# ── explain ──────────────────────────────────────────────────────────────
def test_explain_says_what_a_setting_does_and_how_it_is_set(run: Run, folder: Path) -> None:
    assert run("explain", "session_timeout_minutes").stdout.splitlines() == [
        "SESSION_TIMEOUT_MINUTES",
        "  Without a message or agent activity for this long, and with no ask open, a session ends as `timeout`.",
        "  type     number, in minutes",
        "  default  30",
        "  example  SESSION_TIMEOUT_MINUTES=30",
        f"  changes  {describe.changes(sessions.SESSION_TIMEOUT_MINUTES)}",
        "  value    45",
        f"  source   {folder / '.env'}:3",
        "  means    45 minutes",
    ]


@pytest.mark.parametrize(
    "name, value, means",
    [
        ("SESSION_TIMEOUT_MINUTES", "90", "90 minutes"),
        ("SESSION_TIMEOUT_MINUTES", "0", "it cannot be used: it must lie between 1 and 525600. Example: 30"),
        ("ENABLE_SESSIONS", "no", "off"),
        ("SESSION_ALLOWED_USERS", "a@b.c, d", "2: a@b.c, d"),
        ("SESSION_ALLOWED_USERS", "", "everybody"),
        ("OPENCODE_SESSION_API_URL", "", "one is started and tended"),
        ("OPENCODE_SESSION_API_URL", f"http://o:{CANARY}@localhost:4096", "http://localhost:4096"),
        ("LINEAR_WEBHOOK_SECRET", f"{CANARY}-8,{CANARY}-9", "2 secret(s), hidden"),
        ("LINEAR_ACCESS_TOKEN", f"{CANARY}-8", "(set, hidden)"),
        ("LINEAR_ACCESS_TOKEN", f"{CANARY} x", "it cannot be used: it holds whitespace or invisible characters"),
        ("session.while_busy", "queue", "queue"),
    ],
)
def test_explain_says_what_a_value_would_mean(run: Run, name: str, value: str, means: str) -> None:
    explained = run("explain", name, value, "--json")
    told = json.loads(explained.stdout)
    assert told["means"].startswith(means)
    assert told["source"] == "as given here"
    assert CANARY not in explained.stdout


@pytest.mark.parametrize("name", ["session.while_busy", "[session] while_busy", "session while_busy"])
def test_explain_knows_the_keys_of_the_file(run: Run, folder: Path, name: str) -> None:
    told = json.loads(run("explain", name, "--json").stdout)
    assert told["about"] == "what a message during a run does by default"
    assert (told["kind"], told["default"]) == ("one of 'steer', 'queue'", '"steer"')
    assert (told["value"], told["source"]) == ('"queue"', f"{folder / 'dragoman.toml'}:6")


def test_explain_has_a_sentence_for_every_setting(run: Run) -> None:
    keys = [f"{table.strip('[]')}.{key}" for table, record in RECORDS.items() for key in keys_of(record)]
    for name in [*catalogue.ALL, *keys]:
        told = json.loads(run("explain", name, "--json").stdout)
        assert len(told["about"]) > 10, name
        assert told["kind"], name


def test_explain_suggests_a_name(run: Run) -> None:
    asked = run("explain", "SESSION_TIMEOUT")
    assert asked.exit_code == 2
    assert "'SESSION_TIMEOUT' is no setting; did you mean SESSION_TIMEOUT_MINUTES?" in asked.stderr


# ── the table itself ─────────────────────────────────────────────────────
def test_every_setting_sets_fields_that_exist() -> None:
    fields = {*Settings.__struct_fields__}
    for setting in catalogue.ALL.values():
        assert fields >= set(setting.sets()), setting.name


def test_the_documentation_has_the_table_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    stands = page.partition("<!-- settings -->")[2].partition("<!-- end of settings -->")[0].strip()
    assert stands == describe.markdown().strip(), "write it anew with `dragoman config reference`"
