"""Settings that can be used one by one, but not safely together: refused, or doubted aloud.

Refused is what hands a secret or the service itself to strangers and has no honest use. Doubted is what may be meant: a
reverse proxy in front, a private network, a container with a single user. docs/configuration.md lists them.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dragoman.config import catalogue
from dragoman.config.beside import secrets_for_opencode
from dragoman.config.settings import Settings, credentials
from dragoman.config.sources import Sources
from dragoman.config.values import is_loopback, is_there
from dragoman.errors import ConfigurationError
from dragoman.opencode.settings import read_operator_configuration
from dragoman.repositories.remote import local_path

SHORTEST_RETENTION_DAYS: Final = 8  # Linear repeats a delivery for hours, and people may send one again for a week
SHORTEST_SECRET: Final = 16  # characters; fewer can be guessed by trying


def refuse(settings: Settings, sources: Sources) -> None:
    """Note as problems what must not be."""
    if not settings.webhook_secrets and not sources.is_faulty("LINEAR_WEBHOOK_SECRET"):
        sources.problem(
            "LINEAR_WEBHOOK_SECRET",
            "holds no secret: without one anybody could sign. Copy the signing secret of the webhook from Linear. "
            "Example: lin_wh_0123456789",
        )
    if _has_no_credentials(settings) and not any(map(sources.is_faulty, _CREDENTIALS)):
        sources.problem(
            "LINEAR_ACCESS_TOKEN",
            "is empty, and LINEAR_CLIENT_ID with LINEAR_CLIENT_SECRET are not both set; set one of the two. "
            "Example: lin_oauth_0123456789",
        )
    if 0 < len(settings.operator_key) < SHORTEST_SECRET:
        sources.problem(
            "DRAGOMAN_OPERATOR_KEY",
            f"is shorter than {SHORTEST_SECRET} characters, which can be guessed. Leave it empty, and one is made. "
            "Example: 9f86d081884c7d659a2feaa0c55ad015",
        )
    if bool(settings.github_app_id) != bool(settings.github_app_key_file):
        sources.problem(
            "GITHUB_APP_ID",
            "and GITHUB_APP_PRIVATE_KEY_FILE belong together; set both, or GITHUB_TOKEN instead. Example: 123456",
        )
    if _in_the_clear(settings.github_api_url):
        sources.problem(
            "GITHUB_API_URL",
            "sends the token unencrypted to another machine. Use https. Example: https://api.github.com",
        )
    if _in_the_clear(settings.linear_api_url):
        sources.problem(
            "LINEAR_API_URL",
            "sends the access token unencrypted to another machine. Use https. Example: https://api.linear.app",
        )
    try:
        read_operator_configuration(Path(settings.opencode_config) if settings.opencode_config else None)
    except ConfigurationError as error:
        what = str(error).removeprefix(f"OPENCODE_CONFIG {settings.opencode_config} ")
        sources.problem(
            "OPENCODE_CONFIG",
            f'names {settings.opencode_config}, which {what}. Example of its content: {{"provider": {{}}}}',
        )
    for file in _files(settings, sources):
        if _others_may(file, stat.S_IWOTH):
            sources.note(f"{file} may be changed by every user of this machine. Run: chmod o-w {file}")


def doubts(settings: Settings, sources: Sources) -> Iterator[str]:
    """What may be meant, but should be known."""
    told = sources.remark
    if not is_loopback(settings.host) and not settings.public_url.startswith("https://"):
        yield told("HOST", "listens to other machines, and PUBLIC_URL names no https address: put TLS in front of it")
    if _in_the_clear(settings.public_url):
        yield told("PUBLIC_URL", "is no https address: what people open there travels unencrypted")
    if any(len(secret) < SHORTEST_SECRET for secret in settings.webhook_secrets):
        yield told("LINEAR_WEBHOOK_SECRET", f"is shorter than {SHORTEST_SECRET} characters, which can be guessed")
    if _in_the_clear(settings.opencode_url):
        what = "its password travels unencrypted" if settings.opencode_token else "it asks for no password"
        yield told(
            "OPENCODE_SESSION_API_URL",
            f"leads to another machine without https: {what}, and who reaches it may command it",
        )
    if _in_the_clear(settings.projection_url):
        yield told("SESSION_STORAGE_URL", "leads to another machine: conversations travel unencrypted. Use rediss://")
    if settings.sandbox == "off" and not settings.opencode_url:
        yield told("DRAGOMAN_SANDBOX", "is off: the agent can read all that this user can, secrets in files among it")
    if not settings.enable_session_persistence:
        kept = [name for name in ("SESSION_STORAGE_URL", "LEDGER_URL") if sources.raw(name)]
        unused = f", and {' and '.join(kept)} not used" if kept else ""
        yield told(
            "ENABLE_SESSION_PERSISTENCE",
            f"is false: sessions are kept in memory{unused}; a restart forgets all of them",
        )
    if not settings.session_require_auth:
        for name, allowed in _lists(settings):
            if allowed:
                yield told(
                    name,
                    "is set while SESSION_REQUIRE_AUTH is false: the list holds all the same. "
                    "Set SESSION_REQUIRE_AUTH=true to refuse automations, too",
                )
    elif not any(allowed for _, allowed in _lists(settings)):
        yield told(
            "SESSION_REQUIRE_AUTH",
            "is true with both lists empty: every person of the organization may start sessions; automations may not",
        )
    if 0 < settings.rules.retention_days < SHORTEST_RETENTION_DAYS:
        yield (
            f"[session] retention_days = {settings.rules.retention_days} is less than {SHORTEST_RETENTION_DAYS}: people's "
            "words go by then, but the keys by which a repeated delivery is known are kept for nine days, or old work "
            "would be done again"
        )
    for repository in settings.repositories:
        path = local_path(repository.url)
        if path is not None and not is_there(path.is_dir):
            yield f"[[repositories]] {repository.name!r}: there is no folder {path}. Its url is a path: is it written whole?"
    for file in _files(settings, sources):
        if _others_may(file, stat.S_IROTH):
            yield f"{file} holds secrets, and every user of this machine may read it. Run: chmod o-r {file}"


_CREDENTIALS: Final = ("LINEAR_ACCESS_TOKEN", "LINEAR_CLIENT_ID", "LINEAR_CLIENT_SECRET")


def _has_no_credentials(settings: Settings) -> bool:
    return not settings.linear_access_token and not (settings.linear_client_id and settings.linear_client_secret)


def _lists(settings: Settings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("SESSION_ALLOWED_USERS", settings.session_allowed_users),
        ("SESSION_ALLOWED_TEAMS", settings.session_allowed_teams),
    )


def _in_the_clear(url: str) -> bool:
    """Whether it leads off this machine without encryption."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "redis"} and not is_loopback(parts.hostname or "")


def _files(settings: Settings, sources: Sources) -> list[Path]:
    """The files in which a secret stands."""
    found = [sources.file_of(name) for name, setting in catalogue.ALL.items() if setting.secret]
    found += [Path(settings.github_app_key_file)] if settings.github_app_key_file else []
    found += [Path(settings.opencode_config)] if secrets_for_opencode(settings.opencode_config) else []
    if any(credentials(repository.url) for repository in settings.repositories):
        found.append(settings.config_file)
    return list(dict.fromkeys(file for file in found if file is not None))


def _others_may(file: Path, bit: int) -> bool:
    try:
        return bool(file.stat().st_mode & bit and file.resolve().parent.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False
