"""What people change on an issue beside what they say to us: its title and description, and comments. Pure.

People alone: what apps, integrations and people without an account in Linear write is passed over, as it is where
comments are the way to us.

Source  linear.app/developers/webhooks#data-change-events-payload, types Issue- and CommentWebhookPayload
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited, IssueEvent
from dragoman.ids import CommentId, IssueId, OrganizationId, UserId
from dragoman.linear import asked, readings, wire
from dragoman.linear.mentions import is_addressed
from dragoman.linear.readings import AboutIssue, Reading
from dragoman.linear.webhook import Delivery

_APPS = "@oauthapp.linear.app"  # ends the address of every app's user


def of_issue(delivery: Delivery, organization: OrganizationId) -> Reading:
    """Say what the update of an issue changes of its words; that it was not us is known already."""
    payload = delivery.payload
    issue, before, actor = payload.data, payload.updated_from, payload.actor
    if issue is None or not issue.id or before is None:
        return readings.ignored("odd_shape", payload)
    title = issue.title or "" if before.title is not UNSET else None
    description = issue.description or "" if before.description is not UNSET else None
    if title is None and description is None:
        return readings.ignored("unknown_action", payload)
    by = readings.person_of(actor, None)
    if by is None or actor is None or not _is_person(actor):
        return readings.ignored("nobody", payload)
    at = readings.seconds_of(issue.updated_at, payload)
    event = IssueEdited(by=by, at=at, title=title, description=description)
    return _about(
        delivery, organization, issue.id, event, f"edited:{issue.id}:{issue.updated_at or payload.created_at}"
    )


def of_comment(
    delivery: Delivery, organization: OrganizationId, us: UserId | None, called: Sequence[str] = ()
) -> Reading:
    """Say what a comment tells those who work on its issue.

    us      whose comments are our own; while that is not known, none is passed on
    called  what people call us: what mentions us comes to us as a prompt
    """
    payload = delivery.payload
    comment, before = payload.data, payload.updated_from
    if comment is None or not comment.id:
        return readings.ignored("odd_shape", payload)
    issue = comment.issue_id or (comment.issue.id if comment.issue else None)
    if not issue:
        return readings.ignored("not_ours", payload)  # on a project, a document, …: only issues are worked on
    if us is None:
        return readings.ignored("not_ours", payload)
    known = CommentId(comment.id)
    if payload.action == "remove":
        at = readings.seconds_of(payload.created_at, payload)
        return _about(delivery, organization, issue, CommentRemoved(comment=known, at=at), f"removed:{known}")
    edited = payload.action == "update"
    if not edited and payload.action != "create":
        return readings.ignored("unknown_action", payload)
    if edited and (before is None or before.body is UNSET):
        return readings.ignored("unknown_action", payload)  # a reaction, a thread that was resolved
    if not comment.body or not comment.body.strip():
        return readings.ignored("odd_shape", payload)
    by = readings.person_of(comment.user, comment.user_id)
    if by is None or comment.bot_actor or not _is_person(comment.user):
        return readings.ignored("nobody", payload)
    if by.id == us or asked.is_stub(comment.body):
        return readings.ignored("own_event", payload)
    event = CommentWritten(
        by=by,
        at=readings.seconds_of(comment.updated_at if edited else comment.created_at, payload),
        comment=known,
        root=CommentId(comment.parent_id or comment.id),
        text=comment.body,
        edited=edited,
        addressed=any(is_addressed(comment.body, name) for name in called if name),
    )
    return _about(delivery, organization, issue, event, f"comment:{known}:{comment.updated_at if edited else ''}")


def _about(delivery: Delivery, organization: OrganizationId, issue: str, event: IssueEvent, key: str) -> AboutIssue:
    keys = readings.keys_of(delivery, key)
    return AboutIssue(issue=IssueId(issue), organization=organization, event=event, keys=keys)


def _is_person(who: wire.User | wire.Actor | None) -> bool:
    """Whether it is somebody's account; those of apps are users, too."""
    if isinstance(who, wire.Actor) and who.type not in {None, "user"}:
        return False
    return who is None or not (who.email or "").endswith(_APPS)
