"""What each field of the schema answers from the world.

A field without an entry here is an attribute of the record with the same name in snake case, or a key of a dict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

from dragoman.record import Record
from dragoman.sim.agent import Agent
from dragoman.sim.connections import activity_matches, label_matches, page, state_matches
from dragoman.sim.payloads import iso, priority_label
from dragoman.sim.quota import Quota
from dragoman.sim.records import Activity, AgentSession, Comment, Issue
from dragoman.sim.refusals import not_found
from dragoman.sim.store import Store
from dragoman.sim.world import World

Resolver = Callable[..., Any]
Info = GraphQLResolveInfo[Any]
_TIMES = frozenset({"createdAt", "updatedAt", "startedAt", "endedAt", "completedAt", "canceledAt"})


class Asked(Record):
    """What resolvers may use while they answer one request."""

    world: World
    agent: Agent
    quota: Quota
    store: Store


@cache
def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def plain(source: Any, info: Info, **_: Any) -> Any:
    """The field as it stands in the record or dict."""
    name = info.field_name
    if isinstance(source, dict):
        return source.get(name)
    value = getattr(source, _snake(name))
    return iso(value) if name in _TIMES else value


def _world(info: Info) -> World:
    asked: Asked = info.context
    return asked.world


def _agent(info: Info) -> Agent:
    asked: Asked = info.context
    return asked.agent


def _person(attribute: str) -> Resolver:
    return lambda source, info: _world(info).people.get(getattr(source, attribute) or "")


def _issue(source: Any, info: Info) -> Issue | None:
    return _world(info).issues.get(source.issue or "")


def _comment(attribute: str) -> Resolver:
    return lambda source, info: _world(info).comments.get(getattr(source, attribute) or "")


def _written(name: str, thing: object, info: Info) -> dict[str, object]:
    return {"success": True, "lastSyncId": _world(info).version, name: thing}


# Queries


def _find(kind: str, things: Mapping[str, object], wanted: str | None) -> object:
    if wanted is None or wanted not in things:
        raise not_found(kind)
    return things[wanted]


def _user(_: Any, info: Info, id: str) -> object:
    return _find("User", _world(info).people, id)


def _comment_by_id(_: Any, info: Info, id: str | None = None) -> object:
    return _find("Comment", _world(info).comments, id)


def _issue_by_id(_: Any, info: Info, id: str) -> Issue:
    return _agent(info).issue(id)


def _agent_session(_: Any, info: Info, id: str) -> AgentSession:
    return _agent(info).session(id)


def _agent_activity(_: Any, info: Info, id: str) -> Activity:
    if not _world(info).knows_activity(id):
        raise not_found("AgentActivity")
    return _world(info).activity(id)


def _agent_activities(_: Any, info: Info, **args: Any) -> dict[str, Any]:
    world = _world(info)
    return _activity_page([row for session in world.sessions for row in world.activities(session)], args)


def _session_activities(session: AgentSession, info: Info, **args: Any) -> dict[str, Any]:
    return _activity_page(_world(info).activities(session.id), args)


def _activity_page(rows: Sequence[Activity], args: dict[str, Any]) -> dict[str, Any]:
    wanted = args.pop("filter", None) or {}
    return page([row for row in rows if activity_matches(row, wanted)], **args)


def _team(_: Any, info: Info, id: str) -> object:
    team = _world(info).team
    if id not in (team.id, team.key):
        raise not_found("Team")
    return team


def _team_states(_: Any, info: Info, **args: Any) -> dict[str, Any]:
    wanted = args.pop("filter", None) or {}
    return page([state for state in _world(info).states if state_matches(state, wanted)], newest_first=False, **args)


def _labels(_: Any, info: Info, **args: Any) -> dict[str, Any]:
    wanted = args.pop("filter", None) or {}
    return page([label for label in _world(info).labels.values() if label_matches(label, wanted)], **args)


def _suggestions(_: Any, info: Info, issueId: str, candidateRepositories: Any, **__: Any) -> object:
    _agent(info).issue(issueId)
    known = _world(info).suggestions
    found = [
        {**candidate, "confidence": known[candidate["repositoryFullName"]]}
        for candidate in candidateRepositories
        if candidate["repositoryFullName"] in known
    ]
    return {"suggestions": sorted(found, key=lambda suggestion: -float(suggestion["confidence"]))}


def _rate_limit_status(_: Any, info: Info) -> object:
    asked: Asked = info.context
    return asked.quota.status(asked.world.agent.id)


# Mutations


def _activity_create(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    activity = _agent(info).create_activity(
        input["agentSessionId"],
        input["content"],
        activity_id=input.get("id"),
        ephemeral=input.get("ephemeral") or False,
        signal=input.get("signal"),
        signal_metadata=input.get("signalMetadata"),
    )
    return _written("agentActivity", activity, info)


def _session_update(_: Any, info: Info, id: str, input: dict[str, Any]) -> dict[str, object]:
    return _written("agentSession", _agent(info).update_session(id, input), info)


def _create_on_issue(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    session = _agent(info).create_session_on_issue(input["issueId"], input.get("externalUrls") or ())
    return _written("agentSession", session, info)


def _create_on_comment(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    session = _agent(info).create_session_on_comment(input["commentId"], input.get("externalUrls") or ())
    return _written("agentSession", session, info)


def _label_create(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    return _written("issueLabel", _agent(info).create_label(input["name"]), info)


def _issue_update(_: Any, info: Info, id: str, input: dict[str, Any]) -> dict[str, object]:
    return _written("issue", _agent(info).update_issue(id, input), info)


def _comment_create(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    return _written("comment", _agent(info).create_comment(input), info)


def _comment_update(_: Any, info: Info, id: str, input: dict[str, Any]) -> dict[str, object]:
    return _written("comment", _agent(info).update_comment(id, input), info)


def _attachment_create(_: Any, info: Info, input: dict[str, Any]) -> dict[str, object]:
    more = {name: input.get(name) for name in ("id", "subtitle", "metadata")}
    return _written("attachment", _agent(info).attach(input["issueId"], input["url"], input["title"], **more), info)


def _link_url(_: Any, info: Info, issueId: str, url: str, title: str | None = None) -> dict[str, object]:
    return _written("attachment", _agent(info).attach(issueId, url, title), info)


def _file_upload(_: Any, info: Info, filename: str, contentType: str, size: int, **__: Any) -> dict[str, object]:
    asked: Asked = info.context
    return _written("uploadFile", asked.store.expect(filename, contentType, size), info)


def _comment_url(comment: Comment, info: Info) -> str:
    place = _issue(comment, info)
    return f"{place.url if place else 'https://linear.app'}#comment-{comment.id[:8]}"


def _issue_attachments(issue: Issue, info: Info, **args: Any) -> dict[str, Any]:
    return page([a for a in _world(info).attachments.values() if a.issue == issue.id], **args)


_FIELDS: dict[str, dict[str, Resolver]] = {
    "Query": {
        "viewer": lambda _, info: _world(info).agent,
        "organization": lambda _, info: _organization(info),
        "user": _user,
        "issue": _issue_by_id,
        "comment": _comment_by_id,
        "team": _team,
        "agentSession": _agent_session,
        "agentSessions": lambda _, info, **args: page(
            [session for session in _world(info).sessions.values() if not session.gone], **args
        ),
        "agentActivity": _agent_activity,
        "agentActivities": _agent_activities,
        "issueLabels": _labels,
        "issueRepositorySuggestions": _suggestions,
        "rateLimitStatus": _rate_limit_status,
    },
    "Mutation": {
        "agentActivityCreate": _activity_create,
        "agentSessionUpdate": _session_update,
        "agentSessionCreateOnIssue": _create_on_issue,
        "agentSessionCreateOnComment": _create_on_comment,
        "fileUpload": _file_upload,
        "issueLabelCreate": _label_create,
        "issueUpdate": _issue_update,
        "commentCreate": _comment_create,
        "commentUpdate": _comment_update,
        "attachmentCreate": _attachment_create,
        "attachmentLinkURL": _link_url,
    },
    "User": {
        "displayName": lambda person, _: person.handle,
        "active": lambda *_: True,
        "isAssignable": lambda *_: True,
        "isMentionable": lambda *_: True,
        "supportsAgentSessions": lambda person, _: person.app,
        "canAccessAnyPublicTeam": lambda _, info: not _agent(info).forbidden_teams,
        "organization": lambda _, info: _organization(info),
    },
    "Team": {"displayName": lambda team, _: team.name, "states": _team_states},
    "WorkflowState": {"type": lambda state, _: state.kind, "team": lambda _, info: _world(info).team},
    "IssueLabel": {"parent": lambda *_: None, "team": lambda *_: None},
    "Issue": {
        "state": lambda issue, info: _world(info).state(issue.state),
        "team": lambda _, info: _world(info).team,
        "project": lambda issue, info: _world(info).projects.get(issue.project or ""),
        "labels": lambda issue, _, **args: page(issue.labels, **args),
        "assignee": _person("assignee"),
        "delegate": _person("delegate"),
        "creator": _person("creator"),
        "parent": lambda issue, info: _world(info).issues.get(issue.parent or ""),
        "branchName": lambda issue, _: issue.branch_name,
        "priorityLabel": lambda issue, _: priority_label(issue.priority),
        "attachments": _issue_attachments,
        "comments": lambda issue, info, **args: page(_world(info).comments_on(issue.id), **args),
        "inverseRelations": lambda issue, info, **args: page(
            [one for one in _world(info).relations if one.related_issue == issue.id], **args
        ),
    },
    "IssueRelation": {
        "type": lambda relation, _: relation.kind,
        "issue": lambda relation, info: _world(info).issue(relation.issue),
        "relatedIssue": lambda relation, info: _world(info).issue(relation.related_issue),
    },
    "Comment": {
        "url": _comment_url,
        "updatedAt": lambda comment, _: iso(comment.edited_at or comment.created_at),
        "parentId": lambda comment, _: comment.parent,
        "parent": _comment("parent"),
        "issueId": lambda comment, _: comment.issue,
        "issue": _issue,
        "user": _person("author"),
        "botActor": lambda comment, _: None if comment.author else {"name": "Linear", "type": "workflow"},
        "externalUser": lambda *_: None,
        "isArtificialAgentSessionRoot": lambda comment, _: comment.stub,
        "agentSession": lambda comment, info: _world(info).session_of_thread(comment.id),
    },
    "Attachment": {
        "subtitle": lambda attachment, _: attachment.subtitle,
        "sourceType": lambda *_: None,
        "issue": _issue,
    },
    "AgentSession": {
        "slugId": lambda session, _: session.id.replace("-", "")[:12],
        "status": lambda session, info: _world(info).status(session),
        "archivedAt": lambda *_: None,
        "dismissedAt": lambda *_: None,
        "externalLinks": lambda session, _: session.links,
        "appUser": lambda _, info: _world(info).agent,
        "creator": _person("creator"),
        "issue": _issue,
        "comment": _comment("comment"),
        "sourceComment": _comment("source_comment"),
        "activities": _session_activities,
    },
    "AgentActivity": {
        "updatedAt": lambda activity, _: iso(activity.created_at),
        "agentSession": lambda activity, info: _world(info).session(activity.session),
        "queued": lambda *_: False,
        "sourceComment": _comment("source_comment"),
        "user": _person("author"),
    },
}


def _organization(info: Info) -> dict[str, str]:
    world = _world(info)
    return {"id": world.organization_id, "name": world.organization_name, "urlKey": world.url_key}


def content_type(content: dict[str, str], *_: Any) -> str:
    """The member of the union AgentActivityContent that a content is."""
    return f"AgentActivity{content['type'].capitalize()}Content"


def install(schema: GraphQLSchema) -> None:
    """Give each field of `schema` its resolver."""
    for kind, type_ in schema.type_map.items():
        if kind.startswith("__") or not isinstance(type_, GraphQLObjectType):
            continue
        special = _FIELDS.get(kind, {})
        unknown = set(special) - set(type_.fields)
        if unknown:
            raise LookupError(f"{kind} has no {', '.join(sorted(unknown))}")
        for name, field in type_.fields.items():
            field.resolve = special.get(name, plain)
