"""The block of settings with comments behind the values, as examples are written: from `.env`, and from an environment
into which something copied the comments, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragoman import config
from dragoman.config import catalogue
from dragoman.config.sources import Sources
from dragoman.config.values import INVENTED_TOKEN, INVENTED_URL

SHARED = Path(os.environ.get("DRAGOMAN_SHARED") or Path(__file__).parents[3] / "shared") / "seed"
NEEDED = {"LINEAR_ACCESS_TOKEN": "lin_token", "LINEAR_WEBHOOK_SECRET": "a-long-signing-secret"}
TOML = '[[repositories]]\nname = "acme/shop"\nurl = "https://github.com/acme/shop.git"\n'

BLOCK = """\
# Sessions
ENABLE_SESSIONS=false                 # simple answers for a while
SESSION_TIMEOUT_MINUTES=45            # in minutes
SESSION_MAX_MESSAGES=12               # then a summary
SESSION_CLEANUP_INTERVAL_MINUTES=7    # how often

# OpenCode
OPENCODE_SESSION_API_URL=http://127.0.0.1:4096
OPENCODE_SESSION_TOKEN=the-password-of-it

# Where
SESSION_STORAGE_URL=redis://localhost:6379
ENABLE_SESSION_PERSISTENCE=true

ENABLE_SESSION_STREAMING=false        # Enable streaming
ENABLE_SESSION_MANAGEMENT=false       # Enable management
MAX_CONCURRENT_SESSIONS=3             # at a time
SESSION_CACHE_SIZE=10                 # in memory

# Who
SESSION_REQUIRE_AUTH=true             # no automations
SESSION_ALLOWED_USERS=                # (comma-separated)
SESSION_ALLOWED_TEAMS=ENG, OPS        # (comma-separated)
DEBUG_LINEAR_WEBHOOKS=true
LOG_LEVEL=debug
"""

SEED = {
    "ENABLE_SESSIONS": True,
    "SESSION_TIMEOUT_MINUTES": 30,
    "SESSION_MAX_MESSAGES": 50,
    "SESSION_CLEANUP_INTERVAL_MINUTES": 5,
    "SESSION_STORAGE_URL": "redis://localhost:6379",
    "ENABLE_SESSION_PERSISTENCE": True,
    "ENABLE_SESSION_STREAMING": True,
    "ENABLE_SESSION_MANAGEMENT": True,
    "MAX_CONCURRENT_SESSIONS": 100,
    "SESSION_CACHE_SIZE": 1000,
    "SESSION_REQUIRE_AUTH": False,
    "SESSION_ALLOWED_USERS": (),
    "SESSION_ALLOWED_TEAMS": (),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dragoman.toml").write_text(TOML)
    return tmp_path


def settings_of(folder: Path, block: str) -> config.Examined:
    (folder / ".env").write_text(block)
    (folder / ".env").chmod(0o600)
    return config.examine({"HOME": str(folder), **NEEDED}, folder=folder)


def test_a_block_with_comments_behind_the_values_is_read_value_by_value(folder: Path) -> None:
    examined = settings_of(folder, BLOCK)
    assert examined.problems == ()
    settings = examined.settings
    assert (settings.enable_sessions, settings.session_timeout_minutes, settings.session_max_messages) == (
        False,
        45,
        12,
    )
    assert (settings.session_cleanup_interval_minutes, settings.session_cache_size) == (7, 10)
    assert (settings.opencode_url, settings.opencode_token) == ("http://127.0.0.1:4096", "the-password-of-it")
    assert (settings.projection_url, settings.enable_session_persistence) == ("redis://localhost:6379", True)
    assert settings.ledger_url.startswith("sqlite:///")
    assert (settings.enable_session_streaming, settings.enable_session_management) == (False, False)
    assert settings.max_concurrent_sessions == 3
    assert (settings.session_require_auth, settings.session_allowed_users) == (True, ())
    assert settings.session_allowed_teams == ("ENG", "OPS")
    assert (settings.debug_linear_webhooks, settings.log_level) == (True, "debug")


def test_the_same_block_in_an_environment_with_its_comments_is_explained_name_by_name(folder: Path) -> None:
    # What `docker run --env-file` and systemd's EnvironmentFile= make of it.
    lines = (line.partition("=") for line in BLOCK.splitlines() if line and not line.startswith("#"))
    environment = {name: value for name, _, value in lines}
    examined = config.examine({"HOME": str(folder), **NEEDED, **environment}, folder=folder)
    commented = {name for name, value in environment.items() if "#" in value}
    assert {problem.split(" ")[0] for problem in examined.problems} == commented
    for problem in examined.problems:
        name = problem.split(" ")[0]
        assert "looks as if it still carried a comment (“ #”): `docker --env-file`" in problem
        assert problem.endswith(f"Example: {name}={catalogue.ALL[name].example}")


def test_a_comment_after_a_quoted_value_or_without_a_blank_is_explained_too(folder: Path) -> None:
    examined = settings_of(folder, 'SESSION_TIMEOUT_MINUTES="30 # minutes"\nSESSION_CACHE_SIZE=10#many\n')
    assert [problem.split(" ")[0] for problem in examined.problems] == ["SESSION_TIMEOUT_MINUTES", "SESSION_CACHE_SIZE"]
    assert all("still carried a comment" in problem for problem in examined.problems)


@pytest.mark.needs_shared
def test_the_seed_is_read_with_all_its_values_and_its_two_inventions_are_told(folder: Path) -> None:
    block = (SHARED / "seed.env").read_text()
    page = (SHARED / "opencode-sessions.md").read_text()
    assert block.strip() in page
    debug = page.partition("### Debug Mode")[2].partition("```bash")[2].partition("```")[0]
    examined = settings_of(folder, block + debug)
    read = {name: examined.sources.read(catalogue.ALL[name]) for name in SEED}
    assert read == SEED
    settings = examined.settings
    assert (settings.debug_linear_webhooks, settings.log_level) == (True, "debug")
    given = {name for name in catalogue.ALL if examined.sources.file_of(name)}
    assert len(given) == 17
    assert given == {*SEED, "OPENCODE_SESSION_API_URL", "OPENCODE_SESSION_TOKEN", "DEBUG_LINEAR_WEBHOOKS", "LOG_LEVEL"}
    assert examined.sources.raw("OPENCODE_SESSION_API_URL") == INVENTED_URL
    assert examined.sources.raw("OPENCODE_SESSION_TOKEN") == INVENTED_TOKEN
    [url, token] = examined.problems
    assert url.startswith(
        f"OPENCODE_SESSION_API_URL ({folder / '.env'}:8) is an address that never existed. Leave it empty"
    )
    assert token.startswith(
        f"OPENCODE_SESSION_TOKEN ({folder / '.env'}:9) still holds the placeholder of an example. Put"
    )


@pytest.mark.parametrize("place", ["environment", "dotenv", "folder"])
@pytest.mark.parametrize("name", [*SEED, "OPENCODE_SESSION_API_URL", "OPENCODE_SESSION_TOKEN", "LOG_LEVEL"])
def test_every_name_is_read_from_every_place(folder: Path, name: str, place: str) -> None:
    setting = catalogue.ALL[name]
    (folder / "secrets").mkdir(mode=0o700)
    environment = {"HOME": str(folder), "DRAGOMAN_SECRETS_DIR": "secrets"}
    match place:
        case "environment":
            environment[name] = setting.example
        case "dotenv":
            (folder / ".env").write_text(f"{name}='{setting.example}'\n")
        case _:
            (folder / "secrets" / name).write_text(f"{setting.example}\n")
    sources = Sources(environment, folder)
    assert sources.raw(name) == setting.example
    assert sources.read(setting) == setting.parser(folder)(setting.example)


@pytest.mark.parametrize("name", [name for name, setting in catalogue.ALL.items() if setting.kind != "path"])
def test_examples_and_defaults_of_the_catalogue_can_be_used(folder: Path, name: str) -> None:
    setting = catalogue.ALL[name]
    parse = setting.parser(folder)
    assert parse(setting.example) not in ("", ())
    assert parse(setting.default) is not None
