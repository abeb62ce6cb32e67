"""The doors over HTTP. The webhook route is plain ASGI, in front of everything else."""

from __future__ import annotations

from datetime import UTC, datetime

from dragoman.errors import LedgerError
from dragoman.ledger import read as look
from dragoman.runtime.service import Service
from dragoman.web import session_page
from dragoman.web.asgi import Application, Receive, Scope, Send, send_json, send_text
from dragoman.web.webhooks import LinearWebhook


class Door:
    """Routes requests of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.webhook = LinearWebhook(service.engine, service.tenant, service.settings.webhook_secrets)
        self._session = session_page.SessionPage(service)
        self._routes: dict[str, Application] = {
            "/webhooks/linear": self.webhook,
            "/health": self._health,
            "/healthz": self._alive,
            "/readyz": self._ready,
            session_page.STYLE_PATH: self._session.style,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an ASGI application."""
        if scope["type"] != "http":
            return
        route = self._routes.get(scope["path"])
        if route is None and scope["path"].startswith(session_page.PREFIX):
            route = self._session
        if route is None:
            await send_text(send, 404, "There is nothing here.")
            return
        await route(scope, receive, send)

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """The seed's: 200 also while OpenCode is away."""
        service = self._service
        stats = await service.ledger.read(look.stats)
        await send_json(
            send,
            200,
            {
                "status": "healthy",
                "agent": service.settings.agent_name,
                "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "sessions": {
                    "total": stats.total,
                    "active": stats.active,
                    "completed": stats.completed,
                    "error": stats.error,
                    "timeout": stats.timeout,
                },
                "config": service.settings.shown(),
                "deliveries": dict(self.webhook.counts),
            },
        )

    async def _alive(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_text(send, 200, "ok")

    async def _ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Whether new work would be taken up now; 503 only when a webhook could not be stored."""
        service = self._service
        problems = service.troubles()
        try:
            await service.ledger.turn(look.stats)
            storing = True
        except LedgerError as error:
            storing = False
            problems.append(f"ledger: {error}")
        await send_json(
            send,
            200 if storing else 503,
            {
                "ready": storing,
                "opencode": service.opencode_state(),
                "sandbox": service.sandbox_state(),
                "linear": "known" if service.tenant.organization else "unknown",
                "problems": problems,
            },
        )
