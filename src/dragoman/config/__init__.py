"""The settings: names, where each value came from, and all that is wrong with them at once.

Names are a contract with other people's scripts. They stand in the environment, or in a `.env` file of the folder the
program is started in (the environment wins). Repositories and policies stand in a TOML file, which DRAGOMAN_CONFIG names.
This package and `runtime.service` are the composition root: settings are unpacked there and never travel further.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dragoman import logs
from dragoman.config import table, values
from dragoman.config.sources import Sources
from dragoman.core.limits import Rules
from dragoman.record import Record
from dragoman.repositories.configured import Repository

MOST = 1_000_000  # of anything that is counted
DOTENV = ".env"
SHORTEST_RETENTION_DAYS = 8  # Linear repeats a delivery for hours, and people may send one again for a week


class Settings(Record):
    """What an operator set, with the defaults filled in.

    linear_api_url         base of Linear's API; GraphQL at /graphql, tokens at /oauth/token
    linear_access_token    a token of the app user, or empty when the client's credentials are used
    linear_client_id/_secret  credentials for the client_credentials grant
    webhook_secrets        accepted signing secrets; several while rotating
    opencode_url           an OpenCode server to attach to, without credentials; empty = start and tend one
    opencode_token         the server's Basic password (user "opencode")
    opencode_model         "provider/model"; empty = OpenCode's own default
    opencode_agent         the primary agent
    opencode_bin           the program; empty = found on PATH
    opencode_config        a JSON file merged into the managed server's configuration
    ledger_url             sqlite:////absolute or memory://
    max_sessions           live runs at a time
    max_per_issue_hour     sessions of one issue within an hour; 0 = no cap
    host, port             where to listen; port 0 = a free one
    public_url             where people reach this service; empty = no links
    data_dir               absolute; ours alone
    log_level              debug, info, warning or error
    sandbox                "auto" (bubblewrap where it is there) or "off"
    agent_name             what people call the agent
    repositories           one of them is the default
    rules                  limits of a session's life
    pass_env               names of variables of our environment that the managed server gets (a provider's key)
    private_files          where settings stand, secrets among them: agents must not see these files
    doubts                 what is set and does nothing, a sentence each, for the log
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
    private_files: tuple[Path, ...] = ()
    doubts: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Every value that must not be seen."""
        tokens = (self.linear_access_token, self.linear_client_secret, *self.webhook_secrets, self.opencode_token)
        in_urls = (password for one in self.repositories for password in _credentials(one.url))
        return tuple(secret for secret in (*tokens, *in_urls) if secret)

    def shown(self) -> dict[str, Any]:
        """What `/health` may tell: no secret, and no credentials in URLs."""
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


class LedgerPlace(Record):
    """All that is needed to look into the ledger.

    url      as in Settings
    secrets  those that are set, to be masked in what is shown
    """

    url: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"LedgerPlace({self.url!r})"


def load(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read and check everything.

    environment  default: the process's own
    folder       where `.env` and `dragoman.toml` are looked for and what relative paths count from; default: the current
    Raises       ConfigurationError with every problem, each with the place the value came from
    """
    sources, here = _open(environment, folder)
    read = sources.read
    data_dir, ledger_url = _places(sources, here)
    file = table.read(sources, here)
    opencode_url, password = read("OPENCODE_SESSION_API_URL", values.opencode_url, default="")
    settings = Settings(
        linear_api_url=read("LINEAR_API_URL", values.url("https://api.linear.app"), default="https://api.linear.app"),
        linear_access_token=read("LINEAR_ACCESS_TOKEN", values.secret, default=""),
        linear_client_id=read("LINEAR_CLIENT_ID", values.secret, default=""),
        linear_client_secret=read("LINEAR_CLIENT_SECRET", values.secret, default=""),
        webhook_secrets=read("LINEAR_WEBHOOK_SECRET", values.secrets, default=""),
        opencode_url=opencode_url,
        opencode_token=read("OPENCODE_SESSION_TOKEN", values.secret, default="") or password,
        opencode_model=read("OPENCODE_MODEL", values.model, default=""),
        opencode_agent=read("OPENCODE_AGENT", values.text, default="build"),
        opencode_bin=read("OPENCODE_BIN", values.file(here, "/usr/local/bin/opencode"), default=""),
        opencode_config=read("OPENCODE_CONFIG", values.file(here, "/etc/dragoman/opencode.json"), default=""),
        ledger_url=ledger_url,
        max_sessions=read(
            "MAX_CONCURRENT_SESSIONS", values.whole_number(least=1, most=MOST, example=100), default="100"
        ),
        max_per_issue_hour=read(
            "SESSION_MAX_PER_ISSUE_HOUR",
            values.whole_number(least=0, most=MOST, example=20, meaning=" (no cap)"),
            default="20",
        ),
        host=read("HOST", values.text, default="127.0.0.1"),
        port=read("PORT", values.whole_number(least=0, most=65_535, example=3000), default="3000"),
        public_url=read("PUBLIC_URL", values.url("https://dragoman.example.com"), default=""),
        data_dir=data_dir,
        log_level=read("LOG_LEVEL", values.one_of("debug", "info", "warning", "error"), default="info"),
        sandbox=read("DRAGOMAN_SANDBOX", values.one_of("auto", "off"), default="auto"),
        agent_name=sources.raw("LINEAR_AGENT_NAME") or "OpenCode",
        repositories=file.repositories,
        rules=file.rules,
        pass_env=file.pass_env,
        private_files=(here / DOTENV, table.place(sources, here)),
        doubts=(*sources.doubts(), *_short_retention(file.rules)),
    )
    _check_together(settings, sources)
    sources.finish()
    return settings


def load_ledger_place(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> LedgerPlace:
    """Read only where the ledger is: for a verb that looks into it and needs nothing else.

    Raises  ConfigurationError
    """
    sources, here = _open(environment, folder)
    _, url = _places(sources, here)
    sources.finish()
    names = ("LINEAR_ACCESS_TOKEN", "LINEAR_CLIENT_SECRET", "OPENCODE_SESSION_TOKEN")
    webhook = (part.strip() for part in sources.raw("LINEAR_WEBHOOK_SECRET").split(","))
    in_url = _credentials(sources.raw("OPENCODE_SESSION_API_URL"))
    found = (*(sources.raw(name) for name in names), *webhook, *in_url)
    return LedgerPlace(url=url, secrets=tuple(secret for secret in found if secret))


def load_rules(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Rules:
    """Read only the rules of a session's life, as the file has them now; what is wrong with it is left out."""
    sources, here = _open(environment, folder)
    return table.read(sources, here).rules


def _open(environment: Mapping[str, str] | None, folder: Path | None) -> tuple[Sources, Path]:
    here = folder or Path.cwd()
    return Sources(os.environ if environment is None else environment, here / DOTENV), here


def _places(sources: Sources, here: Path) -> tuple[Path, str]:
    """The data folder and the ledger."""
    base = sources.raw("XDG_DATA_HOME")
    share = Path(base) if base else Path.home() / ".local" / "share"
    data_dir = sources.read("DRAGOMAN_DATA_DIR", values.path(here), default=str(share / "dragoman"))
    url = sources.read("SESSION_STORAGE_URL", values.ledger_url(here), default="")
    return data_dir, url or f"sqlite:///{data_dir}/dragoman.db"


def _check_together(settings: Settings, sources: Sources) -> None:
    if not settings.webhook_secrets:
        sources.problem(
            "LINEAR_WEBHOOK_SECRET",
            "holds no secret: without one anybody could sign. Copy the signing secret of the webhook from Linear",
        )
    if not settings.linear_access_token and not (settings.linear_client_id and settings.linear_client_secret):
        sources.problem(
            "LINEAR_ACCESS_TOKEN",
            "is empty, and LINEAR_CLIENT_ID with LINEAR_CLIENT_SECRET are not both set; set one of the two",
        )


def _short_retention(rules: Rules) -> tuple[str, ...]:
    if not 0 < rules.retention_days < SHORTEST_RETENTION_DAYS:
        return ()
    told = (
        f"[session] retention_days = {rules.retention_days} is less than {SHORTEST_RETENTION_DAYS}: people's words go "
        "by then, but the keys by which a repeated delivery is known are kept for nine days, or old work would be done again"
    )
    return (told,)


def _credentials(url: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ()
    # A token alone is written where the user stands.
    found = (parts.password,) if parts.password else (parts.username,) if parts.scheme in {"http", "https"} else ()
    return tuple(each for each in found if each)
