"""The settings: names, where each value came from, and all that is wrong with them at once.

Names are a contract with other people's scripts. They stand in the environment, or in a `.env` file of the folder the
program is started in (the environment wins). Repositories and policies stand in a TOML file, which DRAGOMAN_CONFIG names.
This module and `runtime.service` are the composition root: settings are unpacked there and never travel further.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dragoman import logs
from dragoman.core.limits import Rules
from dragoman.errors import ConfigurationError
from dragoman.record import Record
from dragoman.repositories.configured import Repository, problems_of

INVENTED_URL = "https://api.opencode.dev/sessions"  # stood in an example; it never existed


class Settings(Record):
    """What an operator set, with the defaults filled in.

    linear_api_url         base of Linear's API; GraphQL at /graphql, tokens at /oauth/token
    linear_access_token    a token of the app user, or empty when the client's credentials are used
    linear_client_id/_secret  credentials for the client_credentials grant
    webhook_secrets        accepted signing secrets; several while rotating
    opencode_url           an OpenCode server to attach to; empty = start and tend one
    opencode_token         the server's Basic password (user "opencode")
    opencode_model         "provider/model"; empty = OpenCode's own default
    opencode_agent         the primary agent
    opencode_bin           the program; empty = found on PATH
    opencode_config        a JSON file merged into the managed server's configuration
    ledger_url             sqlite:///…
    max_sessions           live runs at a time
    max_per_issue_hour     sessions of one issue within an hour; 0 = no cap
    public_url             where people reach this service; empty = no links
    sandbox                "auto" (bubblewrap where it is there) or "off"
    pass_env               names of variables of our environment that the managed server gets (a provider's key)
    """

    linear_api_url: str
    linear_access_token: str
    linear_client_id: str
    linear_client_secret: str
    webhook_secrets: tuple[str, ...]
    opencode_url: str
    opencode_token: str
    opencode_model: str
    opencode_agent: str
    opencode_bin: str
    opencode_config: str
    ledger_url: str
    max_sessions: int
    max_per_issue_hour: int
    host: str
    port: int
    public_url: str
    data_dir: Path
    log_level: str
    sandbox: str
    agent_name: str
    repositories: tuple[Repository, ...]
    rules: Rules = Rules()
    pass_env: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Every value that must not be seen."""
        return (self.linear_access_token, self.linear_client_secret, *self.webhook_secrets, self.opencode_token)

    def shown(self) -> dict[str, Any]:
        """What `/health` may tell: secrets and credentials in URLs masked."""
        return {
            "linear_api_url": logs.masked(self.linear_api_url),
            "linear_credentials": "access token" if self.linear_access_token else "client credentials",
            "opencode": logs.masked(self.opencode_url) or "managed",
            "opencode_model": self.opencode_model or "default",
            "opencode_agent": self.opencode_agent,
            "ledger": logs.masked(self.ledger_url),
            "max_concurrent_sessions": self.max_sessions,
            "session_max_per_issue_hour": self.max_per_issue_hour,
            "sandbox": self.sandbox,
            "repositories": [repository.name for repository in self.repositories],
        }

    def __repr__(self) -> str:
        return f"Settings({self.shown()!r})"


class _Problem(Exception):
    """What is wrong with one value; the text ends with an example."""


def load(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read and check everything.

    environment  default: the process's own
    folder       where `.env` and `dragoman.toml` are looked for; default: the current one
    Raises       ConfigurationError with every problem, each with the place the value came from
    """
    here = folder or Path.cwd()
    sources = _Sources(os.environ if environment is None else environment, here / ".env")
    read = sources.read
    data_dir = read("DRAGOMAN_DATA_DIR", _path, default=str(_default_data_dir(sources)))
    storage = read("SESSION_STORAGE_URL", _storage_url, default="") or f"sqlite:///{data_dir}/dragoman.db"
    table = _table(sources, here)
    settings = Settings(
        linear_api_url=read("LINEAR_API_URL", _url, default="https://api.linear.app").rstrip("/"),
        linear_access_token=read("LINEAR_ACCESS_TOKEN", str, default=""),
        linear_client_id=read("LINEAR_CLIENT_ID", str, default=""),
        linear_client_secret=read("LINEAR_CLIENT_SECRET", str, default=""),
        webhook_secrets=read("LINEAR_WEBHOOK_SECRET", _names, default=""),
        opencode_url=read("OPENCODE_SESSION_API_URL", _opencode_url, default=""),
        opencode_token=read("OPENCODE_SESSION_TOKEN", str, default=""),
        opencode_model=read("OPENCODE_MODEL", _model, default=""),
        opencode_agent=read("OPENCODE_AGENT", str, default="build"),
        opencode_bin=read("OPENCODE_BIN", str, default=""),
        opencode_config=read("OPENCODE_CONFIG", _readable_file, default=""),
        ledger_url=storage,
        max_sessions=read("MAX_CONCURRENT_SESSIONS", _positive, default="100"),
        max_per_issue_hour=read("SESSION_MAX_PER_ISSUE_HOUR", _not_negative, default="20"),
        host=read("HOST", str, default="127.0.0.1"),
        port=read("PORT", _port, default="3000"),
        public_url=read("PUBLIC_URL", _url_or_empty, default="").rstrip("/"),
        data_dir=data_dir,
        log_level=read("LOG_LEVEL", _one_of("debug", "info", "warning", "error"), default="info"),
        sandbox=read("DRAGOMAN_SANDBOX", _one_of("auto", "off"), default="auto"),
        agent_name=read("LINEAR_AGENT_NAME", str, default="OpenCode"),
        repositories=_repositories(table, sources, here),
        rules=_rules(table, sources),
        pass_env=_pass_env(table, sources),
    )
    if not any(settings.webhook_secrets):
        sources.problem(
            "LINEAR_WEBHOOK_SECRET", "is empty: an empty secret is known to everybody. Copy the signing secret of the webhook"
        )
    if not settings.linear_access_token and not (settings.linear_client_id and settings.linear_client_secret):
        sources.problem(
            "LINEAR_ACCESS_TOKEN", "is empty, and LINEAR_CLIENT_ID with LINEAR_CLIENT_SECRET are not both set; set one of the two"
        )
    sources.finish()
    return settings


class _Sources:
    """Where values come from, and what was wrong with them."""

    def __init__(self, environment: Mapping[str, str], dotenv: Path) -> None:
        self._environment = environment
        self._dotenv = _read_dotenv(dotenv)
        self._dotenv_path = dotenv
        self._problems: list[str] = []

    def raw(self, name: str) -> str | None:
        """The value as it was given."""
        value = self._environment.get(name)
        return value if value is not None else self._dotenv.get(name, (None, 0))[0]

    def read(self, name: str, parse: Callable[[str], Any], *, default: str) -> Any:
        """The parsed value; a problem is noted and the default stands in, so that the others are checked, too."""
        value = self.raw(name)
        given = (value or "").strip()
        try:
            return parse(given or default)
        except _Problem as problem:
            self.problem(name, str(problem))
            return parse(default)

    def problem(self, name: str, what: str) -> None:
        """Note a problem, with where the value came from; never the value itself: it may be a secret."""
        where = "the environment" if name in self._environment else ""
        if not where and name in self._dotenv:
            where = f"{self._dotenv_path}:{self._dotenv[name][1]}"
        self._problems.append(f"{name} ({where or 'not set'}) {what}")

    def note(self, problem: str) -> None:
        """Note a problem that is not about one name."""
        self._problems.append(problem)

    def finish(self) -> None:
        """Raise if there were problems."""
        if self._problems:
            raise ConfigurationError(self._problems)


def _read_dotenv(path: Path) -> dict[str, tuple[str, int]]:
    """name -> (value, line). Quotes are taken off; an unquoted value ends at ` #`."""
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
            value = value[1:-1]
        else:
            value = "" if value.startswith("#") else value.split(" #")[0].strip()
        found[name.strip()] = (value, number)
    return found


# ── the TOML file ────────────────────────────────────────────────────────
def _table(sources: _Sources, folder: Path) -> dict[str, Any]:
    named = sources.raw("DRAGOMAN_CONFIG")
    path = Path(named).expanduser() if named else folder / "dragoman.toml"
    if not path.is_file():
        if named:
            sources.problem("DRAGOMAN_CONFIG", f"names {path}, which is no file. Example: /etc/dragoman.toml")
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        sources.note(f"{path}: cannot be read as TOML: {error}")
        return {}


def _repositories(table: dict[str, Any], sources: _Sources, folder: Path) -> tuple[Repository, ...]:
    try:
        found = msgspec.convert([{"type": "Repository", **row} for row in table.get("repositories", [])], list[Repository])
    except (msgspec.ValidationError, TypeError) as error:
        sources.note(f'[[repositories]]: {error}. Example: [[repositories]] name = "acme/shop" url = "https://…/acme/shop.git"')
        return ()
    absolute = tuple(
        msgspec.structs.replace(one, url=str((folder / one.url).resolve()))
        if "://" not in one.url and (folder / one.url).is_dir()
        else one
        for one in found
    )
    for problem in problems_of(absolute):
        sources.note(problem)
    if not absolute:
        sources.note(
            "No repository is configured. Add to the file that DRAGOMAN_CONFIG names: "
            '[[repositories]] name = "acme/shop" url = "https://github.com/acme/shop.git" default = true'
        )
    return absolute


def _rules(table: dict[str, Any], sources: _Sources) -> Rules:
    try:
        return msgspec.convert({"type": "Rules", **table.get("session", {})}, Rules)
    except (msgspec.ValidationError, TypeError) as error:
        sources.note(f'[session]: {error}. Example: [session] while_busy = "queue"')
        return Rules()


def _pass_env(table: dict[str, Any], sources: _Sources) -> tuple[str, ...]:
    try:
        return msgspec.convert(table.get("opencode", {}).get("pass_env", []), tuple[str, ...])
    except (msgspec.ValidationError, AttributeError) as error:
        sources.note(f'[opencode] pass_env: {error}. Example: [opencode] pass_env = ["ANTHROPIC_API_KEY"]')
        return ()


# ── values ───────────────────────────────────────────────────────────────
def _default_data_dir(sources: _Sources) -> Path:
    base = sources.raw("XDG_DATA_HOME")
    return Path(base) / "dragoman" if base else Path.home() / ".local" / "share" / "dragoman"


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _number(value: str) -> int:
    if "#" in value:
        raise _Problem(f"looks as if it still carries a comment ({value.split('#')[0].strip()!r} followed by “#”)")
    try:
        return int(value)
    except ValueError:
        raise _Problem("is no whole number. Example: 100") from None


def _positive(value: str) -> int:
    number = _number(value)
    if number < 1:
        raise _Problem("must be greater than 0. Example: 100")
    return number


def _not_negative(value: str) -> int:
    number = _number(value)
    if number < 0:
        raise _Problem("must be 0 (no cap) or more. Example: 20")
    return number


def _port(value: str) -> int:
    number = _number(value)
    if not 0 <= number < 65_536:
        raise _Problem("must lie between 0 and 65535. Example: 3000")
    return number


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Problem("is no http or https URL. Example: https://api.linear.app")
    return value


def _url_or_empty(value: str) -> str:
    return _url(value) if value else ""


def _opencode_url(value: str) -> str:
    if value.rstrip("/") == INVENTED_URL:
        raise _Problem(
            "is an address that never existed. Leave it empty, and an OpenCode server is started for you; "
            "or give the address of a running `opencode serve`. Example: http://127.0.0.1:4096"
        )
    return _url_or_empty(value).rstrip("/")


def _storage_url(value: str) -> str:
    if value and not value.startswith(("sqlite:///", "memory://")):
        raise _Problem("must begin with sqlite:/// or be memory://. Example: sqlite:////var/lib/dragoman/dragoman.db")
    return value


def _model(value: str) -> str:
    if value and "/" not in value.strip("/"):
        raise _Problem("must be provider/model. Example: anthropic/claude-sonnet-4-5")
    return value


def _readable_file(value: str) -> str:
    if value and not Path(value).is_file():
        raise _Problem("names no file. Example: /etc/dragoman/opencode.json")
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise _Problem(f"must be one of {', '.join(allowed)}")
        return value.lower()

    return parse
