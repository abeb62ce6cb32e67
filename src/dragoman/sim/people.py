"""What people do in a pretend Linear; each action sends the webhooks that Linear would send.

Source  linear.app/developers/agent-interaction and agent-signals
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from dragoman.sim.agent import moved
from dragoman.sim.payloads import (
    comment_body,
    iso,
    issue_body,
    notification_body,
    permission_body,
    prompted_body,
    revoked_body,
)
from dragoman.sim.records import Activity, AgentSession, Comment, Issue, IssueRelation, Person, Project
from dragoman.sim.sessions import open_session, stub_comment
from dragoman.sim.world import World, slug_of


class People:
    """The actions of people. `by` is who acts, Alice unless told otherwise; issues are named by id or identifier."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_issue(
        self,
        title: str,
        description: str | None = None,
        *,
        labels: Iterable[str] = (),
        state: str = "Todo",
        priority: int = 0,
        parent: str | None = None,
        project: Project | None = None,
        by: Person | None = None,
    ) -> Issue:
        """File an issue in team ENG; `state` by name or kind."""
        world, author = self._world, by or self._world.alice
        number, now = len(world.issues) + 1, world.now()
        identifier, slug = f"{world.team.key}-{number}", slug_of(title)
        issue = Issue(
            id=world.new_id(),
            number=number,
            identifier=identifier,
            title=title,
            description=description or None,
            url=f"https://linear.app/{world.url_key}/issue/{identifier}/{slug}",
            branch_name=f"{author.handle}/{identifier.lower()}-{slug}",
            state=world.state(state).id,
            created_at=now,
            updated_at=now,
            creator=author.id,
            priority=priority,
            labels=tuple(world.label(name) for name in labels),
            parent=world.issue(parent).id if parent else None,
            project=project.id if project else None,
        )
        world.put(issue)
        world.emit(issue_body(world, "create", issue, author))
        return issue

    def edit_issue(
        self, issue: str, *, title: str | None = None, description: str | None = None, by: Person | None = None
    ) -> Issue:
        """Change the title or the description."""
        old = self._world.issue(issue)
        changes: dict[str, Any] = {}
        if title is not None:
            changes["title"] = title
        if description is not None:
            changes["description"] = description
        return self._change(old, changes, {name: getattr(old, name) for name in changes}, by)

    def set_state(self, issue: str, state: str, *, by: Person | None = None) -> Issue:
        """Move an issue; the agent's inbox hears of it when it is the delegate and the issue has ended."""
        world, old = self._world, self._world.issue(issue)
        target = world.state(state)
        changed = self._change(old, moved(world, old, target.id), {"stateId": old.state}, by)
        if target.kind in ("completed", "canceled") and changed.delegate == world.agent.id:
            world.emit(notification_body(world, "issueStatusChanged", changed, by or world.alice))
        return changed

    def block(self, issue: str, *, by_issue: str) -> None:
        """Say that an issue cannot be done before another one. Linear tells apps of it only by its relations."""
        world = self._world
        blocked, blocker = world.issue(issue).id, world.issue(by_issue).id
        world.relations.append(IssueRelation(id=world.new_id(), issue=blocker, related_issue=blocked, kind="blocks"))
        world.changed()

    def comment(self, issue: str, body: str, *, parent: str | None = None, by: Person | None = None) -> Comment:
        """Write a comment. A mention of the agent opens a session; a reply in a session's thread is a follow-up."""
        world, author = self._world, by or self._world.alice
        on = world.issue(issue)
        root = world.comments[parent] if parent else None
        root = world.comments[root.parent] if root is not None and root.parent else root
        session = world.session_of_thread(root.id) if root else None
        if session is not None:
            activity = self.follow_up(session.id, body, by=author)
            return world.comments[activity.source_comment or ""]
        comment = self._write(author, body, issue=on.id, parent=root.id if root else None)
        if self.mentions_agent(body) and world.agent_sessions:
            world.emit(notification_body(world, "issueCommentMention", on, author, comment))
            open_session(world, creator=author.id, root=root or comment, source=comment if root else None)
        elif on.delegate == world.agent.id:
            world.emit(notification_body(world, "issueNewComment", on, author, comment))
        return comment

    def edit_comment(self, comment: str, body: str) -> Comment:
        """The author of a comment rewrites it. Sessions hear nothing of that: their prompts stay as they were."""
        world, old = self._world, self._world.comments[comment]
        edited = replace(old, body=body, edits=old.edits + 1, edited_at=world.now())
        world.put(edited)
        former = {"body": old.body, "updatedAt": iso(old.edited_at or old.created_at)}
        world.emit(comment_body(world, edited, "update", former))
        return edited

    def remove_comment(self, comment: str) -> None:
        """The author of a comment removes it."""
        removed = self._world.comments[comment]
        self._world.remove_comment(comment)
        self._world.emit(comment_body(self._world, removed, "remove"))

    def mention(self, issue: str, text: str, *, parent: str | None = None, by: Person | None = None) -> AgentSession:
        """Write "@agent text" and return the session that this opens."""
        known = set(self._world.sessions)
        self.comment(issue, f"@{self._world.agent.handle} {text}", parent=parent, by=by)
        return next(session for key, session in self._world.sessions.items() if key not in known)

    def mention_in_project(self, project: Project, text: str, *, by: Person | None = None) -> AgentSession:
        """Mention the agent outside any issue: the session has none."""
        author = by or self._world.alice
        comment = self._write(author, f"@{self._world.agent.handle} {text}", project=project.id)
        return open_session(self._world, creator=author.id, root=comment)

    def delegate(self, issue: str, *, by: Person | None = None) -> AgentSession:
        """Delegate an issue to the agent. Delegating again changes nothing and returns the newest session."""
        world, author = self._world, by or self._world.alice
        old = world.issue(issue)
        if old.delegate == world.agent.id and world.sessions_on(old.id):
            return world.sessions_on(old.id)[-1]
        # Seen live: delegation also assigns the issue to whoever delegates, when nobody has it.
        changes = {"delegate": world.agent.id, "assignee": old.assignee or author.id}
        changed = self._change(old, changes, {"delegateId": old.delegate, "assigneeId": old.assignee}, author)
        world.emit(notification_body(world, "issueAssignedToYou", changed, author))
        root = stub_comment(world, changed)
        self._told(root)
        return open_session(world, creator=author.id, root=root)

    def automate(self, issue: str) -> AgentSession:
        """An automation delegates the issue: the session has no creator."""
        world = self._world
        changed = replace(world.issue(issue), delegate=world.agent.id, updated_at=world.now())
        world.put(changed)
        root = stub_comment(world, changed)
        self._told(root)
        return open_session(world, creator=None, root=root)

    def unassign(self, issue: str, *, by: Person | None = None) -> Issue:
        """Take the issue away from the agent; sessions stay as they are."""
        world, old = self._world, self._world.issue(issue)
        changed = self._change(old, {"delegate": None}, {"delegateId": old.delegate}, by)
        world.emit(notification_body(world, "issueUnassignedFromYou", changed, by or world.alice))
        return changed

    def follow_up(self, session: str, text: str, *, by: Person | None = None) -> Activity:
        """Write a message in a session."""
        world, author = self._world, by or self._world.alice
        known = world.session(session)
        comment = None
        if known.comment is not None:
            root = world.comments[known.comment]
            comment = self._write(author, text, issue=root.issue, project=root.project, parent=root.id)
        return self._prompt(known, text, author, source=comment)

    def answer(self, session: str, choice: str, *, by_label: bool = False, by: Person | None = None) -> Activity:
        """Answer the open elicitation: an option by value or label (the prompt carries the value, or the label when
        `by_label`: agents must understand both), anything else as free text.

        Raises LookupError when no elicitation is open.
        """
        asked = self._world.open_elicitation(session)
        if asked is None:
            raise LookupError("no elicitation is open")
        metadata: Any = asked.signal_metadata or {}
        for option in metadata.get("options", ()):
            label = option.get("label", option["value"])
            if choice in (option["value"], label):
                choice = label if by_label else option["value"]
                break
        return self.follow_up(session, choice, by=by)

    def stop(self, session: str, *, by: Person | None = None) -> Activity:
        """Press Stop."""
        return self._prompt(self._world.session(session), "Stop", by or self._world.alice, signal="stop")

    def delete_session(self, session: str) -> None:
        """Remove a session: every later write of the agent to it is refused for good. No webhook exists for this."""
        self._world.put(replace(self._world.session(session), gone=True))

    def change_team_access(self, *, allowed: bool) -> None:
        """Tell the app that it gained or lost access to team ENG."""
        team = [self._world.team.id]
        self._world.emit(permission_body(self._world, added=team if allowed else [], removed=[] if allowed else team))

    def uninstall(self) -> None:
        """Tell the app that the organization has removed it; tokens are revoked separately."""
        self._world.emit(revoked_body(self._world))

    def mentions_agent(self, text: str) -> bool:
        """Whether a text mentions the agent."""
        return re.search(rf"@{re.escape(self._world.agent.handle)}\b", text, re.IGNORECASE) is not None

    def _change(self, old: Issue, changes: dict[str, Any], former: dict[str, Any], by: Person | None) -> Issue:
        changed = replace(old, updated_at=self._world.now(), **changes)
        self._world.put(changed)
        former = {"updatedAt": iso(old.updated_at)} | former
        self._world.emit(issue_body(self._world, "update", changed, by or self._world.alice, former))
        return changed

    def _write(
        self,
        author: Person,
        body: str,
        *,
        issue: str | None = None,
        project: str | None = None,
        parent: str | None = None,
    ) -> Comment:
        comment = Comment(
            id=self._world.new_id(),
            body=body,
            created_at=self._world.now(),
            author=author.id,
            issue=issue,
            project=project,
            parent=parent,
        )
        self._world.put(comment)
        self._told(comment)
        return comment

    def _told(self, comment: Comment) -> None:
        if comment.issue is not None:
            self._world.emit(comment_body(self._world, comment))

    def _prompt(
        self,
        session: AgentSession,
        text: str,
        author: Person,
        *,
        source: Comment | None = None,
        signal: str | None = None,
    ) -> Activity:
        world = self._world
        activity = Activity(
            id=world.new_id(),
            session=session.id,
            created_at=world.now(),
            author=author.id,
            content={"type": "prompt", "body": text},
            signal=signal,
            source_comment=source.id if source else None,
        )
        body = prompted_body(world, session, activity)
        world.append(activity)
        stage = session.stage
        if signal == "stop":
            stage = "stopping" if stage in ("pending", "active", "awaitingInput") else stage
        elif stage in ("complete", "error", "awaitingInput"):
            stage = "active"
        ended_at = session.ended_at if stage == session.stage else None
        world.put(replace(session, stage=stage, ended_at=ended_at, updated_at=world.now()))
        world.emit(body)
        return activity
