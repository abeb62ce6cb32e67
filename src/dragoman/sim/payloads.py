"""The bodies of Linear's webhooks, written from the types of its public schema; absent values are sent as null.

Source  linear.app/developers/agent-interaction and webhooks; `…WebhookPayload` types in Linear's schema
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dragoman.sim.context import prompt_context
from dragoman.sim.records import Activity, AgentSession, Comment, Issue, Person
from dragoman.sim.world import World

Body = dict[str, Any]


def iso(at: float | None) -> str | None:
    """A time as Linear writes it: "2026-11-20T09:15:04.903Z"."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def created_body(world: World, session: AgentSession, source: Comment | None) -> Body:
    """AgentSessionEvent `created`; `previousComments` only for a mention in a reply."""
    body = _agent_event(world, "created", session)
    if source is not None and session.comment is not None:
        earlier = [c for c in world.thread(session.comment) if c.id != source.id and c.created_at <= source.created_at]
        body["previousComments"] = [_comment_child(comment) for comment in earlier]
    body["guidance"] = _guidance(world)
    body["promptContext"] = prompt_context(world, session)
    return _stamped(world, body)


def prompted_body(world: World, session: AgentSession, activity: Activity) -> Body:
    """AgentSessionEvent `prompted`: a message, an answer or a stop; `session` as it was before."""
    body = _agent_event(world, "prompted", session)
    body["agentActivity"] = {
        "id": activity.id,
        "createdAt": iso(activity.created_at),
        "updatedAt": iso(activity.created_at),
        "archivedAt": None,
        "agentSessionId": session.id,
        "content": activity.content,
        "signal": activity.signal,
        "signalMetadata": activity.signal_metadata,
        "sourceCommentId": activity.source_comment,
        "userId": activity.author,
        "user": _user_child(world.people[activity.author]),
    }
    if activity.signal is None:
        body["guidance"] = _guidance(world)
    return _stamped(world, body)


def notification_body(world: World, kind: str, issue: Issue, actor: Person, comment: Comment | None = None) -> Body:
    """AppUserNotification: what lands in the app user's inbox. `kind` is the action, e.g. issueUnassignedFromYou."""
    now = iso(world.now())
    notification: Body = {
        "id": world.new_id(),
        "createdAt": now,
        "updatedAt": now,
        "archivedAt": None,
        "type": kind,
        "userId": world.agent.id,
        "actorId": actor.id,
        "actor": _user_child(actor),
        "externalUserActorId": None,
        "issueId": issue.id,
        "issue": _issue_child(world, issue),
    }
    if comment is not None:
        notification |= {"commentId": comment.id, "comment": _comment_child(comment)}
        notification |= {"parentCommentId": comment.parent}
        if comment.parent is not None:
            notification["parentComment"] = _comment_child(world.comments[comment.parent])
    return _stamped(world, _envelope(world, "AppUserNotification", kind) | {"notification": notification})


def permission_body(world: World, *, added: list[str], removed: list[str]) -> Body:
    """PermissionChange: the teams that the app may see have changed."""
    body = _envelope(world, "PermissionChange", "teamAccessChanged")
    body |= {"canAccessAllPublicTeams": False, "addedTeamIds": added, "removedTeamIds": removed}
    return _stamped(world, body)


def revoked_body(world: World) -> Body:
    """OAuthApp: the organization has uninstalled the app."""
    body = _envelope(world, "OAuthApp", "revoked")
    del body["appUserId"]
    return _stamped(world, body)


def issue_body(world: World, action: str, issue: Issue, actor: Person, updated_from: Body | None = None) -> Body:
    """A data-change body of an issue; `updated_from` holds the former values of what changed."""
    body: Body = {
        "action": action,
        "actor": _actor(actor),
        "createdAt": iso(world.now()),
        "data": _issue_data(world, issue),
    }
    if updated_from is not None:
        body["updatedFrom"] = updated_from
    return _stamped(world, body | {"url": issue.url, "type": "Issue", "organizationId": world.organization_id})


def comment_body(world: World, comment: Comment, action: str = "create", updated_from: Body | None = None) -> Body:
    """A data-change body of a comment on an issue; `updated_from` as for an issue."""
    issue = world.issues[comment.issue or ""]
    author = world.people[comment.author] if comment.author else None
    child = _issue_child(world, issue)
    del child["description"]
    data: Body = {
        "id": comment.id,
        "createdAt": iso(comment.created_at),
        "updatedAt": iso(comment.edited_at or comment.created_at),
        "body": comment.body,
        "issueId": issue.id,
        "reactionData": [],
        "isArtificialAgentSessionRoot": comment.stub,
        "issue": child,
    }
    if comment.parent is not None:
        data["parentId"] = comment.parent
    if author is not None:
        data |= {"userId": author.id, "user": _user_child(author)}
    body: Body = {
        "action": action,
        "actor": _actor(author) if author else None,
        "createdAt": iso(comment.edited_at or comment.created_at),
        "data": data,
        "url": f"{issue.url}#comment-{comment.id[:8]}",
        "type": "Comment",
        "organizationId": world.organization_id,
    }
    if updated_from is not None:
        body["updatedFrom"] = updated_from
    return _stamped(world, body)


def _envelope(world: World, kind: str, action: str) -> Body:
    return {
        "type": kind,
        "action": action,
        "createdAt": iso(world.now()),
        "organizationId": world.organization_id,
        "oauthClientId": world.oauth_client_id,
        "appUserId": world.agent.id,
    }


def _stamped(world: World, body: Body) -> Body:
    return body | {"webhookTimestamp": int(world.now() * 1000), "webhookId": world.webhook_id}


def _agent_event(world: World, action: str, session: AgentSession) -> Body:
    issue = world.issues[session.issue] if session.issue else None
    creator = world.people[session.creator] if session.creator else None
    comment = world.comments[session.comment] if session.comment else None
    return _envelope(world, "AgentSessionEvent", action) | {
        "agentSession": {
            "id": session.id,
            "createdAt": iso(session.created_at),
            "updatedAt": iso(session.updated_at),
            "archivedAt": None,
            "creatorId": session.creator,
            "appUserId": world.agent.id,
            "commentId": session.comment,
            "sourceCommentId": session.source_comment,
            "issueId": session.issue,
            "status": world.status(session),
            "startedAt": iso(session.started_at),
            "endedAt": iso(session.ended_at),
            "type": "commentThread",
            "summary": session.summary,
            "sourceMetadata": session.source_metadata,
            "organizationId": world.organization_id,
            "creator": _user_child(creator) if creator else None,
            "comment": _comment_child(comment) if comment else None,
            "issue": _issue_child(world, issue) if issue else None,
            "url": session.url,
        }
    }


def _user_child(person: Person) -> Body:
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "avatarUrl": person.avatar_url,
        "url": person.url,
    }


def _actor(person: Person) -> Body:
    return {"id": person.id, "type": "user", "name": person.name, "email": person.email, "url": person.url}


def _comment_child(comment: Comment) -> Body:
    place = {"issueId": comment.issue} if comment.issue else {"projectId": comment.project}
    return {"id": comment.id, "body": comment.body, "userId": comment.author} | place


def _team_child(world: World) -> Body:
    return {"id": world.team.id, "key": world.team.key, "name": world.team.name}


def _issue_child(world: World, issue: Issue) -> Body:
    return {
        "id": issue.id,
        "title": issue.title,
        "teamId": world.team.id,
        "team": _team_child(world),
        "identifier": issue.identifier,
        "url": issue.url,
        "description": issue.description,
    }


def _guidance(world: World) -> list[Body]:
    rules: list[Body] = []
    for rule in world.guidance:
        origin: Body = {"type": "Organization"}
        if rule.team:
            team = _team_child(world) | {"displayName": world.team.name, "parentId": None}
            origin = {"type": "Team", "team": team}
        rules.append({"body": rule.body, "origin": origin})
    return rules


def _issue_data(world: World, issue: Issue) -> Body:
    state = world.state(issue.state)
    data: Body = _issue_child(world, issue) | {
        "createdAt": iso(issue.created_at),
        "updatedAt": iso(issue.updated_at),
        "number": issue.number,
        "previousIdentifiers": [],
        "priority": issue.priority,
        "priorityLabel": priority_label(issue.priority),
        "sortOrder": float(-issue.number),
        "subscriberIds": [issue.creator],
        "labelIds": [label.id for label in issue.labels],
        "labels": [{"id": label.id, "name": label.name, "color": label.color} for label in issue.labels],
        "reactionData": [],
        "slaType": "all",
        "stateId": state.id,
        "state": {"id": state.id, "color": state.color, "name": state.name, "type": state.kind},
        "creatorId": issue.creator,
        "releases": [],
    }
    for name in ("assignee", "delegate"):
        person = world.people.get(getattr(issue, name) or "")
        if person is not None:
            data |= {f"{name}Id": person.id, name: _user_child(person)}
    for name, at in (("started", issue.started_at), ("completed", issue.completed_at), ("canceled", issue.canceled_at)):
        if at is not None:
            data[f"{name}At"] = iso(at)
    return data


def priority_label(priority: int) -> str:
    """How Linear calls a priority."""
    return ("No priority", "Urgent", "High", "Medium", "Low")[priority]
