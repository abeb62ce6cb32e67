"""How a session of the agent begins in a pretend Linear, whoever begins it."""

from __future__ import annotations

from dragoman.sim.payloads import created_body
from dragoman.sim.records import AgentSession, Comment, Issue
from dragoman.sim.world import World


def stub_comment(world: World, issue: Issue) -> Comment:
    """The root that Linear makes when nobody wrote one: its text is no request, and nobody is its author."""
    comment = Comment(
        id=world.new_id(),
        body=f"This thread is for an agent session with {world.agent.name}.",
        created_at=world.now(),
        author=None,
        issue=issue.id,
        stub=True,
    )
    world.put(comment)
    return comment


def open_session(world: World, *, creator: str | None, root: Comment, source: Comment | None = None) -> AgentSession:
    """Begin a session on a thread and send `created`.

    creator  the person, None for automations and for sessions that the agent began
    root     the thread's first comment
    source   the comment with the mention when that is a reply in the thread
    """
    now = world.now()
    session_id = world.new_id()
    url = None
    if root.issue is not None:
        url = f"{world.issues[root.issue].url}#agent-session-{session_id[:8]}"
    session = AgentSession(
        id=session_id,
        created_at=now,
        updated_at=now,
        creator=creator,
        issue=root.issue,
        comment=root.id,
        source_comment=source.id if source else None,
        project=root.project,
        url=url,
    )
    world.put(session)
    world.emit(created_body(world, session, source))
    return session
