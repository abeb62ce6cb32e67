"""What the agent's app may do in a pretend Linear, and what it is refused.

Source  linear.app/developers/agent-interaction, agent-signals, agent-best-practices; Linear's public GraphQL schema
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from dragoman.sim.payloads import comment_body
from dragoman.sim.records import Activity, AgentSession, Attachment, Comment, Issue, Label
from dragoman.sim.refusals import Refused, duplicate, not_found
from dragoman.sim.sessions import open_session, stub_comment
from dragoman.sim.shapes import EPHEMERAL_KINDS, check_signal, check_uuid4, content_of, links_of, plan_of, summary_of
from dragoman.sim.world import World

_STAGE_AFTER = {"thought": "active", "action": "active", "elicitation": "awaitingInput", "response": "complete"}
_COMMENT_LIMIT = 100_000  # characters, from the API's own error text


class Agent:
    """The writes of the agent's app. Each raises `Refused` where Linear answers with an error."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.forbidden_teams: set[str] = set()

    # Sessions

    def session(self, session_id: str) -> AgentSession:
        """A session of ours that is still there."""
        session = self._world.sessions.get(session_id)
        if session is None or session.gone:
            raise not_found("AgentSession")
        return session

    def create_activity(
        self,
        session_id: str,
        content: object,
        *,
        activity_id: str | None = None,
        ephemeral: bool = False,
        signal: str | None = None,
        signal_metadata: dict[str, object] | None = None,
    ) -> Activity:
        """Add a row to a session.

        content      {"type": …} with the fields of that type, strings, no others; checked as Linear checks it
        activity_id  ours, UUID version 4; a second writer with the same id is refused, never merged
        """
        world = self._world
        session = self.session(session_id)
        checked = content_of(content)
        kind = checked["type"]
        if ephemeral and kind not in EPHEMERAL_KINDS:
            raise Refused(f"Only thoughts and actions can be ephemeral, not {kind}.")
        check_signal(kind, signal, signal_metadata)
        if activity_id is None:
            activity_id = world.new_id()
        else:
            check_uuid4(activity_id)
            if world.knows_activity(activity_id):
                raise duplicate("AgentActivity", activity_id)
        now = world.now()
        activity = Activity(
            id=activity_id,
            session=session.id,
            created_at=now,
            author=world.agent.id,
            content=checked,
            ephemeral=ephemeral,
            signal=signal,
            signal_metadata=signal_metadata,
            source_comment=self._reply(session, checked, now),
        )
        world.append(activity)
        world.put(_after(session, kind, now))
        return activity

    def _reply(self, session: AgentSession, content: Mapping[str, str], now: float) -> str | None:
        """Linear itself puts answers, questions and errors into the comment thread, too."""
        if session.comment is None or content["type"] not in ("elicitation", "response", "error"):
            return None
        root = self._world.comments[session.comment]
        reply = Comment(
            id=self._world.new_id(),
            body=content["body"],
            created_at=now,
            author=self._world.agent.id,
            issue=root.issue,
            project=root.project,
            parent=root.parent or root.id,
        )
        return self._tell(reply, "create").id

    def update_session(self, session_id: str, changes: Mapping[str, Any]) -> AgentSession:
        """Apply an `AgentSessionUpdateInput`: plan, externalUrls, addedExternalUrls, removedExternalUrls, summary."""
        session = self.session(session_id)
        now = self._world.now()
        fields: dict[str, Any] = {"updated_at": now}
        if "plan" in changes:
            fields["plan"] = plan_of(changes["plan"])
        if "summary" in changes:
            fields["summary"] = summary_of(changes["summary"])
        links = links_of(session.links, changes)
        if links != session.links:
            fields["links"] = links
            fields["first_sign_at"] = session.first_sign_at or now  # a link acknowledges, a plan or a title does not
        changed = replace(session, **fields)
        self._world.put(changed)
        return changed

    def create_session_on_issue(self, issue_id: str, links: Sequence[Mapping[str, Any]] = ()) -> AgentSession:
        """Start a session of our own on an issue, under a comment that Linear makes."""
        issue = self.issue(issue_id)
        root = stub_comment(self._world, issue)
        return self._own_session(root, links)

    def create_session_on_comment(self, comment_id: str, links: Sequence[Mapping[str, Any]] = ()) -> AgentSession:
        """Start a session of our own on a root comment."""
        comment = self._world.comments.get(comment_id)
        if comment is None:
            raise not_found("Comment")
        if comment.parent is not None:
            raise Refused("Comment must be a top level comment")
        return self._own_session(comment, links)

    def _own_session(self, root: Comment, links: Sequence[Mapping[str, Any]]) -> AgentSession:
        # `creator` is unset for sessions that an agent user began: Linear's schema, AgentSessionWebhookPayload
        session = open_session(self._world, creator=None, root=root)
        return self.update_session(session.id, {"externalUrls": list(links)}) if links else session

    # Issues, comments, attachments

    def issue(self, issue_id: str) -> Issue:
        """An issue by id or identifier."""
        try:
            issue = self._world.issue(issue_id)
        except KeyError:
            raise not_found("Issue") from None
        if self._world.team.id in self.forbidden_teams:
            raise Refused("You don't have access to this team.", kind="forbidden", code="FORBIDDEN", status=403)
        return issue

    def update_issue(self, issue_id: str, changes: Mapping[str, Any]) -> Issue:
        """Apply an `IssueUpdateInput`: stateId, delegateId, assigneeId, title, description, priority, labels."""
        world = self._world
        issue = self.issue(issue_id)
        fields: dict[str, Any] = {"updated_at": world.now()}
        names = {"title": "title", "description": "description", "priority": "priority"}
        names |= {"assigneeId": "assignee", "delegateId": "delegate"}
        for wire, ours in names.items():
            if wire in changes:
                fields[ours] = changes[wire]
        for who in ("assignee", "delegate"):
            if fields.get(who) is not None and fields[who] not in world.people:
                raise not_found("User")
        if fields.get("assignee") == world.agent.id:
            raise Refused("An app user can only be the delegate of an issue, not its assignee.")
        if "stateId" in changes:
            if changes["stateId"] not in {state.id for state in world.states}:
                raise not_found("WorkflowState")
            fields |= moved(world, issue, changes["stateId"])
        added, removed = changes.get("addedLabelIds") or (), changes.get("removedLabelIds") or ()
        known = {label.id: label for label in world.labels.values()}
        if not set(added) <= set(known):
            raise not_found("IssueLabel")
        kept = [label for label in issue.labels if label.id not in {*added, *removed}]
        changed = replace(issue, **fields, labels=(*kept, *(known[label] for label in added)))
        world.put(changed)
        return changed

    def create_label(self, name: str) -> Label:
        """Make a label for the whole organization; names are unique there, in any case."""
        if any(label.name.casefold() == name.casefold() for label in self._world.labels.values()):
            raise Refused(f'A label with the name "{name}" already exists')
        return self._world.label(name)

    def create_comment(self, changes: Mapping[str, Any]) -> Comment:
        """Apply a `CommentCreateInput` with `body`, `issueId`, `parentId`, `id`."""
        body = _comment_words(changes)
        comment_id = changes.get("id") or self._world.new_id()
        if comment_id in self._world.comments:
            raise duplicate("Comment", comment_id)
        check_uuid4(comment_id)
        parent = changes.get("parentId")
        if parent is not None:
            root = self._world.comments.get(parent)
            if root is None:
                raise not_found("Comment")
            if root.parent is not None:
                raise Refused("Parent comment must be a top level comment")
            issue_id = root.issue
        else:
            issue_id = self.issue(changes.get("issueId") or "").id
        comment = Comment(
            id=comment_id,
            body=body,
            created_at=self._world.now(),
            author=self._world.agent.id,
            issue=issue_id,
            parent=parent,
        )
        return self._tell(comment, "create")

    def update_comment(self, comment_id: str, changes: Mapping[str, Any]) -> Comment:
        """Apply a `CommentUpdateInput` with `body` to a comment of the agent's own."""
        comment = self._world.comments.get(comment_id)
        if comment is None:
            raise not_found("Comment")
        if comment.author != self._world.agent.id:
            raise Refused("You can only edit your own comments.", kind="forbidden", code="FORBIDDEN", status=403)
        words, at = _comment_words(changes), self._world.now()
        edited = replace(comment, body=words, edits=comment.edits + 1, edited_at=at)
        return self._tell(edited, "update", {"body": comment.body})

    def _tell(self, comment: Comment, action: str, former: dict[str, Any] | None = None) -> Comment:
        """Linear tells everybody of a comment, whoever wrote it."""
        self._world.put(comment)
        if comment.issue is not None:
            self._world.emit(comment_body(self._world, comment, action, former))
        return comment

    def attach(self, issue_id: str, url: str, title: str | None, **more: Any) -> Attachment:
        """Put a link on an issue; the same URL again changes the attachment that is there."""
        issue = self.issue(issue_id)
        known = [a for a in self._world.attachments.values() if a.issue == issue.id and a.url == url]
        attachment = Attachment(
            id=known[0].id if known else more.get("id") or self._world.new_id(),
            issue=issue.id,
            title=title or url,
            url=url,
            created_at=known[0].created_at if known else self._world.now(),
            subtitle=more.get("subtitle"),
            metadata=more.get("metadata") or {},
        )
        self._world.put(attachment)
        return attachment


def _comment_words(changes: Mapping[str, Any]) -> str:
    body: str = changes.get("body") or ""
    if not body.strip():
        raise Refused("body should not be empty")
    if len(body) > _COMMENT_LIMIT:
        raise Refused(f"body must be shorter than or equal to {_COMMENT_LIMIT} characters")
    return body


def moved(world: World, issue: Issue, state_id: str) -> dict[str, Any]:
    """The fields of an issue that change when it moves to a workflow state."""
    kind, now = world.state(state_id).kind, world.now()
    return {
        "state": state_id,
        "started_at": issue.started_at or (now if kind in ("started", "completed") else None),
        "completed_at": now if kind == "completed" else None,
        "canceled_at": now if kind == "canceled" else None,
    }


def _after(session: AgentSession, kind: str, now: float) -> AgentSession:
    """A session after the agent posted: its status follows from the last activity, nobody sets it."""
    stopping = session.stage == "stopping" and kind not in ("response", "error")
    ended = kind in ("response", "error")
    return AgentSession(
        id=session.id,
        created_at=session.created_at,
        updated_at=now,
        creator=session.creator,
        issue=session.issue,
        comment=session.comment,
        source_comment=session.source_comment,
        project=session.project,
        stage="stopping" if stopping else _STAGE_AFTER.get(kind, "error"),
        started_at=session.started_at or now,
        ended_at=now if ended else None,
        first_sign_at=session.first_sign_at or now,
        last_sign_at=now,
        summary=session.summary,
        plan=session.plan,
        links=session.links,
        source_metadata=session.source_metadata,
        url=session.url,
    )
