"""What a delivery can mean for us, and the values that every reading is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from dragoman.core.events.issues import IssueEvent
from dragoman.core.events.linear import Issue, LinearEvent, Person, Withdrawn
from dragoman.ids import IssueId, OrganizationId, SessionId, UserId
from dragoman.linear import wire
from dragoman.linear.webhook import Delivery
from dragoman.record import Record

Reason = Literal["unknown_type", "unknown_action", "own_event", "odd_shape", "stale", "not_ours", "nobody"]


class AboutIssue(Record):
    """An event for the sessions of an issue. When it is dealt out, a key counts per session."""

    issue: IssueId
    organization: OrganizationId
    event: Withdrawn | IssueEvent
    keys: tuple[str, ...]


class Relevant(Record):
    """An event of one session.

    keys   each of them names this content; a delivery of which any key was seen before is a repetition
    opens  whether it makes a session that is not there yet; otherwise it is for a session that is, or for nobody
    otherwise  what it means when that session is not there
    """

    session: SessionId
    organization: OrganizationId
    event: LinearEvent
    keys: tuple[str, ...]
    opens: bool = True
    otherwise: AboutIssue | None = None


class AboutOrganization(Record):
    """An event for every session of an organization. When it is dealt out, a key counts per session."""

    organization: OrganizationId
    event: Withdrawn
    keys: tuple[str, ...]


class Ignored(Record):
    """Answered with 200 and counted, nothing else.

    reason  a stable word
    detail  type and action, for the log
    """

    reason: Reason
    organization: OrganizationId | None = None
    detail: str = ""


Reading = Relevant | AboutIssue | AboutOrganization | Ignored


# ── what they are made of ────────────────────────────────────────────────
def keys_of(delivery: Delivery, content: str) -> tuple[str, ...]:
    """The keys of a delivery whose content `content` names."""
    return (f"delivery:{delivery.id}", content) if delivery.id else (content,)


def ignored(reason: Reason, payload: wire.Payload) -> Ignored:
    """A reading of what we cannot use."""
    organization = OrganizationId(payload.organization_id) if payload.organization_id else None
    return Ignored(reason=reason, organization=organization, detail=f"{payload.type} {payload.action}"[:100])


def person_of(user: wire.User | None, user_id: str | None) -> Person | None:
    """Who it was, None when nobody is named; an id alone is somebody."""
    known = (user.id if user else None) or user_id
    if not known:
        return None
    if user is None:
        return Person(id=UserId(known), name="someone")
    return Person(id=UserId(known), name=user.name or "someone", email=user.email or None)


def issue_of(issue: wire.Issue | None) -> Issue | None:
    """What a delivery says of an issue."""
    if issue is None or not issue.id:
        return None
    team = issue.team
    return Issue(
        id=IssueId(issue.id),
        key=issue.identifier or "",
        title=issue.title or "",
        url=issue.url or "",
        team_id=issue.team_id or (team.id if team else None) or "",
        team_key=(team.key if team else None) or "",
        description=issue.description or "",
    )


def seconds_of(written: str | None, payload: wire.Payload) -> float:
    """When it was written; Linear's stamp on the delivery when that is not readable."""
    for text in (written, payload.created_at):
        try:
            at = datetime.fromisoformat(text or "")
        except ValueError:
            continue
        if at.tzinfo is not None:
            return at.timestamp()
    return (payload.webhook_timestamp or 0.0) / 1000
