"""The parts of a service, made from its settings; `service` starts, joins and stops them."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from dragoman.config import Settings
from dragoman.core.effects import ClearWorkspace, ReplyToReview, SaveWork
from dragoman.core.events import Event
from dragoman.errors import Refusal
from dragoman.ledger.effects import Claimed
from dragoman.linear.client import Linear, open_linear
from dragoman.opencode.sandbox import database_places, folder_places
from dragoman.opencode.server import ManagedServer
from dragoman.opencode.settings import read_operator_configuration
from dragoman.repositories.forge import Forge
from dragoman.repositories.github_token import AppToken, GivenToken
from dragoman.runtime.agent_host import AttachedServer, TendedServer
from dragoman.runtime.workers import Perform


def agent_host(settings: Settings, *, busy: Callable[[], bool], keep: bool) -> AttachedServer | TendedServer:
    """What tends OpenCode: our own server, or somebody else's. Raises Refusal, ConfigurationError.

    busy  whether runs are under way; `keep`: leave our own server running at the end while they are
    """
    workspaces = settings.data_dir / "workspaces"
    if settings.opencode_url:
        return AttachedServer(settings.opencode_url, settings.opencode_token or None, workspaces)
    binary = settings.opencode_bin or shutil.which("opencode")
    if not binary or not Path(binary).is_file():
        raise Refusal(
            f"OpenCode was not found ({binary or 'no `opencode` on PATH'}). Install it (npm install -g opencode-ai), "
            "set OPENCODE_BIN to the program, or OPENCODE_SESSION_API_URL to a running server."
        )
    config = read_operator_configuration(Path(settings.opencode_config) if settings.opencode_config else None)
    server = ManagedServer(
        Path(binary),
        settings.data_dir,
        workspaces,
        config=config,
        model=settings.opencode_model or None,
        pass_on=settings.pass_env,
        hidden=hidden(settings),
        sandboxing="off" if settings.sandbox == "off" else "auto",
    )
    return TendedServer(server, busy, keep=keep)


def hidden(settings: Settings) -> tuple[Path, ...]:
    """What no agent may see beside the data folder."""
    ledger = settings.ledger_url.partition(":///")[2]
    return (
        *settings.private_files,
        *(place for folder in settings.secret_folders for place in folder_places(folder)),
        *(database_places(Path(ledger).absolute()) if ledger else ()),
    )


def linear(settings: Settings) -> Linear:
    """What speaks to Linear."""
    return open_linear(
        settings.linear_api_url,
        access_token=settings.linear_access_token,
        client_id=settings.linear_client_id,
        client_secret=settings.linear_client_secret,
    )


def forge(settings: Settings) -> Forge:
    """What opens GitHub, if anything is set that does."""
    api_url, given = settings.github_api_url, settings.github_token
    if given:
        return Forge(api_url, GivenToken(given).token)
    if settings.github_app_id:
        return Forge(api_url, AppToken(api_url, settings.github_app_id, Path(settings.github_app_key_file)).token)
    return Forge(api_url)


def by_kind(
    ship: Perform, keep: Callable[[Claimed], Awaitable[None]], reply: Callable[[ReplyToReview], Awaitable[None]]
) -> Perform:
    """What takes long about work: bringing it to the forge, speaking there to reviewers, and keeping it here."""

    async def perform(claimed: Claimed) -> Event | None:
        if isinstance(claimed.effect, SaveWork | ClearWorkspace):
            await keep(claimed)
            return None
        if isinstance(claimed.effect, ReplyToReview):
            await reply(claimed.effect)
            return None
        return await ship(claimed)

    return perform
