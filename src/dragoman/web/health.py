"""What machines ask about us: `/health` (for people's scripts), `/healthz` (do we live), `/readyz` (may work come)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from dragoman import logs
from dragoman.errors import LedgerError
from dragoman.ledger import hosts
from dragoman.ledger import read as look
from dragoman.ledger.tx import Tx
from dragoman.runtime.service import Service
from dragoman.web.asgi import Receive, Scope, Send, send_json, send_text

LEDGER_S = 2.0  # who asks about our health waits no longer than this for the ledger
PROBE_BYTES = 16_384  # written for a moment: more than free room within a page, so that a full disk shows
_PROBE = "probe"


class Health:
    """Answers about one service.

    deliveries  what became of webhook deliveries since the start
    """

    def __init__(self, service: Service, deliveries: Mapping[str, int]) -> None:
        self._service = service
        self._deliveries = deliveries

    async def of_service(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """200 as long as we can answer at all, also while OpenCode is away or the ledger cannot be read."""
        settings = self._service.settings
        stats, problem = look.Stats(), ""
        try:
            async with asyncio.timeout(LEDGER_S):
                stats = await self._service.ledger.read(look.stats)
        except (LedgerError, TimeoutError) as error:
            problem = logs.masked(str(error)) or "no answer in time"
        told = {
            "status": "degraded" if problem else "healthy",
            "agent": settings.agent_name,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sessions": {name: None if problem else getattr(stats, name) for name in look.Stats.__struct_fields__},
            "config": settings.shown(),
            "deliveries": dict(self._deliveries),
        }
        await send_json(send, 200, {**told, "ledger": f"cannot be read: {problem}"} if problem else told)

    async def of_process(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """The event loop turns."""
        await send_text(send, 200, "ok")

    async def readiness(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Whether new work would be taken up now; 503 only when a webhook could not be stored."""
        service = self._service
        problems = service.troubles()
        storing = True
        try:
            async with asyncio.timeout(LEDGER_S):
                await service.ledger.turn(_write_and_forget)
        except (LedgerError, TimeoutError) as error:
            storing = False
            problems.append(f"ledger: {logs.masked(str(error)) or 'no answer in time'}")
        told = {
            "ready": storing,
            "opencode": service.opencode_state(),
            "sandbox": service.sandbox_state(),
            "linear": "known" if service.tenant.organization else "unknown",
            "projection": service.projection_state(),
            "problems": problems,
        }
        await send_json(send, 200 if storing else 503, told)


def _write_and_forget(tx: Tx) -> None:
    hosts.put_value(tx, _PROBE, secrets.token_hex(PROBE_BYTES // 2))
    hosts.put_value(tx, _PROBE, "")
