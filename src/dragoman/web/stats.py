"""`GET /api/v1/stats`: how turns went. It names people, so it stands behind the operator's key."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from dragoman import logs
from dragoman.errors import LedgerError
from dragoman.ledger import numbers
from dragoman.ledger.numbers import GROUPINGS
from dragoman.runtime.service import Service
from dragoman.web.asgi import Receive, Scope, Send, send_json

LEDGER_S = 5.0
SINCE = "7d"


class StatsPage:
    """Answers for one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """`?since=7d&by=team`, `by` one of team, repository, user and day, or left out."""
        asked = parse_qs(scope["query_string"].decode("ascii", "replace"))
        by = next((one for one in GROUPINGS if [one] == asked.get("by")), None)
        if by is None and "by" in asked:
            await send_json(send, 400, {"error": f"`by` is one of {', '.join(GROUPINGS)}."})
            return
        try:
            span = numbers.span_s(asked.get("since", [SINCE])[0])
            async with asyncio.timeout(LEDGER_S):
                found = await self._service.ledger.read(numbers.report, span, by)
        except ValueError as error:
            await send_json(send, 400, {"error": str(error)})
        except (LedgerError, TimeoutError) as error:
            await send_json(
                send, 503, {"error": f"The ledger cannot be read: {logs.masked(str(error)) or 'no answer in time'}"}
            )
        else:
            await send_json(send, 200, found)
