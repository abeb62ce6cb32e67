"""From a verified delivery to what it means for us. Pure and total: everything it cannot use is `Ignored`, with a reason.

Source  linear.app/developers/agent-interaction, agent-signals; the *WebhookPayload types of Linear's public schema
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import UNSET

from dragoman.core.events.linear import LinearEvent, Prompt, Prompted, SessionOpened, StopRequested, Withdrawn
from dragoman.ids import ActivityId, CommentId, IssueId, OrganizationId, SessionId, UserId
from dragoman.linear import asked, comments, edits, readings
from dragoman.linear.readings import AboutIssue, AboutOrganization, Ignored, Reading, Relevant
from dragoman.linear.webhook import Delivery

__all__ = ["AboutIssue", "AboutOrganization", "Ignored", "Reading", "Relevant", "read"]

# Linear's last retry comes 6 h after the first attempt (7 h 1 min in all) with the original timestamp; one hour to spare.
STALE_AFTER_S = 8 * 3600.0

_CLOSED: dict[str, Literal["issue_completed", "issue_canceled"]] = {
    "completed": "issue_completed",
    "canceled": "issue_canceled",
    "duplicate": "issue_canceled",
}


def read(delivery: Delivery, *, app_user: UserId | None = None, name: str = "", called: Sequence[str] = ()) -> Reading:
    """Say what a delivery means.

    app_user  who we are in this organization. Changes of issues do not name the app they are sent to: without it,
              the removal of a delegate cannot be told from somebody else's and is ignored as `not_ours`
    name      what people call us in comments; empty = they have agent sessions, and comments are not said to us
    called    what people call us where they have agent sessions: a comment with that is said to one of those
    """
    payload = delivery.payload
    if delivery.age_s is not None and delivery.age_s > STALE_AFTER_S:
        return readings.ignored("stale", payload)
    if payload.type is None:
        return readings.ignored("odd_shape", payload)
    read_it = _READERS.get(payload.type)
    if read_it is None and payload.type != "Comment":
        return readings.ignored("unknown_type", payload)
    if delivery.odd or not payload.organization_id:
        return readings.ignored("odd_shape", payload)
    ours = app_user or (UserId(payload.app_user_id) if payload.app_user_id else None)
    organization = OrganizationId(payload.organization_id)
    if read_it is None and name:
        return comments.read(delivery, organization, ours, name)
    if read_it is None:
        return edits.of_comment(delivery, organization, ours, called)
    reading = read_it(delivery, organization, ours)
    return comments.in_thread(reading, payload, name) if name else reading


# ── one function a type ──────────────────────────────────────────────────
def _read_session_event(delivery: Delivery, organization: OrganizationId, app_user: UserId | None) -> Reading:
    match delivery.payload.action:
        case "created":
            return _read_created(delivery, organization, app_user)
        case "prompted":
            return _read_prompted(delivery, organization, app_user)
        case _:
            return readings.ignored("unknown_action", delivery.payload)


def _read_created(delivery: Delivery, organization: OrganizationId, app_user: UserId | None) -> Reading:
    payload = delivery.payload
    session = payload.agent_session
    if session is None or not session.id:
        return readings.ignored("odd_shape", payload)
    author = readings.person_of(session.creator, session.creator_id)
    if author is not None and author.id == app_user:
        return readings.ignored("own_event", payload)
    issue = readings.issue_of(session.issue)
    words = asked.of(payload, session, app_user)
    root = _comment(session.comment.id if session.comment else None)
    prompt = Prompt(
        text=words.text,
        author=author,
        sent_at=readings.seconds_of(session.created_at, payload),
        context=payload.prompt_context or "",
        guidance=asked.nearest_first(payload.guidance or (), session.issue),
        kind=words.kind,
    )
    return Relevant(
        session=SessionId(session.id),
        organization=organization,
        event=SessionOpened(issue=issue, prompt=prompt, root=root, source=_comment(session.source_comment_id)),
        keys=readings.keys_of(delivery, f"created:{session.id}"),
    )


def _read_prompted(delivery: Delivery, organization: OrganizationId, app_user: UserId | None) -> Reading:
    payload = delivery.payload
    activity = payload.agent_activity
    if activity is None or not activity.id:
        return readings.ignored("odd_shape", payload)
    session = payload.agent_session
    session_id = (session.id if session else None) or activity.agent_session_id
    content = activity.content
    if not session_id or content is None or content.type not in {None, "prompt"}:
        return readings.ignored("odd_shape", payload)
    author = readings.person_of(activity.user, activity.user_id)
    if author is not None and author.id == app_user:
        return readings.ignored("own_event", payload)
    sent_at = readings.seconds_of(activity.created_at, payload)
    issue = session.issue if session else None
    event: LinearEvent
    if "stop" in {activity.signal, content.signal}:
        event = StopRequested(sent_at=sent_at, by=author)
    else:
        prompt = Prompt(
            text=content.body or "",
            author=author,
            activity=ActivityId(activity.id),
            sent_at=sent_at,
            context=payload.prompt_context or "",
            guidance=asked.nearest_first(payload.guidance or (), issue),
        )
        root = _comment(session.comment.id if session and session.comment else None)
        event = Prompted(prompt=prompt, issue=readings.issue_of(issue), root=root)
    return Relevant(
        session=SessionId(session_id),
        organization=organization,
        event=event,
        keys=readings.keys_of(delivery, f"prompted:{activity.id}"),
    )


def _comment(known: str | None) -> CommentId | None:
    return CommentId(known) if known else None


def _read_notification(delivery: Delivery, organization: OrganizationId, app_user: UserId | None) -> Reading:
    payload = delivery.payload
    # `issueStatusChanged` carries no state; the change of the issue itself does.
    if payload.action != "issueUnassignedFromYou":
        return readings.ignored("unknown_action", payload)
    notification = payload.notification
    issue_id = None
    if notification is not None:
        issue_id = notification.issue_id or (notification.issue.id if notification.issue else None)
    if notification is None or not issue_id:
        return readings.ignored("odd_shape", payload)
    if notification.actor_id is not None and notification.actor_id == app_user:
        return readings.ignored("own_event", payload)
    return AboutIssue(
        issue=IssueId(issue_id),
        organization=organization,
        event=Withdrawn(reason="unassigned"),
        keys=readings.keys_of(delivery, f"unassigned:{notification.id or payload.created_at}"),
    )


def _read_issue_change(delivery: Delivery, organization: OrganizationId, app_user: UserId | None) -> Reading:
    payload = delivery.payload
    if payload.action != "update":
        return readings.ignored("unknown_action", payload)
    issue, before = payload.data, payload.updated_from
    if issue is None or not issue.id or before is None:
        return readings.ignored("odd_shape", payload)
    if payload.actor is not None and payload.actor.id is not None and payload.actor.id == app_user:
        return readings.ignored("own_event", payload)
    state = issue.state.type if issue.state else None
    if before.state_id is not UNSET and state in _CLOSED:
        event = Withdrawn(reason=_CLOSED[state])
    elif before.delegate_id is UNSET or before.delegate_id == issue.delegate_id:
        return edits.of_issue(delivery, organization)
    elif before.delegate_id is None or before.delegate_id != app_user:
        edit = edits.of_issue(delivery, organization)
        return readings.ignored("not_ours", payload) if isinstance(edit, Ignored) else edit
    else:
        event = Withdrawn(reason="unassigned")
    return AboutIssue(
        issue=IssueId(issue.id),
        organization=organization,
        event=event,
        keys=readings.keys_of(delivery, f"{event.reason}:{issue.id}:{issue.updated_at or payload.created_at}"),
    )


def _read_app_change(delivery: Delivery, organization: OrganizationId, _: UserId | None) -> Reading:
    payload = delivery.payload
    if payload.action != "revoked":
        return readings.ignored("unknown_action", payload)
    return AboutOrganization(
        organization=organization,
        event=Withdrawn(reason="app_revoked"),
        keys=readings.keys_of(delivery, f"revoked:{organization}:{payload.created_at or payload.webhook_timestamp}"),
    )


_READERS: dict[str, Callable[[Delivery, OrganizationId, UserId | None], Reading]] = {
    "AgentSessionEvent": _read_session_event,
    "AppUserNotification": _read_notification,
    "Issue": _read_issue_change,
    "OAuthApp": _read_app_change,
}
