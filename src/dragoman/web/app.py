"""The doors over HTTP. The webhook route is plain ASGI, in front of everything else."""

from __future__ import annotations

from dragoman import logs
from dragoman.config import Settings
from dragoman.runtime.service import Service
from dragoman.web import control, session_page
from dragoman.web.asgi import Application, Receive, Scope, Send, send_text
from dragoman.web.github import GitHubWebhook
from dragoman.web.health import Health
from dragoman.web.keyed import Keyed
from dragoman.web.metrics import MetricsPage
from dragoman.web.stats import StatsPage
from dragoman.web.webhooks import LinearWebhook

_log = logs.get("web")


class Door:
    """Routes requests of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.webhook = LinearWebhook(
            service.engine,
            service.tenant,
            service.settings.webhook_secrets,
            answered=service.metrics.ack.observe,
            refused=lambda reason: service.metrics.refused.labels(reason).inc(),
            complete=lambda event: service.directory.complete(event, service.engine.gate.policy),
        )
        self.github = GitHubWebhook(
            service.engine,
            service.settings.github_webhook_secrets,
            refused=lambda reason: service.metrics.refused.labels(reason).inc(),
        )
        service.live.apply_to(self._adapt)
        self._session = session_page.SessionPage(service)
        keyed = Keyed(service)
        self._control = keyed.guard(control.SessionControl(service))
        health = Health(service, self.webhook.counts)
        self._routes: dict[str, Application] = {
            "/webhooks/linear": self.webhook,
            "/webhooks/github": self.github,
            "/health": health.of_service,
            "/healthz": health.of_process,
            "/readyz": health.readiness,
            "/metrics": MetricsPage(service),
            "/api/v1/stats": keyed.guard(StatsPage(service)),
            control.PATH: self._control,
            session_page.STYLE_PATH: self._session.style,
        }

    def _adapt(self, settings: Settings) -> None:
        name = settings.agent_name if settings.agent_mode == "comment" else ""
        self.webhook.accept(settings.webhook_secrets, shown=settings.debug_linear_webhooks, name=name)
        self.github.accept(settings.github_webhook_secrets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an ASGI application."""
        if scope["type"] != "http":
            return
        route = self._routes.get(scope["path"])
        if route is None and scope["path"].startswith(session_page.PREFIX):
            route = self._session
        if route is None and scope["path"].startswith(f"{control.PATH}/"):
            route = self._control
        if route is None:
            await send_text(send, 404, "There is nothing here.")
            return
        try:
            await route(scope, receive, send)
        except Exception:  # noqa: BLE001  a border: a bug of ours is a 500 and a line in the log, never a cut connection
            _log.error("request.broke", path=scope["path"], exc_info=True)
            await send_text(send, 500, "Something broke on my side; the log has the details.")
