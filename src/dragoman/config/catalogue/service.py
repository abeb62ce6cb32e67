"""The process itself: where it keeps things, where it listens, what it tells."""

from __future__ import annotations

from dragoman.config import values
from dragoman.config.catalogue.setting import Setting, always, choice, number, secret, switch

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
ENABLE_SESSION_PERSISTENCE = switch(
    "ENABLE_SESSION_PERSISTENCE",
    "Storage",
    "Keep sessions on disk; false: in memory, and a restart forgets all",
    default="true",
)
HOST = Setting(
    name="HOST",
    group="Service",
    about="Address to listen on",
    kind="text",
    parser=always(values.text),
    default="127.0.0.1",
    example="0.0.0.0",  # noqa: S104 - an example for containers, not a default
)
PORT = number(
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
    parser=always(values.url("https://dragoman.example.com")),
    absent="no links",
    example="https://dragoman.example.com",
)
DRAGOMAN_OPERATOR_KEY = secret(
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
    parser=always(values.url("http://127.0.0.1:4318")),
    absent="no traces",
    fields=("traces_url",),
    example="http://127.0.0.1:4318",
)
DRAGOMAN_CONFIG = Setting(
    name="DRAGOMAN_CONFIG",
    group="Service",
    about="The TOML file: repositories, rules of a session's life, what OpenCode gets",
    kind="path",
    parser=always(values.text),  # `table` reads it, and tells what is wrong with it
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
DRAGOMAN_SANDBOX = choice(
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
    parser=always(values.one_of("debug", "info", "warning", "error")),
    default="info",
    example="debug",
    live=True,
)
