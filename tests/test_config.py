"""Settings: every name with its default, a good and a bad value; all problems at once; never a secret in a message."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman import config
from dragoman.config.values import INVENTED_TOKEN, INVENTED_URL
from dragoman.core.choosing import PermissionRule
from dragoman.errors import ConfigurationError

CANARY = "canary-5ecr3t-value"
NEEDED = {"LINEAR_ACCESS_TOKEN": "lin_token", "LINEAR_WEBHOOK_SECRET": "a-long-signing-secret"}
TOML = '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dragoman.toml").write_text(TOML)
    return tmp_path


def load(folder: Path, **environment: str) -> config.Settings:
    return config.load({"HOME": str(folder), **NEEDED, **environment}, folder=folder)


def problems(folder: Path, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, **environment)
    return caught.value.problems


# ── values ───────────────────────────────────────────────────────────────
DEFAULTS: dict[str, tuple[str, Any]] = {
    "LINEAR_API_URL": ("linear_api_url", "https://api.linear.app"),
    "LINEAR_CLIENT_ID": ("linear_client_id", ""),
    "LINEAR_CLIENT_SECRET": ("linear_client_secret", ""),
    "OPENCODE_SESSION_API_URL": ("opencode_url", ""),
    "OPENCODE_SESSION_TOKEN": ("opencode_token", ""),
    "OPENCODE_MODEL": ("opencode_model", ""),
    "OPENCODE_AGENT": ("opencode_agent", "build"),
    "OPENCODE_BIN": ("opencode_bin", ""),
    "OPENCODE_CONFIG": ("opencode_config", ""),
    "MAX_CONCURRENT_SESSIONS": ("max_concurrent_sessions", 100),
    "SESSION_MAX_PER_ISSUE_HOUR": ("max_per_issue_hour", 20),
    "HOST": ("host", "127.0.0.1"),
    "PORT": ("port", 3000),
    "PUBLIC_URL": ("public_url", ""),
    "DRAGOMAN_OPERATOR_KEY": ("operator_key", ""),
    "LOG_LEVEL": ("log_level", "info"),
    "DRAGOMAN_SANDBOX": ("sandbox", "auto"),
    "LINEAR_AGENT_NAME": ("agent_name", "OpenCode"),
    "LINEAR_AGENT_MODE": ("agent_mode", "agent"),
    "DEBUG_LINEAR_WEBHOOKS": ("debug_linear_webhooks", False),
    "ENABLE_SESSIONS": ("enable_sessions", True),
    "ENABLE_SESSION_PERSISTENCE": ("enable_session_persistence", True),
    "ENABLE_SESSION_STREAMING": ("enable_session_streaming", True),
    "ENABLE_SESSION_MANAGEMENT": ("enable_session_management", True),
    "SESSION_TIMEOUT_MINUTES": ("session_timeout_minutes", 30),
    "SESSION_MAX_MESSAGES": ("session_max_messages", 50),
    "SESSION_CLEANUP_INTERVAL_MINUTES": ("session_cleanup_interval_minutes", 5),
    "SESSION_CACHE_SIZE": ("session_cache_size", 1000),
    "SESSION_REQUIRE_AUTH": ("session_require_auth", False),
    "SESSION_ALLOWED_USERS": ("session_allowed_users", ()),
    "SESSION_ALLOWED_TEAMS": ("session_allowed_teams", ()),
}


@pytest.mark.parametrize("given", ["absent", "", "  \t "])
@pytest.mark.parametrize("name", DEFAULTS)
def test_a_name_that_is_absent_empty_or_blank_has_its_default(folder: Path, name: str, given: str) -> None:
    field, default = DEFAULTS[name]
    settings = load(folder, **({} if given == "absent" else {name: given}))
    assert getattr(settings, field) == default


@pytest.mark.parametrize(
    "name, value, field, expected",
    [
        ("LINEAR_API_URL", " http://127.0.0.1:4000/ ", "linear_api_url", "http://127.0.0.1:4000"),
        ("LINEAR_ACCESS_TOKEN", "lin_other", "linear_access_token", "lin_other"),
        ("LINEAR_WEBHOOK_SECRET", "one, two ,", "webhook_secrets", ("one", "two")),
        ("OPENCODE_SESSION_API_URL", "http://127.0.0.1:4096/", "opencode_url", "http://127.0.0.1:4096"),
        ("OPENCODE_SESSION_API_URL", "http://opencode:pw@127.0.0.1:4096", "opencode_url", "http://127.0.0.1:4096"),
        ("OPENCODE_SESSION_API_URL", "http://opencode:p%40w@127.0.0.1:4096", "opencode_token", "p@w"),
        ("OPENCODE_SESSION_TOKEN", "pass-word", "opencode_token", "pass-word"),
        ("OPENCODE_MODEL", "openrouter/meta/llama", "opencode_model", "openrouter/meta/llama"),
        ("MAX_CONCURRENT_SESSIONS", "7", "max_concurrent_sessions", 7),
        ("SESSION_MAX_PER_ISSUE_HOUR", "0", "max_per_issue_hour", 0),
        ("PORT", "0", "port", 0),
        ("PUBLIC_URL", "https://dragoman.example.com/", "public_url", "https://dragoman.example.com"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("DRAGOMAN_SANDBOX", "off", "sandbox", "off"),
        ("SESSION_STORAGE_URL", "memory://", "ledger_url", "memory://"),
        ("SESSION_STORAGE_URL", "sqlite:////var/x.db", "ledger_url", "sqlite:////var/x.db"),
        ("SESSION_STORAGE_URL", "redis://localhost:6379", "projection_url", "redis://localhost:6379"),
        ("SESSION_STORAGE_URL", "rediss://h/2", "projection_url", "rediss://h/2"),
        ("LEDGER_URL", "sqlite:////var/x.db", "ledger_url", "sqlite:////var/x.db"),
        ("ENABLE_SESSIONS", "FALSE", "enable_sessions", False),
        ("ENABLE_SESSION_STREAMING", "0", "enable_session_streaming", False),
        ("ENABLE_SESSION_MANAGEMENT", "no", "enable_session_management", False),
        ("ENABLE_SESSION_PERSISTENCE", "off", "ledger_url", "memory://"),
        ("DEBUG_LINEAR_WEBHOOKS", "1", "debug_linear_webhooks", True),
        ("SESSION_TIMEOUT_MINUTES", "45", "session_timeout_minutes", 45),
        ("SESSION_MAX_MESSAGES", "1", "session_max_messages", 1),
        ("SESSION_CLEANUP_INTERVAL_MINUTES", "60", "session_cleanup_interval_minutes", 60),
        ("SESSION_CACHE_SIZE", "0", "session_cache_size", 0),
        ("SESSION_REQUIRE_AUTH", "True", "session_require_auth", True),
        ("SESSION_ALLOWED_USERS", " a@b.c, u-1 ,,a@b.c", "session_allowed_users", ("a@b.c", "u-1")),
        ("SESSION_ALLOWED_TEAMS", "ENG,OPS", "session_allowed_teams", ("ENG", "OPS")),
        ("LINEAR_AGENT_MODE", "Comment", "agent_mode", "comment"),
        ("LINEAR_AGENT_NAME", "Ada #1 # really", "agent_name", "Ada #1 # really"),
    ],
)
def test_a_good_value_is_taken(folder: Path, name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load(folder, **{name: value}), field) == expected


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("LINEAR_API_URL", "api.linear.app", "is no http or https URL. Example: https://api.linear.app"),
        ("LINEAR_API_URL", "ftp://api.linear.app", "is no http or https URL"),
        ("LINEAR_API_URL", "http://host:pass/word@x", "is no http or https URL"),
        (
            "LINEAR_API_URL",
            f"https://me:{CANARY}@api.linear.app",
            "holds credentials; tokens have settings of their own",
        ),
        ("LINEAR_ACCESS_TOKEN", f"{CANARY} {CANARY}", "holds whitespace or invisible characters"),
        ("LINEAR_WEBHOOK_SECRET", f"{CANARY} # the old one", "looks as if it still carried a comment"),
        ("OPENCODE_SESSION_TOKEN", f"{CANARY}\nX-Other: 1", "holds whitespace or invisible characters"),
        ("OPENCODE_SESSION_API_URL", INVENTED_URL, "is an address that never existed. Leave it empty, and an OpenCode"),
        ("OPENCODE_SESSION_API_URL", "127.0.0.1:4096", "is no http or https URL. Example: http://127.0.0.1:4096"),
        ("OPENCODE_SESSION_API_URL", f"http://h/?token={CANARY}", "must be a bare address"),
        ("OPENCODE_MODEL", "claude", "must be provider/model. Example: anthropic/"),
        ("OPENCODE_MODEL", "anthropic/", "must be provider/model"),
        ("OPENCODE_BIN", "/nowhere/opencode", "names no file. Example: /usr/local/bin/opencode"),
        ("OPENCODE_CONFIG", "/nowhere/opencode.json", "names no file. Example: /etc/dragoman/opencode.json"),
        ("MAX_CONCURRENT_SESSIONS", "0", "must lie between 1 and 1000000. Example: 100"),
        ("MAX_CONCURRENT_SESSIONS", "many", "is no whole number. Example: 100"),
        ("MAX_CONCURRENT_SESSIONS", "1_0", "is no whole number"),
        ("MAX_CONCURRENT_SESSIONS", "9" * 5000, "is no whole number"),
        ("MAX_CONCURRENT_SESSIONS", "100 # most at a time", "looks as if it still carried a comment (“ #”)"),
        ("SESSION_MAX_PER_ISSUE_HOUR", "-1", "must lie between 0 (no cap) and 1000000. Example: 20"),
        ("DRAGOMAN_OPERATOR_KEY", "short", "is shorter than 16 characters, which can be guessed. Leave it empty"),
        ("PORT", "65536", "must lie between 0 and 65535. Example: 3000"),
        ("PUBLIC_URL", "dragoman.example.com", "is no http or https URL"),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
        ("DRAGOMAN_SANDBOX", "maybe", "must be one of auto, off"),
        ("SESSION_STORAGE_URL", f"redis://:{CANARY}@localhost:6379/x", "is no address of a Redis: host, port, and the"),
        ("SESSION_STORAGE_URL", "redis://", "is no address of a Redis"),
        ("LEDGER_URL", f"redis://:{CANARY}@localhost", "names a redis server, which cannot be the ledger"),
        ("OPENCODE_SESSION_TOKEN", INVENTED_TOKEN, "still holds the placeholder of an example. Put the password that"),
        ("ENABLE_SESSIONS", "perhaps", "must be true or false. Example: true"),
        ("SESSION_TIMEOUT_MINUTES", "0", "must lie between 1 and 525600. Example: 30"),
        ("SESSION_MAX_MESSAGES", "fifty", "is no whole number. Example: 50"),
        ("LINEAR_AGENT_MODE", "bot", "must be one of agent, comment"),
        ("SESSION_STORAGE_URL", "postgresql://localhost/x", "names a postgresql server"),
        (
            "SESSION_STORAGE_URL",
            "mysql://h/d",
            "must be sqlite:/// and a file, or memory:// (redis:// or rediss:// for a copy beside the ledger)",
        ),
        ("LEDGER_URL", "mysql://h/d", "must be sqlite:/// and a file, or memory://. Example"),
        ("SESSION_STORAGE_URL", "sqlite://x.db", "must be sqlite:/// and a file, or memory://"),
        ("SESSION_STORAGE_URL", "sqlite:///", "must be sqlite:/// and a file"),
        ("SESSION_STORAGE_URL", "memory://x", "must be sqlite:/// and a file"),
        ("SESSION_STORAGE_URL", "sqlite:////tmp", "names a folder, not a file"),
        ("DRAGOMAN_CONFIG", "/nowhere.toml", "names /nowhere.toml, which is no file. Example: /etc/dragoman.toml"),
        (
            "DRAGOMAN_CONFIG",
            "/~nobody-here/x.toml",
            "names /~nobody-here/x.toml, which is no file. Example: /etc/dragoman.toml",
        ),
        ("DRAGOMAN_CONFIG", f"/{'x' * 5000}", f"names /{'x' * 5000}, which is no file. Example: /etc/dragoman.toml"),
        (
            "DRAGOMAN_DATA_DIR",
            "~nobody-here/data",
            "begins with ~ and leads to no home folder. Write the whole path. Exam",
        ),
        ("OPENCODE_BIN", "x" * 5000, "names no file. Example: /usr/local/bin/opencode"),
        ("OPENCODE_BIN", "~nobody-here/opencode", "begins with ~ and leads to no home folder"),
        ("DRAGOMAN_SECRETS_DIR", "~nobody-here/secrets", "begins with ~ and leads to no home folder"),
    ],
)
def test_a_bad_value_is_told_with_its_name_and_place_and_without_itself(
    folder: Path, name: str, value: str, says: str
) -> None:
    [told] = [problem for problem in problems(folder, **{name: value}) if problem.startswith(name)][:1]
    assert told.startswith(f"{name} (the environment) {says}")
    assert CANARY not in told


@pytest.mark.parametrize("name", ["DRAGOMAN_CONFIG", "DRAGOMAN_SECRETS_DIR"])
@pytest.mark.parametrize("path", ["~nobody-here/x", "x" * 5000])
def test_a_path_that_cannot_be_one_is_told_and_breaks_nothing(folder: Path, name: str, path: str) -> None:
    [told] = problems(folder, **{name: path})
    assert told.startswith(name)
    assert "Example: /" in told


def test_a_file_of_another_kind_is_told_with_what_would_do(folder: Path) -> None:
    text = folder / "notes.txt"
    text.write_text("notes")
    text.chmod(0o644)
    told = sorted(problems(folder, OPENCODE_BIN=str(text), OPENCODE_CONFIG=str(text)))
    assert told[0].startswith("OPENCODE_BIN (the environment) names a file that may not be run: `chmod +x` lets it.")
    assert told[1].startswith(f"OPENCODE_CONFIG (the environment) names {text}, which cannot be read: ")
    assert len(told) == 2


def test_a_repository_at_a_path_that_cannot_be_one_is_told_with_its_line(folder: Path) -> None:
    (folder / "dragoman.toml").write_text('[[repositories]]\nname = "acme/shop"\nurl = "~nobody-here/shop"\n')
    [told] = problems(folder)
    assert told.startswith(f"{folder / 'dragoman.toml'}:")
    assert "the url is no path that can be read" in told


def test_a_user_without_a_home_folder_is_asked_for_the_data_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    [told] = problems(folder)
    assert told.startswith("DRAGOMAN_DATA_DIR (not set) is needed")
    assert load(folder, DRAGOMAN_DATA_DIR="/data").data_dir == Path("/data")


@pytest.mark.parametrize("secret", ["", "   ", ",", " , ,"])
def test_an_empty_webhook_secret_is_refused(folder: Path, secret: str) -> None:
    [told] = problems(folder, LINEAR_WEBHOOK_SECRET=secret)
    assert told.startswith("LINEAR_WEBHOOK_SECRET (the environment) holds no secret")


def test_either_a_token_or_both_client_credentials_are_needed(folder: Path) -> None:
    [told] = problems(folder, LINEAR_ACCESS_TOKEN="", LINEAR_CLIENT_ID="only-one")
    assert told.startswith("LINEAR_ACCESS_TOKEN")
    assert "LINEAR_CLIENT_SECRET are not both set" in told
    both = load(folder, LINEAR_ACCESS_TOKEN="", LINEAR_CLIENT_ID="id", LINEAR_CLIENT_SECRET=CANARY)
    assert both.linear_client_secret == CANARY


def test_all_problems_are_told_at_once(folder: Path) -> None:
    (folder / "dragoman.toml").write_text('[[repositories]]\nname = "a/b"\n')
    told = problems(
        folder, PORT="x", LOG_LEVEL="x", LINEAR_WEBHOOK_SECRET="", MAX_CONCURRENT_SESSIONS="-2", OPENCODE_MODEL="x"
    )
    for name in ("PORT", "LOG_LEVEL", "LINEAR_WEBHOOK_SECRET", "MAX_CONCURRENT_SESSIONS", "OPENCODE_MODEL", "`url`"):
        assert any(name in problem for problem in told), name


# ── places ───────────────────────────────────────────────────────────────
def test_a_relative_ledger_counts_from_the_folder_and_four_slashes_are_absolute(folder: Path) -> None:
    assert load(folder, SESSION_STORAGE_URL="sqlite:///data/x.db").ledger_url == f"sqlite:///{folder}/data/x.db"
    assert load(folder, SESSION_STORAGE_URL=f"sqlite:///{folder}/y.db").ledger_url == f"sqlite:///{folder}/y.db"


def test_the_ledger_lies_in_the_data_folder_by_default(folder: Path) -> None:
    assert load(folder, DRAGOMAN_DATA_DIR="rooms").ledger_url == f"sqlite:///{folder}/rooms/dragoman.db"
    shared = load(folder, XDG_DATA_HOME="/var/share")
    assert shared.data_dir == Path("/var/share/dragoman")


def test_with_redis_the_ledger_is_ledger_url_or_lies_in_the_data_folder(folder: Path) -> None:
    redis = {"SESSION_STORAGE_URL": "redis://localhost:6379", "DRAGOMAN_DATA_DIR": "/var/d"}
    assert load(folder, **redis).ledger_url == "sqlite:////var/d/dragoman.db"
    both = load(folder, **redis, LEDGER_URL="sqlite:////var/x.db")
    assert (both.ledger_url, both.projection_url) == ("sqlite:////var/x.db", "redis://localhost:6379")


def test_two_different_ledgers_are_an_error_and_the_same_one_twice_is_none(folder: Path) -> None:
    [told] = problems(folder, SESSION_STORAGE_URL="sqlite:////var/x.db", LEDGER_URL="memory://")
    assert told.startswith(
        "LEDGER_URL (the environment) names another ledger than SESSION_STORAGE_URL (the environment)"
    )
    same = {"SESSION_STORAGE_URL": "sqlite:////var/x.db", "LEDGER_URL": "sqlite:////var/x.db"}
    assert load(folder, **same).ledger_url == "sqlite:////var/x.db"


def test_without_persistence_nothing_is_kept_whatever_the_urls_say(folder: Path) -> None:
    off = {"ENABLE_SESSION_PERSISTENCE": "false", "SESSION_STORAGE_URL": "redis://x", "LEDGER_URL": "sqlite:////x.db"}
    settings = load(folder, **off)
    assert (settings.ledger_url, settings.projection_url) == ("memory://", "")


def test_a_verb_that_only_looks_needs_no_secret_of_linear(folder: Path) -> None:
    place = config.load_ledger_place(
        {"DRAGOMAN_DATA_DIR": "/var/d", "LINEAR_WEBHOOK_SECRET": f"a-secret,{CANARY}"}, folder=folder
    )
    assert place.url == "sqlite:////var/d/dragoman.db"
    assert place.secrets == ("a-secret", CANARY)
    assert CANARY not in repr(place)
    with pytest.raises(ConfigurationError, match="SESSION_STORAGE_URL"):
        config.load_ledger_place({"SESSION_STORAGE_URL": "postgresql://x"}, folder=folder)


# ── .env ─────────────────────────────────────────────────────────────────
def test_dotenv_fills_in_what_the_environment_does_not_say(folder: Path) -> None:
    (folder / ".env").write_text(
        "\ufeff# ours\nexport PORT=4000 # not 3000\nHOST='0.0.0.0' # everywhere\n"
        'OPENCODE_AGENT="plan # b"\nLOG_LEVEL=debug\nOPENCODE_MODEL=# none\nnonsense\n',
        encoding="utf-8",
    )
    settings = load(folder, LOG_LEVEL="warning")
    assert (settings.port, settings.host, settings.log_level) == (4000, "0.0.0.0", "warning")
    assert (settings.opencode_agent, settings.opencode_model) == ("plan # b", "")


def test_a_problem_in_dotenv_names_its_line(folder: Path) -> None:
    (folder / ".env").write_text("# one\n\nPORT=x\n")
    [told] = problems(folder)
    assert told.startswith(f"PORT ({folder / '.env'}:3) is no whole number")


def test_a_dotenv_that_is_no_text_is_told(folder: Path) -> None:
    (folder / ".env").write_bytes(b"PORT=\xff\xfe")
    assert any(".env cannot be read" in problem for problem in problems(folder))


# ── a secrets folder ─────────────────────────────────────────────────────
def test_a_folder_holds_one_file_a_name_and_stands_between_environment_and_dotenv(folder: Path) -> None:
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "LINEAR_ACCESS_TOKEN").write_text(f"{CANARY}\n")
    (secrets / "SESSION_TIMEOUT_MINUTES").write_text("45\n")
    (secrets / "PORT").write_text("4001")
    (secrets / "of-others").write_bytes(b"\xff")
    (folder / ".env").write_text("SESSION_TIMEOUT_MINUTES=7\nDRAGOMAN_SECRETS_DIR=secrets\n")
    settings = config.load({"HOME": str(folder), "LINEAR_WEBHOOK_SECRET": "wh", "PORT": "5000"}, folder=folder)
    assert (settings.linear_access_token, settings.session_timeout_minutes, settings.port) == (CANARY, 45, 5000)
    assert settings.secret_folders == (secrets,)


def test_systemd_credentials_are_read_and_ours_win(folder: Path) -> None:
    for name, text in (("ours", "21"), ("theirs", "22")):
        (folder / name).mkdir()
        (folder / name / "SESSION_CACHE_SIZE").write_text(text)
    theirs = {"CREDENTIALS_DIRECTORY": str(folder / "theirs")}
    assert load(folder, **theirs).session_cache_size == 22
    assert load(folder, **theirs, DRAGOMAN_SECRETS_DIR=str(folder / "ours")).session_cache_size == 21


def test_a_problem_in_a_folder_names_the_file(folder: Path) -> None:
    (folder / "s").mkdir()
    (folder / "s" / "PORT").write_text("3000 # as always\n")
    (folder / "s" / "SESSION_TIMEOUT").write_text("1")
    (folder / "s" / "LINEAR_CLIENT_ID").write_bytes(b"\xff")
    told = problems(folder, DRAGOMAN_SECRETS_DIR="s")
    assert f"PORT ({folder / 's' / 'PORT'}) looks as if it still carried a comment" in "\n".join(told)
    assert any(problem.startswith(f"{folder / 's' / 'LINEAR_CLIENT_ID'} cannot be read") for problem in told)
    [missing] = problems(folder, DRAGOMAN_SECRETS_DIR="nowhere")
    assert missing.startswith(
        f"DRAGOMAN_SECRETS_DIR (the environment) names {folder / 'nowhere'}, which cannot be read"
    )


# ── the TOML file ────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "toml, says",
    [
        ("[[repositories]\n", "cannot be read as TOML"),
        ("a = \n", "line 1"),
        (TOML + '[sesion]\nwhile_busy = "queue"\n', ":4: 'sesion' is no setting; did you mean 'session'?"),
        (TOML + '[session]\nwhile_bussy = "queue"\n', "[session] 'while_bussy' is no setting; did you mean 'while_busy'?"),
        (TOML + '[session]\nwhile_busy = "maybe"\n', "[session] while_busy must be one of steer, queue. Example"),
        (TOML + "[session]\nheartbeat_s = -1\n", "[session] heartbeat_s must be greater than 0. Example: heartbeat_s = 600"),
        (TOML + "[session]\nstop_s = nan\n", "[session] stop_s must be greater than 0"),
        (TOML + "[session]\npatience_s = inf\n", "[session] patience_s must be greater than 0"),
        (TOML + "zzz = 3\n", "[[repositories]] 1 'zzz' is no setting; known are name, url"),
        ("session = 3\n" + TOML, "[session] must be a table"),
        (TOML + "[session]\nheartbeat_s = 'ten'\n", "at `$.heartbeat_s`. Example: heartbeat_s = 600"),
        (TOML + "[session]\nwhile_busy = 3\n", 'at `$.while_busy`. Example: while_busy = "steer"'),
        (TOML + "default = 'yes'\n", "at `$.default`. Example: default = false"),
        (TOML + "branch = 'x'\n", "[[repositories]] 1 'branch' is no setting; did you mean 'base_branch'?"),
        (TOML + "type = 'x'\n", "'type' is no setting"),
        ('[[repositories]]\nname = "a/b"\n', "missing required field `url`"),
        ("repositories = 'x'\n", "`repositories` must be written [[repositories]]"),
        ("", "No repository is configured. Example: [[repositories]]"),
        (TOML + "template = 'none'\n", "[[repositories]] 1 template 'none' stands in no [[templates]]; known are none"),
        (TOML + "permissions = { bash = 'maybe' }\n", "[[repositories]] 1 permissions 'bash' must be allow, ask or deny"),
        (TOML + "[routing]\nlabel_bak = true\n", "[routing] 'label_bak' is no setting; did you mean 'label_back'?"),
        (TOML + "[opencode]\npass_env = 'KEY'\n", "[opencode] pass_env: Expected `array`, got `str`. Example: [opencode]"),
        (TOML + "[opencode]\npas_env = []\n", "[opencode] 'pas_env' is no setting; did you mean 'pass_env'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_with_its_name(folder: Path, toml: str, says: str) -> None:
    path = folder / "dragoman.toml"
    path.write_text(toml)
    told = problems(folder)
    assert all(problem.startswith(str(path)) for problem in told)
    assert any(says in problem for problem in told), told


def test_several_repositories_need_no_default_and_say_what_belongs_to_them(folder: Path) -> None:
    till = '[[repositories]]\nname = "acme/till"\nurl = "https://git.example.org/acme/till.git"\nteams = ["OPS"]\n'
    more = 'model = "a/b"\npermissions = { bash = { "rm *" = "deny" } }\n[routing]\nlabel_back = true\n'
    (folder / "dragoman.toml").write_text(TOML + till + more)
    routing = load(folder).rules.routing
    assert routing.label_back
    shop, till_place = routing.places
    assert (till_place.name, till_place.host, till_place.teams) == ("acme/till", "git.example.org", ("OPS",))
    assert till_place.permissions == (PermissionRule(permission="bash", pattern="rm *", action="deny"),)
    assert not shop.default


def test_the_file_may_tune_the_rules_and_pass_on_names(folder: Path) -> None:
    (folder / "dragoman.toml").write_text(
        TOML + '[session]\nwhile_busy = "queue"\nheartbeat_s = 60\nresumes = 0\n[opencode]\npass_env = ["KEY"]\n'
    )
    settings = load(folder)
    assert (settings.rules.while_busy, settings.rules.heartbeat_s, settings.rules.resumes) == ("queue", 60.0, 0)
    assert settings.pass_env == ("KEY",)


@pytest.mark.parametrize("days, doubted", [(0, False), (7, True), (8, False), (365, False)])
def test_words_may_be_kept_for_days_only_but_it_is_told_that_keys_stay(folder: Path, days: int, doubted: bool) -> None:
    (folder / "dragoman.toml").write_text(f"{TOML}\n[session]\nretention_days = {days}\n")
    settings = load(folder)
    assert settings.rules.retention_days == days
    told = [doubt for doubt in settings.doubts if "retention_days = 7 is less than 8" in doubt]
    assert len(told) == doubted


def test_a_local_repository_counts_from_the_file_that_names_it(folder: Path) -> None:
    (folder / "etc").mkdir()
    (folder / "code").mkdir()
    (folder / "etc" / "d.toml").write_text('[[repositories]]\nname = "a/b"\nurl = "../code"\n')
    [repository] = load(folder, DRAGOMAN_CONFIG="etc/d.toml").repositories
    assert repository.url == str(folder / "code")


def test_without_a_file_it_says_where_repositories_are_named(tmp_path: Path) -> None:
    [told] = problems(tmp_path)
    assert told.startswith(f"No repository is configured. Add to {tmp_path / 'dragoman.toml'}")


def test_the_example_of_a_repository_can_be_written_down_as_it_is_told(tmp_path: Path) -> None:
    [told] = problems(tmp_path)
    example = told.partition("[[repositories]]")
    (tmp_path / "dragoman.toml").write_text("".join(example[1:]).replace(" ⏎ ", "\n"))
    assert [repository.name for repository in load(tmp_path).repositories] == ["acme/shop"]


# ── secrets and doubts ───────────────────────────────────────────────────
def test_no_secret_shows_in_what_health_tells_or_in_a_repr(folder: Path) -> None:
    (folder / "dragoman.toml").write_text(f'[[repositories]]\nname = "a/b"\nurl = "https://me:{CANARY}-r@host/x.git"\n')
    settings = load(
        folder,
        LINEAR_ACCESS_TOKEN=f"{CANARY}-1",
        LINEAR_CLIENT_SECRET=f"{CANARY}-2",
        LINEAR_WEBHOOK_SECRET=f"{CANARY}-3,{CANARY}-4",
        OPENCODE_SESSION_API_URL=f"http://opencode:{CANARY}-5@127.0.0.1:4096",
    )
    assert set(settings.secrets()) == {f"{CANARY}-{n}" for n in "12345r"}
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings.shown())


@pytest.mark.parametrize(
    "url, secrets",
    [
        ("https://bot:p%40ss%2Fword@host/x.git", {"p%40ss%2Fword", "p@ss/word"}),
        ("https://ghp_canary:x-oauth-basic@host/x.git", {"ghp_canary"}),
        ("https://ghp_canary:@host/x.git", {"ghp_canary"}),
        ("https://ghp%5Fcanary@host/x.git", {"ghp%5Fcanary", "ghp_canary"}),
        ("ssh://git@host/x.git", set()),
    ],
)
def test_a_credential_in_the_url_of_a_repository_is_a_secret_as_it_is_written_and_as_it_is_meant(
    folder: Path, url: str, secrets: set[str]
) -> None:
    (folder / "dragoman.toml").write_text(f'[[repositories]]\nname = "a/b"\nurl = "{url}"\n')
    assert set(load(folder).secrets()) == {*NEEDED.values(), *secrets}
    assert secrets <= set(config.load_ledger_place({}, folder=folder).secrets)


def test_secrets_that_others_read_of_our_environment_are_known(folder: Path) -> None:
    (folder / "dragoman.toml").write_text(
        '[[repositories]]\nname = "a/b"\nurl = "/x"\n[opencode]\npass_env = ["SOME_API_KEY", "SOME_REGION"]\n'
    )
    options = {
        "apiKey": f"{CANARY}-1",
        "headers": {"X-Any": f"Token {CANARY}-2"},
        "baseURL": "http://plain",
        "token": "{env:X}",
    }
    (folder / "o.json").write_text(
        json.dumps({"provider": {"p": {"options": options}}, "mcp": [{"secret": f"{CANARY}-3"}]})
    )
    environment = {
        "OPENCODE_CONFIG": "o.json",
        "HTTPS_PROXY": f"http://me:{CANARY}%2F4@proxy:1",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-plain=a,authorization=Bearer%20{CANARY}-5",
        "SOME_API_KEY": f"{CANARY}-6",
        "SOME_REGION": "europe-west",
        "OTHER_API_KEY": "not-passed-on",
    }
    found = {
        *(f"{CANARY}-1", f"Token {CANARY}-2", f"{CANARY}-2", f"{CANARY}-3", f"{CANARY}%2F4", f"{CANARY}/4"),
        *("a", f"Bearer {CANARY}-5", f"{CANARY}-5", f"{CANARY}-6"),
    }
    assert set(load(folder, **environment).beside) == found
    assert found <= set(config.load_ledger_place(environment, folder=folder).secrets)


def test_a_name_that_looks_mistyped_is_doubted_and_no_error(folder: Path) -> None:
    settings = load(
        folder,
        SESSION_MAX_PER_ISSUE_HOURS="3",
        DRAGOMAN_DATADIR="/x",
        LINEAR_API_KEY=CANARY,
        OPENCODE_SESSION_API_UR="x",
        ENABLE_SESSION_STREAMIN="1",
        SESSION_WHATEVER="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
        LINEAR_SOMETHING_ELSE="1",
        SESSION_MANAGER="local/x",
        DRAGOMAN_CONFG="",
    )
    assert settings.doubts == (
        "DRAGOMAN_DATADIR (the environment) is no setting of ours; did you mean DRAGOMAN_DATA_DIR?",
        "ENABLE_SESSION_STREAMIN (the environment) is no setting of ours; did you mean ENABLE_SESSION_STREAMING?",
        "LINEAR_API_KEY (the environment) is no setting of ours; did you mean LINEAR_ACCESS_TOKEN?",
        "OPENCODE_SESSION_API_UR (the environment) is no setting of ours; did you mean OPENCODE_SESSION_API_URL?",
        "SESSION_MAX_PER_ISSUE_HOURS (the environment) is no setting of ours; did you mean SESSION_MAX_PER_ISSUE_HOUR?",
        "SESSION_WHATEVER (the environment) is no setting of ours",
    )


def test_the_command_ends_with_78_and_lists_every_problem(folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": "x", "LINEAR_CLIENT_SECRET": CANARY}
    ended = subprocess.run(
        [sys.executable, "-c", "from dragoman.cli import main; main()", "serve"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "3 setting(s) need attention" in ended.stderr
    for name in ("PORT", "LINEAR_WEBHOOK_SECRET", "LINEAR_ACCESS_TOKEN"):
        assert f"  - {name} (" in ended.stderr
    assert CANARY not in ended.stderr + ended.stdout
