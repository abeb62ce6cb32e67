"""`/sessions/ID`: what the link in Linear leads to. Read-only; opened by the key that is part of the link.

Linear's link is seen by those who may see the issue. The key keeps the page from everybody who merely reaches the service.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, select_autoescape

from dragoman import logs
from dragoman.errors import LedgerError
from dragoman.ids import SessionId
from dragoman.ledger import read as look
from dragoman.ledger.read import Details
from dragoman.runtime.service import Service
from dragoman.web.asgi import Receive, Scope, Send, send_text

PREFIX = "/sessions/"
STYLE_PATH = "/static/session.css"
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class SessionPage:
    """Shows one session."""

    def __init__(self, service: Service) -> None:
        self._service = service
        pages = Environment(
            loader=PackageLoader("dragoman.web"), autoescape=select_autoescape(default=True), finalize=_masked
        )
        pages.filters["time"] = _time
        self._template = pages.get_template("session.html")
        self._style = (Path(__file__).parent / "static" / "session.css").read_bytes()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        session = SessionId(scope["path"].removeprefix(PREFIX))
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("key", [""])[0]
        if not hmac.compare_digest(given.encode(), self._service.links.key_of(session).encode()):
            await send_text(send, 404, "There is no such page, or the link is not complete.")
            return
        try:
            details = await self._service.ledger.read(look.details, session)
        except LedgerError as error:
            await send_text(send, 503, logs.masked(f"The ledger cannot be read at the moment: {error}"))
            return
        if details is None:
            await send_text(send, 404, "This session is not known here (any more).")
            return
        await _send(send, self._render(details).encode(), b"text/html; charset=utf-8")

    async def style(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """The style sheet."""
        await _send(send, self._style, b"text/css; charset=utf-8")

    def _render(self, details: Details) -> str:
        waiting = [effect for effect in details.effects if effect.outcome is None and effect.kind != "Remind"]
        parked = [effect for effect in details.effects if effect.outcome == "parked"]
        return self._template.render(
            summary=details.summary,
            session=details.session,
            messages=details.messages,
            journal=details.journal,
            waiting=waiting,
            parked=parked,
            agent=self._service.settings.agent_name,
            style=STYLE_PATH,
        )


async def _send(send: Send, body: bytes, kind: bytes) -> None:
    headers = [*_HEADERS, (b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _masked(value: object) -> object:
    """Every value on its way into the page, before it is escaped: a secret would look different after that."""
    return logs.masked(value) if type(value) is str else value


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
