"""Whether somebody may do what they ask for: decided inside the turn, before the machine hears of it.

The decision is written into the audit trail in the same transaction. What may not be is replaced by a refusal: the
machine, the journal and the conversation never see the words, so no prompt can hold them.
"""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import access
from dragoman.core.access import Policy
from dragoman.core.events import Event
from dragoman.core.events.issues import CommentWritten, IssueEdited
from dragoman.core.events.linear import Prompted, RefusalReason, RequestRefused, SessionOpened
from dragoman.core.pace import Paces
from dragoman.core.session import Session
from dragoman.core.unheard import digest
from dragoman.ledger import audit, paces, unheard
from dragoman.ledger.tx import Tx
from dragoman.linear import redacted

LASTING = frozenset({"nobody", "user", "team", "rule"})  # who only goes too fast may say the same again later


class Gate:
    """Lets events through as they are, or puts a refusal in their place. What no person does passes unasked."""

    def __init__(self, policy: Policy, pace: Paces) -> None:
        self.policy = policy
        self._pace = pace

    def __call__(self, tx: Tx, session: Session, event: Event) -> Event:
        """Decide about `event` of `session` as it stands."""
        deed = access.deed_of(session, event)
        if deed is None:
            return event
        person, team = access.person_of(event), access.team_of(session, event)
        reason: RefusalReason | None = None
        silent = False
        aside = isinstance(event, IssueEdited | CommentWritten)  # not said to us, so nobody waits for a reply
        if deed != "stop" and not aside:  # that must work however much was written before it
            fast = paces.take(tx, session.organization, person.id if person else "", self._pace)
            if fast is not None:
                reason, silent = fast.reason, fast.silent
        reason = reason or access.decide(person, team, deed, self.policy)
        audit.append(
            tx,
            audit.Decision(
                source="linear",
                organization=session.organization,
                session=session.id,
                team=team.key or team.id,
                person=person.id if person else "",
                name=person.name if person else "",
                action=deed,
                verdict=reason or audit.ALLOWED,
            ),
        )
        if reason is None:
            return _without_unheard(tx, session, event)
        if isinstance(event, SessionOpened | Prompted):
            if reason in LASTING and (issue := event.issue or session.issue) is not None:
                unheard.remember(tx, issue.id, digest(event.prompt.text))
            return RequestRefused(deed=deed, reason=reason, person=person, silent=silent, issue=event.issue)
        return RequestRefused(deed=deed, reason=reason, person=person, silent=silent or aside)


def _without_unheard(tx: Tx, session: Session, event: Event) -> Event:
    """Linear's context holds the comments of an issue, those included that were refused."""
    if not isinstance(event, SessionOpened | Prompted) or not event.prompt.context:
        return event
    issue = event.issue or session.issue
    refused = unheard.of_issue(tx, issue.id) if issue is not None else None
    if not refused:
        return event
    clean = redacted.without(event.prompt.context, lambda words: digest(words) in refused)
    return replace(event, prompt=replace(event.prompt, context=clean))
