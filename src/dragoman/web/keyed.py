"""`/api/v1` is for whoever holds the operator's key, on this machine too: an agent or another user may reach the port."""

from __future__ import annotations

import hmac

from dragoman import logs
from dragoman.runtime.service import Service
from dragoman.web.asgi import Application, Receive, Scope, Send, send_json
from dragoman.web.repeats import Repeats

REFUSED = (
    "This needs the operator's key, sent as `Authorization: Bearer KEY`. KEY is DRAGOMAN_OPERATOR_KEY, or what the file "
    "operator.key in the data folder holds."
)
_SCHEME = b"bearer "
_CHALLENGE = [(b"www-authenticate", b"Bearer")]
_log = logs.get("control")


class Keyed:
    """Asks for the key in front of other applications, and counts and logs who has none."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._strangers = Repeats(_log, "operator.refused")

    def guard(self, application: Application) -> Application:
        """The application behind the key."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if reason := self._refusal(scope):
                self._service.metrics.closed.labels(reason).inc()
                self._strangers.note(reason, path=scope["path"][:100])
                await send_json(send, 401, {"error": REFUSED}, headers=_CHALLENGE)
                return
            await application(scope, receive, send)

        return answer

    def _refusal(self, scope: Scope) -> str:
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(given) != 1 or not given[0].lower().startswith(_SCHEME):
            return "no_key"
        # Compared in constant time, so that nobody learns it letter by letter.
        known = hmac.compare_digest(given[0][len(_SCHEME) :].strip(), self._service.operator_key.encode())
        return "" if known else "wrong_key"
