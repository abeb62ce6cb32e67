"""The settings: names, where each value came from, and all that is wrong with them at once.

Names are a contract with other people's scripts; `catalogue` lists them. They stand in the environment, in a secrets
folder, or in a `.env` file of the folder the program is started in (the first that has a name wins). Repositories and
policies stand in a TOML file, which DRAGOMAN_CONFIG names. This package, `runtime.service` and `runtime.parts` are the
composition root: settings are unpacked there and never travel further.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from dragoman.config import catalogue, safety, table
from dragoman.config.beside import secrets_beside
from dragoman.config.catalogue import neighbours, service, sessions
from dragoman.config.settings import LIVE, LedgerPlace, LibrarySettings, Settings, Workplace, credentials, names_of
from dragoman.config.sources import DOTENV, Sources
from dragoman.config.values import REDIS
from dragoman.core.limits import Rules
from dragoman.core.pace import Paces
from dragoman.errors import ConfigurationError

__all__ = [
    "LIVE",
    "Examined",
    "LedgerPlace",
    "LibrarySettings",
    "Settings",
    "Workplace",
    "examine",
    "load",
    "load_ledger_place",
    "load_library",
    "load_rules",
    "load_workplace",
    "names_of",
]


def load(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read and check everything.

    environment  default: the process's own
    folder       where `.env` and `dragoman.toml` are looked for and what relative paths count from; default: the current
    Raises       ConfigurationError with every problem, each with the place the value came from
    """
    examined = examine(environment, folder=folder)
    if examined.problems:
        raise ConfigurationError(list(examined.problems))
    return examined.settings


def examine(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Examined:
    """Read and check everything, as `load` does, and tell what was found; defaults stand in for what is wrong."""
    sources = _open(environment, folder)
    settings = _read(sources)
    safety.refuse(settings, sources)
    doubts = (*settings.doubts, *safety.doubts(settings, sources))
    return Examined(settings=replace(settings, doubts=doubts), problems=tuple(sources.problems()), sources=sources)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What was found.

    settings  with defaults for what is wrong; its `doubts` say what is set and does nothing, or should be known
    problems  one line each; empty = the settings can be used
    sources   where each value came from
    """

    settings: Settings
    problems: tuple[str, ...]
    sources: Sources


def load_ledger_place(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> LedgerPlace:
    """Read only where the ledger is: for a verb that looks into it and needs nothing else.

    Raises  ConfigurationError
    """
    sources = _open(environment, folder)
    data_dir, url, projection_url = _places(sources)
    managed = sources.read(sessions.ENABLE_SESSION_MANAGEMENT)
    sources.finish()
    hidden = (sources.read(setting) for setting in catalogue.ALL.values() if setting.secret)
    secrets = [each for value in hidden for each in (value if isinstance(value, tuple) else (value,))]
    file = table.read(sources, sources.folder)  # what is wrong with it is not our business here
    for address in (*map(sources.raw, catalogue.ALL), *(repository.url for repository in file.repositories)):
        secrets += credentials(address)
    secrets += secrets_beside(sources.environment, file.pass_env, sources.read(neighbours.OPENCODE_CONFIG))
    return LedgerPlace(
        url=url,
        folder=data_dir,
        projection_url=projection_url,
        managed=managed,
        secrets=tuple(dict.fromkeys(secret for secret in secrets if secret)),
    )


def load_library(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> LibrarySettings:
    """Read what a program needs that keeps sessions through the library: no secret of Linear is wanted.

    environment, folder  as for `load`
    Raises               ConfigurationError with every problem
    """
    sources = _open(environment, folder)
    _, ledger_url, _ = _places(sources)
    # A program needs no repositories, so it may go without the file that names them.
    wanted = sources.raw("DRAGOMAN_CONFIG") or table.place(sources, sources.folder).is_file()
    settings = LibrarySettings(
        ledger_url=ledger_url,
        enabled=sources.read(sessions.ENABLE_SESSIONS),
        cleanup_interval_minutes=sources.read(sessions.SESSION_CLEANUP_INTERVAL_MINUTES),
        rules=_rules(sources, table.read(sources, sources.folder).rules if wanted else Rules()),
    )
    sources.finish()
    return settings


def load_workplace(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Workplace:
    """Read only where workspaces are. Raises ConfigurationError"""
    sources = _open(environment, folder)
    data_dir, _, _ = _places(sources)
    repositories = table.read(sources, sources.folder).repositories
    sources.finish()
    return Workplace(data_dir=data_dir, repositories=repositories)


def load_rules(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Rules:
    """Read only the rules of a session's life, as the file has them now; what is wrong with it is left out."""
    sources = _open(environment, folder)
    return _rules(sources, table.read(sources, sources.folder).rules)


def _open(environment: Mapping[str, str] | None, folder: Path | None) -> Sources:
    return Sources(os.environ if environment is None else environment, folder or Path.cwd())


def _rules(sources: Sources, rules: Rules) -> Rules:
    """Those of the file, with what has a name of its own."""
    return replace(
        rules,
        timeout_s=sources.read(sessions.SESSION_TIMEOUT_MINUTES) * 60.0,
        max_messages=sources.read(sessions.SESSION_MAX_MESSAGES),
        sessions=sources.read(sessions.ENABLE_SESSIONS),
        handling=replace(rules.handling, names=(sources.read(neighbours.LINEAR_AGENT_NAME),)),
        streaming=sources.read(sessions.ENABLE_SESSION_STREAMING),
    )


def _places(sources: Sources) -> tuple[Path, str, str]:
    """The data folder, the ledger, and the projection if there is to be one."""
    data_dir = sources.read(service.DRAGOMAN_DATA_DIR, default=str(_share(sources) / "dragoman"))
    storage = sources.read(service.SESSION_STORAGE_URL)
    ledger = sources.read(service.LEDGER_URL)
    is_redis = storage.partition(":")[0].lower() in REDIS
    if storage and ledger and not is_redis and storage != ledger:
        sources.problem(
            "LEDGER_URL",
            f"names another ledger than SESSION_STORAGE_URL ({sources.where('SESSION_STORAGE_URL')}). There is one: "
            "leave one of the two empty. Example: LEDGER_URL=",
        )
    url = ledger or ("" if is_redis else storage) or f"sqlite:///{data_dir}/dragoman.db"
    if not sources.read(service.ENABLE_SESSION_PERSISTENCE):
        return data_dir, "memory://", ""
    return data_dir, url, storage if is_redis else ""


def _share(sources: Sources) -> Path:
    """Where programs keep their data, unless they are told."""
    if base := sources.raw("XDG_DATA_HOME"):
        return Path(base)
    try:
        return Path.home() / ".local" / "share"
    except RuntimeError:  # a container may run us as a user that has no name and no home
        if not sources.raw("DRAGOMAN_DATA_DIR"):
            sources.problem(
                "DRAGOMAN_DATA_DIR",
                "is needed, since the user who starts this has no home folder. Example: /var/lib/dragoman",
            )
        return sources.folder


def _read(sources: Sources) -> Settings:
    read = sources.read
    data_dir, ledger_url, projection_url = _places(sources)
    config_file = table.place(sources, sources.folder)
    file = table.read(sources, sources.folder)
    opencode_url, password = read(neighbours.OPENCODE_SESSION_API_URL)
    key_file = read(neighbours.GITHUB_APP_PRIVATE_KEY_FILE)
    return Settings(
        linear_api_url=read(neighbours.LINEAR_API_URL),
        linear_access_token=read(neighbours.LINEAR_ACCESS_TOKEN),
        linear_client_id=read(neighbours.LINEAR_CLIENT_ID),
        linear_client_secret=read(neighbours.LINEAR_CLIENT_SECRET),
        webhook_secrets=read(neighbours.LINEAR_WEBHOOK_SECRET),
        opencode_url=opencode_url,
        opencode_token=read(neighbours.OPENCODE_SESSION_TOKEN) or password,
        opencode_model=read(neighbours.OPENCODE_MODEL),
        opencode_agent=read(neighbours.OPENCODE_AGENT),
        opencode_bin=read(neighbours.OPENCODE_BIN),
        opencode_config=read(neighbours.OPENCODE_CONFIG),
        ledger_url=ledger_url,
        projection_url=projection_url,
        enable_sessions=read(sessions.ENABLE_SESSIONS),
        enable_session_persistence=read(service.ENABLE_SESSION_PERSISTENCE),
        enable_session_streaming=read(sessions.ENABLE_SESSION_STREAMING),
        enable_session_management=read(sessions.ENABLE_SESSION_MANAGEMENT),
        session_timeout_minutes=read(sessions.SESSION_TIMEOUT_MINUTES),
        session_max_messages=read(sessions.SESSION_MAX_MESSAGES),
        session_cleanup_interval_minutes=read(sessions.SESSION_CLEANUP_INTERVAL_MINUTES),
        session_cache_size=read(sessions.SESSION_CACHE_SIZE),
        session_require_auth=read(sessions.SESSION_REQUIRE_AUTH),
        session_allowed_users=read(sessions.SESSION_ALLOWED_USERS),
        session_allowed_teams=read(sessions.SESSION_ALLOWED_TEAMS),
        max_concurrent_sessions=read(sessions.MAX_CONCURRENT_SESSIONS),
        max_per_issue_hour=read(sessions.SESSION_MAX_PER_ISSUE_HOUR),
        host=read(service.HOST),
        port=read(service.PORT),
        public_url=read(service.PUBLIC_URL),
        operator_key=read(service.DRAGOMAN_OPERATOR_KEY),
        traces_url=read(service.OTEL_EXPORTER_OTLP_ENDPOINT),
        data_dir=data_dir,
        log_level=read(service.LOG_LEVEL),
        debug_linear_webhooks=read(neighbours.DEBUG_LINEAR_WEBHOOKS),
        sandbox=read(service.DRAGOMAN_SANDBOX),
        agent_mode=read(neighbours.LINEAR_AGENT_MODE),
        agent_name=read(neighbours.LINEAR_AGENT_NAME),
        github_token=read(neighbours.GITHUB_TOKEN),
        github_app_id=read(neighbours.GITHUB_APP_ID),
        github_app_key_file=key_file,
        github_api_url=read(neighbours.GITHUB_API_URL),
        github_webhook_secrets=read(neighbours.GITHUB_WEBHOOK_SECRET),
        repositories=file.repositories,
        rules=_rules(sources, file.rules),
        access=file.access,
        paces=Paces(
            person=read(sessions.SESSION_MAX_PER_USER_MINUTE),
            organization=read(sessions.SESSION_MAX_PER_ORGANIZATION_MINUTE),
        ),
        pass_env=file.pass_env,
        config_file=config_file,
        private_files=(sources.folder / DOTENV, config_file, *((Path(key_file),) if key_file else ())),
        secret_folders=sources.secret_folders,
        beside=secrets_beside(sources.environment, file.pass_env, read(neighbours.OPENCODE_CONFIG)),
        doubts=sources.doubts(file.pass_env),
    )
