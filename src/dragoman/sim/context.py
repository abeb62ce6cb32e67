"""The text that Linear composes for the agent when a session is created: `promptContext`.

Source  the example in linear.app/developers/agent-interaction. What people wrote stands in it unescaped, as there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dragoman.sim.records import AgentSession, Comment, Issue, Project
from dragoman.sim.world import World


def prompt_context(world: World, session: AgentSession) -> str:
    """Issue (or project), the thread with the request, other threads, guidance."""
    blocks = []
    if session.issue is not None:
        issue = world.issues[session.issue]
        blocks.append(_issue_block(world, issue))
        blocks += _threads(world, session, issue)
    elif session.project is not None:
        blocks.append(_project_line(world.projects[session.project]))
    if world.guidance:
        rules = [
            f'<guidance-rule origin="team" team-name="{world.team.name}">{rule.body}</guidance-rule>'
            if rule.team
            else f'<guidance-rule origin="organization">{rule.body}</guidance-rule>'
            for rule in world.guidance
        ]
        blocks.append(f"<guidance>{''.join(rules)}</guidance>")
    return "\n\n".join(blocks) + "\n"


def _issue_block(world: World, issue: Issue) -> str:
    lines = [f'<issue identifier="{issue.identifier}">', f"<title>{issue.title}</title>"]
    if issue.description:
        lines.append(f"<description>{issue.description}</description>")
    lines.append(f'<team name="{world.team.name}"/>')
    lines += [f"<label>{label.name}</label>" for label in issue.labels]
    if issue.parent is not None:
        parent = world.issues[issue.parent]
        lines.append(f'<parent-issue identifier="{parent.identifier}"><title>{parent.title}</title></parent-issue>')
    if issue.project is not None:
        lines.append(_project_line(world.projects[issue.project]))
    return "\n".join([*lines, "</issue>"])


def _project_line(project: Project) -> str:
    return f'<project name="{project.name}">{project.description}</project>'


def _threads(world: World, session: AgentSession, issue: Issue) -> list[str]:
    primary, others = [], []
    for root in world.comments_on(issue.id):
        if root.parent is not None or root.stub:
            continue
        lines = [_comment_line(world, comment) for comment in world.thread(root.id)]
        if root.id == session.comment:
            tag = f'<primary-directive-thread comment-id="{root.id}">'
            gap = "\n" if len(lines) > 1 else ""
            primary.append(gap.join([tag, *lines, "</primary-directive-thread>"]))
        else:
            others.append("\n".join([f'<other-thread comment-id="{root.id}">', *lines, "</other-thread>"]))
    return primary + others


def _comment_line(world: World, comment: Comment) -> str:
    author = world.people[comment.author].name if comment.author else "Linear"
    at = datetime.fromtimestamp(comment.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    mention = f'<user id="{world.agent.id}">{world.agent.handle}</user>'
    body = re.sub(rf"@{re.escape(world.agent.handle)}\b", lambda _: mention, comment.body, flags=re.IGNORECASE)
    return f'<comment author="{author}" created-at="{at}">{body}</comment>'
