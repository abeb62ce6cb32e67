"""What was set, as values of the program."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from dragoman import logs
from dragoman.config import catalogue
from dragoman.core.access import Policy
from dragoman.core.limits import Rules
from dragoman.core.pace import Paces
from dragoman.record import Record
from dragoman.repositories.configured import Repository


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
    projection_url         redis://… or rediss://…, a copy of the sessions for other readers; empty = none
    enable_sessions        false = simple answers only
    enable_session_persistence  false = the ledger is in memory, whatever else is set
    enable_session_streaming    false = the first thought and the final only
    enable_session_management   false = sessions cannot be controlled by HTTP or command line
    session_timeout_minutes     idle time after which a session ends as `timeout`
    session_max_messages        after which a session goes on in a fresh agent thread
    session_cleanup_interval_minutes  how often expired sessions are looked for
    session_cache_size     decoded sessions in memory; 0 = none
    session_require_auth   take requests only from known people
    session_allowed_users  ids or e-mails; empty = everybody
    session_allowed_teams  ids or keys; empty = all
    max_concurrent_sessions  live runs at a time
    max_per_issue_hour     sessions of one issue within an hour; 0 = no cap
    paces                  messages a minute of one person and of one organization
    host, port             where to listen; port 0 = a free one
    public_url             where people reach this service; empty = no links
    operator_key           opens /api/v1; empty = one is made and lies in the data folder
    traces_url             where traces of turns are sent; empty = nowhere
    data_dir               absolute; ours alone
    log_level              debug, info, warning or error
    debug_linear_webhooks  log what webhooks hold, redacted
    sandbox                "auto" (bubblewrap where it is there) or "off"
    agent_mode             "agent", or "comment" for people without agent sessions
    agent_name             what people call the agent
    github_token           opens repositories and pull requests on GitHub; empty = none
    github_app_id, github_app_key_file  the same by a GitHub App; the file holds its private key
    github_api_url         base of GitHub's REST API
    github_webhook_secrets accepted signing secrets; none = pull requests are looked at by the clock
    repositories           one of them is the default
    rules                  limits of a session's life
    access                 what the file says of who may do what; `policy` is all that is set of it
    pass_env               names of variables of our environment that the managed server gets (a provider's key)
    config_file            the TOML file, whether it is there or not
    private_files          where settings stand, secrets among them: agents must not see these files
    secret_folders         the same, whole folders
    beside                 secrets that are set beside our own settings, see `config.beside.secrets_beside`
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
    projection_url: str
    enable_sessions: bool
    enable_session_persistence: bool
    enable_session_streaming: bool
    enable_session_management: bool
    session_timeout_minutes: int
    session_max_messages: int
    session_cleanup_interval_minutes: int
    session_cache_size: int
    session_require_auth: bool
    session_allowed_users: tuple[str, ...]
    session_allowed_teams: tuple[str, ...]
    max_concurrent_sessions: int
    max_per_issue_hour: int
    host: str
    port: int
    public_url: str
    operator_key: str
    traces_url: str
    data_dir: Path
    log_level: str
    debug_linear_webhooks: bool
    sandbox: str
    agent_mode: str
    agent_name: str
    config_file: Path
    github_token: str
    github_app_id: str
    github_app_key_file: str
    github_api_url: str
    github_webhook_secrets: tuple[str, ...]
    repositories: tuple[Repository, ...]
    rules: Rules = Rules()
    access: Policy = Policy()
    paces: Paces = Paces()
    pass_env: tuple[str, ...] = ()
    private_files: tuple[Path, ...] = ()
    secret_folders: tuple[Path, ...] = ()
    beside: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def policy(self) -> Policy:
        """Who may do what."""
        return replace(
            self.access,
            require_person=self.session_require_auth,
            users=self.session_allowed_users,
            teams=self.session_allowed_teams,
        )

    def secrets(self) -> tuple[str, ...]:
        """Every value that must not be seen."""
        tokens = (self.linear_access_token, self.linear_client_id, self.linear_client_secret, *self.webhook_secrets)
        tokens = (*tokens, self.opencode_token, self.github_token, *self.github_webhook_secrets, self.operator_key)
        urls = (self.projection_url, *(repository.url for repository in self.repositories))
        in_urls = (password for url in urls for password in credentials(url))
        return tuple(secret for secret in (*tokens, *in_urls, *self.beside) if secret)

    def shown(self) -> dict[str, Any]:
        """What `/health` may tell: no secret, and no credentials in URLs."""
        return {
            "linear_api_url": logs.masked(self.linear_api_url),
            "linear_credentials": "access token" if self.linear_access_token else "client credentials",
            "opencode": logs.masked(self.opencode_url) or "managed",
            "opencode_model": self.opencode_model or "default",
            "opencode_agent": self.opencode_agent,
            "ledger": logs.masked(self.ledger_url),
            "projection": logs.masked(self.projection_url) or "none",
            "sessions": "on" if self.enable_sessions else "off: simple answers only",
            "session_timeout_minutes": self.session_timeout_minutes,
            "session_max_messages": self.session_max_messages,
            "max_concurrent_sessions": self.max_concurrent_sessions,
            "session_max_per_issue_hour": self.max_per_issue_hour,
            "sandbox": self.sandbox,
            "github": "token" if self.github_token else "app" if self.github_app_id else "none",
            "repositories": [repository.name for repository in self.repositories],
        }

    def __repr__(self) -> str:
        return f"Settings({self.shown()!r})"


class LibrarySettings(Record):
    """What the library needs; `config.load_library` reads it from the same names as the service.

    ledger_url  sqlite:///relative, sqlite:////absolute or memory://; a service may use the same file
    enabled     false = no session can be made (ENABLE_SESSIONS)
    cleanup_interval_minutes  how often sessions are looked for whose time is over
    rules       limits of a session's life, its time and messages among them
    """

    ledger_url: str = "memory://"
    enabled: bool = True
    cleanup_interval_minutes: float = 5.0
    rules: Rules = Rules()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The part of a service's settings that the library needs."""
        return cls(
            ledger_url=settings.ledger_url,
            enabled=settings.enable_sessions,
            cleanup_interval_minutes=settings.session_cleanup_interval_minutes,
            rules=settings.rules,
        )


class Workplace(Record):
    """All that is needed to find workspaces."""

    data_dir: Path
    repositories: tuple[Repository, ...]


class LedgerPlace(Record):
    """All that is needed to look into the ledger.

    url             as in Settings
    folder          the data folder
    projection_url  as in Settings
    managed         whether the command line may change anything
    secrets         those that are set, to be masked in what is shown
    """

    url: str
    folder: Path
    projection_url: str = ""
    managed: bool = True
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"LedgerPlace({self.url!r})"


_NO_PASSWORD: Final = "x-oauth-basic"  # noqa: S105 - what GitHub's older guides have behind a token


def credentials(url: str) -> tuple[str, ...]:
    """What must not be seen of a URL: as it is written there, and as it is meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ()
    # A token alone is written where the user stands.
    found = parts.password if parts.password and parts.password != _NO_PASSWORD else ""
    if not found and parts.scheme in {"http", "https"}:
        found = parts.username or ""
    return tuple(dict.fromkeys(each for each in (found, unquote(found)) if each))


# What a running service takes up when the settings are read again; everything else waits for a restart.
_LIVE_IN_FILE: Final = frozenset({"repositories", "rules", "access", "doubts"})
LIVE: Final = _LIVE_IN_FILE | {field for setting in catalogue.ALL.values() if setting.live for field in setting.sets()}
_IN_FILE: Final = {
    "repositories": "[[repositories]]",
    "rules": "[session]",
    "access": "[access]",
    "pass_env": "[opencode] pass_env",
}


def names_of(fields: Iterable[str]) -> set[str]:
    """How an operator writes these fields of Settings."""
    wanted = set(fields)
    found = {setting.name for setting in catalogue.ALL.values() if wanted.intersection(setting.sets())}
    return found | {_IN_FILE[field] for field in wanted & set(_IN_FILE)}
