"""`POST /webhooks/github`: verified, and on disk before the 200, as at Linear's door.

What a delivery brings is a look at the pull request, a little later: ten comments of one review are ten deliveries and
one look. GitHub does not repeat a delivery by itself; what is lost is found at the next look by the clock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from dragoman import logs
from dragoman.errors import LedgerError
from dragoman.repositories.github_hooks import Hint, UnacceptableHook, open_hook
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.reviews import ask_to_look
from dragoman.web.asgi import Receive, Scope, Send, send_text
from dragoman.web.body import read_delivery
from dragoman.web.repeats import Repeats

DECIDE_S = 8.0  # GitHub waits 10 s
_log = logs.get("webhooks")


class GitHubWebhook:
    """The door for GitHub. `counts` says what became of the deliveries since the start.

    secrets  any of them may have signed; without one there is no door
    refused  is told why a webhook was turned away
    """

    def __init__(
        self, engine: Engine, secrets: Sequence[str], *, refused: Callable[[str], None] = lambda _reason: None
    ) -> None:
        self._engine = engine
        self._refused = refused
        self.counts: Counter[str] = Counter()
        self._refused_deliveries = Repeats(_log, "github_delivery.refused")
        self.accept(secrets)

    def accept(self, secrets: Sequence[str]) -> None:
        """Take what one of these signed, from now on."""
        self._secrets = tuple(secret for secret in secrets if secret.strip())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            await send_text(send, 405, "POST only")
            return
        if not self._secrets:
            await send_text(send, 404, "No webhook is expected here: GITHUB_WEBHOOK_SECRET is not set.")
            return
        body = await read_delivery(scope, receive, send, self.counts)
        if body is None:
            return
        status, text = await self._decide(scope, body)
        await send_text(send, status, text)

    async def _decide(self, scope: Scope, body: bytes) -> tuple[int, str]:
        try:
            hint = open_hook(scope["headers"], body, secrets=self._secrets)
        except UnacceptableHook as error:
            self.counts[error.why] += 1
            self._refused_deliveries.note(error.why)
            self._refused(error.why)
            return error.status, str(error)
        try:
            async with asyncio.timeout(DECIDE_S):
                verdict = await self._hear(hint)
        except (LedgerError, TimeoutError) as error:
            self.counts["unstored"] += 1
            _log.error("github_delivery.unstored", error=str(error) or f"not on disk within {DECIDE_S:g} s")
            return 503, "This could not be stored; please try again."
        self.counts[verdict] += 1
        _log.info("github_delivery.heard", github_event=hint.event, action=hint.action, verdict=verdict)
        return 200, "ok"

    async def _hear(self, hint: Hint) -> str:
        return await self._engine.ledger.turn(ask_to_look, hint, self._engine.rules.review_settle_s)
