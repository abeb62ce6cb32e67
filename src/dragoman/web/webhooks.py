"""`POST /webhooks/linear`: verified, decided and on disk before the 200. Plain ASGI: every delivery comes through here.

Linear counts anything but 200 within 5 s as a failure, tries three times more, and may switch the webhook off. So
whatever is signed is answered with 200, understood or not; only what was not put on disk gets 503, for then its next
try is wanted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from dragoman import logs
from dragoman.core.events import Event
from dragoman.core.events.linear import Withdrawn
from dragoman.errors import LedgerError
from dragoman.ids import OrganizationId, SessionId
from dragoman.ledger import find, turns
from dragoman.ledger.tx import Tx
from dragoman.linear import inbound
from dragoman.linear.readings import AboutIssue, AboutOrganization, Ignored, Reading, Relevant
from dragoman.linear.shape import shape_of
from dragoman.linear.webhook import Delivery, UnacceptableDelivery, check_secrets, open_delivery
from dragoman.runtime.engine import Engine
from dragoman.runtime.tenant import Tenant
from dragoman.web.asgi import Receive, Scope, Send, send_text
from dragoman.web.body import BODY_S, read_delivery
from dragoman.web.repeats import Repeats

# Linear waits 5 s. An answer that comes later is a failure for Linear, whatever it says; its next try is wanted then.
DECIDE_S = 4.0
_log = logs.get("webhooks")


async def _as_it_is(event: Event) -> Event:
    return event


class LinearWebhook:
    """The door for Linear. `counts` says what became of the deliveries since the start.

    secrets   any of them may have signed
    body_s    deadline for the body
    decide_s  deadline for deciding and storing; beyond it the ledger counts as away
    answered  is told how many seconds each answer to a webhook took
    refused   is told why a webhook was turned away
    complete  adds to an event what has to be asked of Linear before somebody decides
    """

    def __init__(
        self,
        engine: Engine,
        tenant: Tenant,
        secrets: Sequence[str],
        *,
        body_s: float = BODY_S,
        decide_s: float = DECIDE_S,
        answered: Callable[[float], None] = lambda _seconds: None,
        refused: Callable[[str], None] = lambda _reason: None,
        complete: Callable[[Event], Awaitable[Event]] = _as_it_is,
    ) -> None:
        self._engine = engine
        self._tenant = tenant
        self.accept(secrets)
        self._body_s = body_s
        self._decide_s = decide_s
        self._answered = answered
        self._refused = refused
        self._complete = complete
        self.counts: Counter[str] = Counter()
        # Whoever sends junk must not fill the log with it.
        self._refused_deliveries = Repeats(_log, "delivery.refused")
        self._refused_people = Repeats(_log, "person.refused")

    def accept(self, secrets: Sequence[str], *, shown: bool = False, name: str = "") -> None:
        """Take what one of these signed, from now on.

        shown  log the shape of what arrives (DEBUG_LINEAR_WEBHOOKS)
        name   what people call us in comments, when those are the way to us; empty = they have agent sessions
        """
        self._name = name
        self._secrets = check_secrets(secrets)
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            await send_text(send, 405, "POST only")
            return
        began = time.monotonic()
        body = await read_delivery(scope, receive, send, self.counts, self._body_s)
        if body is None:
            return
        status, text = await self._decide(scope, body)
        await send_text(send, status, text)
        self._answered(time.monotonic() - began)

    async def _decide(self, scope: Scope, body: bytes) -> tuple[int, str]:
        try:
            delivery = open_delivery(scope["headers"], body, secrets=self._secrets, now=time.time())
        except UnacceptableDelivery as error:
            self.counts[type(error).__name__] += 1
            self._refused_deliveries.note(type(error).__name__)
            self._refused(type(error).__name__)
            if self._shown:
                names = sorted(name.decode("latin-1") for name, _ in scope["headers"])
                _log.info("webhook.refused", size=len(body), headers=names)
            return error.status, str(error)
        if self._shown:
            _log.info("webhook.shown", delivery=delivery.id, age_s=delivery.age_s, payload=shape_of(body))
        try:
            async with asyncio.timeout(self._decide_s):
                verdict = await self._hear(delivery, await self._read(delivery))
        except (LedgerError, TimeoutError) as error:
            self.counts["unstored"] += 1
            _log.error("delivery.unstored", error=str(error) or f"not on disk within {self._decide_s:g} s")
            return 503, "This could not be stored; please try again."
        self.counts[verdict] += 1
        return 200, "ok"

    async def _read(self, delivery: Delivery) -> Reading:
        """What it means for us; what belongs to another organization means nothing."""
        await self._tenant.looked_up()  # what is our own is known by who we are
        reading = inbound.read(delivery, app_user=self._tenant.app_user, name=self._name, called=self._tenant.names)
        ours = self._tenant.organization
        if not isinstance(reading, Ignored) and ours is not None and reading.organization != ours:
            return Ignored(reason="not_ours", organization=reading.organization, detail="foreign organization")
        return reading

    async def _hear(self, delivery: Delivery, reading: Reading) -> str:
        """Decide and store; what became of it, in a word."""
        match reading:
            case Relevant(session=session, organization=organization, event=event, keys=keys, opens=opens):
                note = _note(delivery, organization, session)
                told = await self._complete(event)
                outcome = await self._engine.receive(session, organization, told, keys=keys, delivery=note, opens=opens)
                if outcome.refused:
                    self._refused_people.note(outcome.refused, session=session)
                    return f"refused: {outcome.refused}"
                if outcome.session is None and reading.otherwise is not None:
                    return await self._hear(delivery, reading.otherwise)
                if outcome.session is None and not outcome.duplicate:
                    return "ignored: not_addressed"
                return "duplicate" if outcome.duplicate else "accepted"
            case AboutIssue(issue=issue, event=event, keys=keys):
                if isinstance(event, Withdrawn):
                    await self._engine.look_again(reading.organization, issue)
                concerned = await self._engine.concerned(issue, event)
                told = await self._complete(event) if concerned else event
                return await self._deal_out(delivery, reading.organization, concerned, told, keys)
            case AboutOrganization(organization=organization, event=event, keys=keys):
                found_ids = await self._engine.ledger.read(find.live_sessions_of, organization)
                return await self._deal_out(delivery, organization, found_ids, event, keys)
            case Ignored(reason=reason, organization=organization, detail=detail):
                _log.info("delivery.ignored", reason=reason, detail=detail)
                note = _note(delivery, organization or OrganizationId(""), None)
                await self._engine.ledger.turn(_note_ignored, note, reason)
                return f"ignored: {reason}"

    async def _deal_out(
        self,
        delivery: Delivery,
        organization: OrganizationId,
        sessions: Sequence[SessionId],
        event: Event,
        keys: Sequence[str],
    ) -> str:
        """Tell it to each session; noted when all have heard it, so that one which was cut short is not."""
        outcomes = [
            await self._engine.receive(
                session, organization, event, keys=[f"{key}:{session}" for key in keys], opens=False
            )
            for session in sessions
        ]
        if not outcomes:
            verdict = "ignored: no session"
        elif all(outcome.duplicate for outcome in outcomes):
            verdict = "duplicate"
        else:
            refused = {outcome.refused for outcome in outcomes if not outcome.duplicate}
            verdict = "accepted" if "" in refused else f"refused: {min(refused)}"
        await self._engine.ledger.turn(turns.log_delivery, _note(delivery, organization, None), verdict)
        return verdict


def _note(delivery: Delivery, organization: OrganizationId, session: SessionId | None) -> turns.Delivery:
    payload = delivery.payload
    return turns.Delivery(
        key=delivery.id or "",
        kind=payload.type or "",
        action=payload.action or "",
        organization=organization,
        session=session,
    )


def _note_ignored(tx: Tx, note: turns.Delivery, reason: str) -> None:
    turns.log_delivery(tx, note, f"ignored: {reason}")
