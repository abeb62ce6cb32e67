"""Every setting that has a name of its own: what it does, its type, unit, default and example, in one place.

The loader reads by this table, `dragoman config` explains from it, and a test holds docs/configuration.md to it.
Names without a prefix are a contract with other people's scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from dragoman.config import values

T = TypeVar("T")
Parser = Callable[[Path], Callable[[str], T]]  # of the folder that relative paths count from

MOST: Final = 1_000_000  # of anything that is counted
A_YEAR: Final = 525_600  # minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(Generic[T]):
    """One name.

    name      in the environment, .env or a secrets folder
    group     heading under which it is shown
    about     what it does, one sentence
    kind      its type, in a word for people
    unit      of a number; empty when there is none
    default   as it would be written; empty = none, see `absent`
    absent    what an empty value means when there is no default
    example   a value that works
    parser    from the text to the value; raises values.Problem
    secret    never shown; a file that holds it should be readable to us only
    live      a new value holds from the next turn, without a restart (see `runtime.live_settings`)
    fields    of Settings that it sets; none = the one that is named as it is, in lower case
    free      may hold any text, “ #” included
    """

    name: str
    group: str
    about: str
    kind: Literal["text", "number", "switch", "choice", "URL", "path", "list", "secret"]
    parser: Parser[T]
    example: str
    default: str = ""
    absent: str = ""
    unit: str = ""
    secret: bool = False
    live: bool = False
    fields: tuple[str, ...] = ()
    free: bool = False

    def sets(self) -> tuple[str, ...]:
        """The fields of Settings that it sets."""
        return self.fields or (self.name.lower(),)


def _always(parse: Callable[[str], T]) -> Parser[T]:
    return lambda _folder: parse


def _switch(name: str, group: str, about: str, *, default: str, live: bool = False) -> Setting[bool]:
    other = "false" if default == "true" else "true"
    return Setting(
        name=name,
        group=group,
        about=about,
        kind="switch",
        parser=_always(values.switch),
        default=default,
        example=other,
        live=live,
    )


def _number(
    name: str, group: str, about: str, *, default: int, unit: str, least: int = 1, most: int = MOST, meaning: str = "",
    live: bool = False, fields: tuple[str, ...] = (),
) -> Setting[int]:  # fmt: skip
    parse = values.whole_number(least=least, most=most, example=default, meaning=meaning)
    return Setting(
        name=name, group=group, about=about, kind="number", unit=unit, parser=_always(parse),
        default=str(default), example=str(default), live=live, fields=fields,
    )  # fmt: skip


def _secret(
    name: str, group: str, about: str, *, example: str, absent: str = "", fields: tuple[str, ...] = ()
) -> Setting[str]:
    return Setting(
        name=name, group=group, about=about, kind="secret", parser=_always(values.secret), example=example,
        absent=absent, secret=True, fields=fields,
    )  # fmt: skip


def _choice(name: str, group: str, about: str, *allowed: str, default: str, fields: tuple[str, ...]) -> Setting[str]:
    return Setting(
        name=name, group=group, about=f"{about}: {', '.join(allowed)}", kind="choice",
        parser=_always(values.one_of(*allowed)), default=default, example=allowed[-1],
        fields=fields,
    )  # fmt: skip


LINEAR_API_URL = Setting(
    name="LINEAR_API_URL",
    group="Linear",
    about="Base of Linear's API; GraphQL is at /graphql, tokens at /oauth/token",
    kind="URL",
    parser=_always(values.url("https://api.linear.app")),
    default="https://api.linear.app",
    example="https://api.linear.app",
)
LINEAR_ACCESS_TOKEN = _secret(
    "LINEAR_ACCESS_TOKEN",
    "Linear",
    "A token of the app user; or set LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET",
    example="lin_oauth_0123456789",
)
LINEAR_CLIENT_ID = _secret(
    "LINEAR_CLIENT_ID",
    "Linear",
    "The app's client id, for the client_credentials grant",
    example="0123456789abcdef",
)
LINEAR_CLIENT_SECRET = _secret(
    "LINEAR_CLIENT_SECRET",
    "Linear",
    "The app's client secret; tokens are fetched with it, kept, and fetched once more when refused",
    example="fedcba9876543210",
)
LINEAR_WEBHOOK_SECRET = Setting(
    name="LINEAR_WEBHOOK_SECRET",
    group="Linear",
    about="Signing secret of the webhook; several, separated by commas, while rotating. Required",
    kind="secret",
    parser=_always(values.secrets),
    example="lin_wh_0123456789",
    secret=True,
    live=True,
    fields=("webhook_secrets",),
)
LINEAR_AGENT_MODE = _choice(
    "LINEAR_AGENT_MODE",
    "Linear",
    "How people meet the agent in Linear",
    "agent",
    "comment",
    default="agent",
    fields=("agent_mode",),
)
LINEAR_AGENT_NAME = Setting(
    name="LINEAR_AGENT_NAME",
    group="Linear",
    about="What people call the agent; in comment mode what they write after “@”",
    kind="text",
    parser=_always(values.text),
    default="OpenCode",
    example="Ada",
    live=True,
    fields=("agent_name",),
    free=True,
)
DEBUG_LINEAR_WEBHOOKS = _switch(
    "DEBUG_LINEAR_WEBHOOKS",
    "Linear",
    "Log what webhooks hold, with secrets and what people wrote taken out",
    default="false",
    live=True,
)
GITHUB_TOKEN = _secret(
    "GITHUB_TOKEN",
    "GitHub",
    "Opens repositories and pull requests; needs to write contents and pull requests. No agent ever sees it",
    example="github_pat_0123456789",
)
GITHUB_APP_ID = Setting(
    name="GITHUB_APP_ID",
    group="GitHub",
    about="Instead of a token: the id of a GitHub App that is installed on the repositories",
    kind="text",
    parser=_always(values.secret),
    absent="GITHUB_TOKEN is used",
    example="123456",
)
GITHUB_APP_PRIVATE_KEY_FILE = Setting(
    name="GITHUB_APP_PRIVATE_KEY_FILE",
    group="GitHub",
    about="The file with the app's private key, as GitHub gives it (PEM)",
    kind="path",
    parser=lambda folder: values.file(folder, "/etc/dragoman/github-app.pem"),
    absent="GITHUB_TOKEN is used",
    example="/etc/dragoman/github-app.pem",
    fields=("github_app_key_file",),
)
GITHUB_WEBHOOK_SECRET = Setting(
    name="GITHUB_WEBHOOK_SECRET",
    group="GitHub",
    about="Signing secret of the webhook at /webhooks/github; several, separated by commas, while rotating",
    kind="secret",
    parser=_always(values.secrets),
    absent="open pull requests are looked at by the clock",
    example="gh_wh_0123456789abcdef",
    secret=True,
    live=True,
    fields=("github_webhook_secrets",),
)
GITHUB_API_URL = Setting(
    name="GITHUB_API_URL",
    group="GitHub",
    about="Base of GitHub's REST API; for GitHub Enterprise https://HOST/api/v3",
    kind="URL",
    parser=_always(values.url("https://api.github.com")),
    default="https://api.github.com",
    example="https://github.example.com/api/v3",
)
OPENCODE_SESSION_API_URL = Setting(
    name="OPENCODE_SESSION_API_URL",
    group="OpenCode",
    about="An OpenCode server to attach to, on the same disk",
    kind="URL",
    parser=_always(values.opencode_url),
    absent="one is started and tended",
    fields=("opencode_url", "opencode_token"),
    example="http://127.0.0.1:4096",
)
OPENCODE_SESSION_TOKEN = _secret(
    "OPENCODE_SESSION_TOKEN",
    "OpenCode",
    "Basic password of that server (user `opencode`)",
    example="the-servers-password",
    absent="the server asks for none",
    fields=("opencode_token",),
)
OPENCODE_MODEL = Setting(
    name="OPENCODE_MODEL",
    group="OpenCode",
    about="The model, as provider/model",
    kind="text",
    parser=_always(values.model),
    absent="OpenCode's own default",
    example="anthropic/claude-sonnet-4-5",
)
OPENCODE_AGENT = Setting(
    name="OPENCODE_AGENT",
    group="OpenCode",
    about="The primary agent of OpenCode",
    kind="text",
    parser=_always(values.text),
    default="build",
    example="build",
)
OPENCODE_BIN = Setting(
    name="OPENCODE_BIN",
    group="OpenCode",
    about="The program",
    kind="path",
    parser=lambda folder: values.file(folder, "/usr/local/bin/opencode"),
    absent="found on PATH",
    example="/usr/local/bin/opencode",
)
OPENCODE_CONFIG = Setting(
    name="OPENCODE_CONFIG",
    group="OpenCode",
    about="A JSON file merged into the managed server's configuration (providers, permissions, …)",
    kind="path",
    parser=lambda folder: values.file(folder, "/etc/dragoman/opencode.json"),
    absent="nothing is merged",
    example="/etc/dragoman/opencode.json",
)
ENABLE_SESSIONS = _switch(
    "ENABLE_SESSIONS",
    "Sessions",
    "Open sessions; false: simple answers only, to delegations too",
    default="true",
    live=True,
)
SESSION_TIMEOUT_MINUTES = _number(
    "SESSION_TIMEOUT_MINUTES",
    "Sessions",
    "Without a message or agent activity for this long, and with no ask open, a session ends as `timeout`",
    default=30,
    unit="minutes",
    most=A_YEAR,
    live=True,
)
SESSION_MAX_MESSAGES = _number(
    "SESSION_MAX_MESSAGES",
    "Sessions",
    "After this many messages a session goes on in a fresh agent thread that starts from a summary",
    default=50,
    unit="messages",
    live=True,
)
SESSION_CLEANUP_INTERVAL_MINUTES = _number(
    "SESSION_CLEANUP_INTERVAL_MINUTES",
    "Sessions",
    "How often expired sessions are looked for",
    default=5,
    unit="minutes",
    most=A_YEAR,
    live=True,
)
MAX_CONCURRENT_SESSIONS = _number(
    "MAX_CONCURRENT_SESSIONS",
    "Sessions",
    "Live runs at a time; the others wait and are told so. OpenCode needs about 0.5 GB and some MB a run",
    default=100,
    unit="runs",
    live=True,
)
SESSION_MAX_PER_ISSUE_HOUR = _number(
    "SESSION_MAX_PER_ISSUE_HOUR",
    "Sessions",
    "Sessions of one issue within an hour, against loops; 0 = no cap",
    default=20,
    unit="sessions an hour",
    least=0,
    meaning=" (no cap)",
    live=True,
    fields=("max_per_issue_hour",),
)
SESSION_MAX_PER_USER_MINUTE = _number(
    "SESSION_MAX_PER_USER_MINUTE",
    "Access",
    "Messages of one person within a minute; Stop does not count; 0 = no limit",
    default=60,
    unit="messages a minute",
    least=0,
    meaning=" (no limit)",
    live=True,
    fields=("paces",),
)
SESSION_MAX_PER_ORGANIZATION_MINUTE = _number(
    "SESSION_MAX_PER_ORGANIZATION_MINUTE",
    "Access",
    "Messages of a whole organization within a minute; 0 = no limit",
    default=600,
    unit="messages a minute",
    least=0,
    meaning=" (no limit)",
    live=True,
    fields=("paces",),
)
SESSION_CACHE_SIZE = _number(
    "SESSION_CACHE_SIZE",
    "Sessions",
    "Decoded sessions kept in memory; 0 = none",
    default=1000,
    unit="sessions",
    least=0,
    meaning=" (none)",
)
ENABLE_SESSION_STREAMING = _switch(
    "ENABLE_SESSION_STREAMING",
    "Sessions",
    "Show each step in Linear; false: the first thought and the final answer only",
    default="true",
    live=True,
)
ENABLE_SESSION_MANAGEMENT = _switch(
    "ENABLE_SESSION_MANAGEMENT",
    "Sessions",
    "Let sessions be controlled by HTTP and command line; false: they can be looked at only",
    default="true",
)
SESSION_STORAGE_URL = Setting(
    name="SESSION_STORAGE_URL",
    group="Storage",
    about="The ledger: sqlite:///relative, sqlite:////absolute or memory://; redis:// adds a projection for other "
    "readers, and the ledger is then LEDGER_URL",
    kind="URL",
    parser=values.storage_url,
    fields=("ledger_url", "projection_url"),
    absent="SQLite in the data folder",
    example="sqlite:////var/lib/dragoman/dragoman.db",
)
LEDGER_URL = Setting(
    name="LEDGER_URL",
    group="Storage",
    about="The ledger, when SESSION_STORAGE_URL names Redis",
    kind="URL",
    parser=values.ledger_url,
    absent="SQLite in the data folder",
    example="sqlite:////var/lib/dragoman/dragoman.db",
)
ENABLE_SESSION_PERSISTENCE = _switch(
    "ENABLE_SESSION_PERSISTENCE",
    "Storage",
    "Keep sessions on disk; false: in memory, and a restart forgets all",
    default="true",
)
SESSION_REQUIRE_AUTH = _switch(
    "SESSION_REQUIRE_AUTH",
    "Access",
    "Refuse what comes from no identified person, such as an automation or another agent",
    default="false",
    live=True,
)
SESSION_ALLOWED_USERS = Setting(
    name="SESSION_ALLOWED_USERS",
    group="Access",
    about="Who may do anything at all: user ids or e-mails, separated by commas",
    live=True,
    kind="list",
    parser=_always(values.names("user ids or e-mails")),
    absent="everybody",
    example="ada@example.com, 6f1c2a50-0000-4000-8000-000000000001",
)
SESSION_ALLOWED_TEAMS = Setting(
    name="SESSION_ALLOWED_TEAMS",
    group="Access",
    about="On issues of which teams: team ids or keys, separated by commas",
    live=True,
    kind="list",
    parser=_always(values.names("team ids or keys")),
    absent="all",
    example="ENG, OPS",
)
HOST = Setting(
    name="HOST",
    group="Service",
    about="Address to listen on",
    kind="text",
    parser=_always(values.text),
    default="127.0.0.1",
    example="0.0.0.0",  # noqa: S104 - an example for containers, not a default
)
PORT = _number(
    "PORT",
    "Service",
    "Port to listen on; 0 takes a free one",
    default=3000,
    unit="",
    least=0,
    most=65_535,
)
PUBLIC_URL = Setting(
    name="PUBLIC_URL",
    group="Service",
    about="How people reach this service; sessions in Linear then link to their page here",
    kind="URL",
    parser=_always(values.url("https://dragoman.example.com")),
    absent="no links",
    example="https://dragoman.example.com",
)
DRAGOMAN_OPERATOR_KEY = _secret(
    "DRAGOMAN_OPERATOR_KEY",
    "Service",
    "What opens /api/v1: sent as `Authorization: Bearer KEY`; at least 16 characters",
    example="9f86d081884c7d659a2feaa0c55ad015",
    absent="one is made, operator.key in the data folder",
    fields=("operator_key",),
)
OTEL_EXPORTER_OTLP_ENDPOINT = Setting(
    name="OTEL_EXPORTER_OTLP_ENDPOINT",
    group="Service",
    about="Where traces are sent, one a turn, by OTLP over HTTP; needs `pip install 'dragoman[otel]'`",
    kind="URL",
    parser=_always(values.url("http://127.0.0.1:4318")),
    absent="no traces",
    fields=("traces_url",),
    example="http://127.0.0.1:4318",
)
DRAGOMAN_CONFIG = Setting(
    name="DRAGOMAN_CONFIG",
    group="Service",
    about="The TOML file: repositories, rules of a session's life, what OpenCode gets",
    kind="path",
    parser=_always(values.text),  # `table` reads it, and tells what is wrong with it
    live=True,
    fields=("config_file",),
    absent="dragoman.toml, if there is one",
    example="/etc/dragoman.toml",
)
DRAGOMAN_DATA_DIR = Setting(
    name="DRAGOMAN_DATA_DIR",
    group="Service",
    about="Ledger, workspaces, trusted repositories, OpenCode's own data; mode 0700",
    kind="path",
    parser=values.path,
    fields=("data_dir",),
    absent="~/.local/share/dragoman",
    example="/var/lib/dragoman",
)
DRAGOMAN_SECRETS_DIR = Setting(
    name="DRAGOMAN_SECRETS_DIR",
    group="Service",
    about="A folder that holds settings, one file a name; systemd's CREDENTIALS_DIRECTORY is read as well",
    kind="path",
    parser=lambda folder: values.folder(folder, "/run/secrets"),
    fields=("secret_folders",),
    absent="none is read",
    example="/run/secrets",
)
DRAGOMAN_SANDBOX = _choice(
    "DRAGOMAN_SANDBOX",
    "Service",
    "Whether the agent is held in by bubblewrap where it works",
    "auto",
    "off",
    default="auto",
    fields=("sandbox",),
)
LOG_LEVEL = Setting(
    name="LOG_LEVEL",
    group="Service",
    about="debug, info, warning or error; JSON when the output is no terminal",
    kind="choice",
    parser=_always(values.one_of("debug", "info", "warning", "error")),
    default="info",
    example="debug",
    live=True,
)


def meant(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that somebody had in mind who wrote `name`, if there is one."""
    known = sorted(names)
    longer = [each for each in known if each.startswith(f"{name}_")]
    close = get_close_matches(name, known, 1, 0.8) or longer
    return close[0] if close else None


ALL: Final[dict[str, Setting[Any]]] = {
    setting.name: setting for setting in list(vars().values()) if isinstance(setting, Setting)
}
