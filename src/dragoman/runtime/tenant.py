"""Which organization is ours: the one that Linear's token reaches. Learnt once, then kept in the ledger."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dragoman import logs
from dragoman.core.retry import backoff
from dragoman.errors import LedgerError, LinearError, Theirs
from dragoman.ids import OrganizationId, UserId
from dragoman.ledger import hosts
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import Linear

_ORGANIZATION, _APP_USER, _NAMES = "organization", "app_user", "names"
FIRST_LOOK_S = 2.0  # a delivery waits no longer than this for the first look-up
_log = logs.get("tenant")


class Tenant:
    """Who we are. Linear being down does not keep the service from starting: then nothing is known for a while.

    trouble  why Linear has not told it since the start; empty when it has, or was not asked yet
    """

    def __init__(self, linear: Linear, ledger: SqliteLedger) -> None:
        self._linear = linear
        self._ledger = ledger
        self._tried = asyncio.Event()
        self.trouble = ""
        self.organization: OrganizationId | None = None
        self.app_user: UserId | None = None
        self.names: tuple[str, ...] = ()  # by which people mention us

    async def run(self) -> None:
        """Learn it, trying until it works; what was learnt before serves meanwhile."""
        await self._recall()
        attempts = 0
        while True:
            try:
                viewer = await self._linear.viewer()
            except LinearError as error:
                attempts += 1
                self.trouble = logs.masked(str(error))
                self._tried.set()
                wait_s = backoff(attempts, error.retry_after_s)
                _log.warning("viewer.unknown", error=str(error), again_in_s=wait_s)
                await asyncio.sleep(wait_s)
                continue
            self.trouble = ""
            if self.organization is not None and self.organization != viewer.organization:
                _log.warning("organization.changed", before=self.organization, now=viewer.organization)
            self.organization, self.app_user = viewer.organization, viewer.id
            self.names = tuple(dict.fromkeys(name for name in (viewer.name, viewer.display_name) if name))
            self._tried.set()
            await self._keep()
            _log.info("viewer.known", organization=viewer.organization, app_user=viewer.id)
            return

    async def is_ours(self, organization: OrganizationId) -> bool | None:
        """Whether an organization is ours; None while that is not known."""
        await self.looked_up()
        return None if self.organization is None else self.organization == organization

    async def looked_up(self) -> None:
        """Wait for the first look-up, if nothing is known, but not for long."""
        if self.organization is None and not self._tried.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), FIRST_LOOK_S)

    async def _recall(self) -> None:
        try:
            organization = await self._ledger.read(hosts.get_value, _ORGANIZATION)
            app_user = await self._ledger.read(hosts.get_value, _APP_USER)
            names = await self._ledger.read(hosts.get_value, _NAMES)
        except LedgerError as error:
            _log.warning("viewer.unrecalled", error=str(error))
            return
        self.organization = OrganizationId(organization) if organization else None
        self.app_user = UserId(app_user) if app_user else None
        self.names = tuple((names or "").splitlines())

    async def _keep(self) -> None:
        try:
            await self._ledger.turn(hosts.put_value, _ORGANIZATION, self.organization or "")
            await self._ledger.turn(hosts.put_value, _APP_USER, self.app_user or "")
            await self._ledger.turn(hosts.put_value, _NAMES, "\n".join(self.names))
        except Theirs as error:
            _log.warning("viewer.unkept", error=str(error))
