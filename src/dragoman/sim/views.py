"""What the page shows, gathered from the world for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dragoman.record import Record
from dragoman.sim.hooks import Hooks
from dragoman.sim.payloads import iso
from dragoman.sim.records import Activity, AgentSession, Comment, Issue, Person, WorkflowState
from dragoman.sim.world import World

STATUS_WORDS = {
    "pending": "Waiting for the agent",
    "active": "Working",
    "awaitingInput": "Needs your answer",
    "complete": "Done",
    "error": "Failed",
    "stopping": "Stopping",
    "stale": "Stale",
}
_SHOWN_ROWS = 400  # of a session; older ones are counted


class Choice(Record):
    """A button of a question: `value` is sent, `label` shown."""

    value: str
    label: str


class SessionView(Record):
    """A session as the page shows it. `choices` and `asks` are filled only while its question is open."""

    session: AgentSession
    status: str
    words: str
    unresponsive: bool
    rows: tuple[Activity, ...]
    older: int
    plan: tuple[dict[str, str], ...]
    asks: Activity | None
    choices: tuple[Choice, ...]
    stoppable: bool


class ThreadView(Record):
    """A root comment, the replies that belong to no session, and the sessions on it."""

    root: Comment
    replies: tuple[Comment, ...]
    sessions: tuple[SessionView, ...]


class IssueView(Record):
    """An issue with all that hangs on it."""

    issue: Issue
    state: WorkflowState
    assignee: Person | None
    delegate: Person | None
    threads: tuple[ThreadView, ...]


class Group(Record):
    """The issues of one workflow state."""

    state: WorkflowState
    issues: tuple[IssueView, ...]


def groups_of(world: World) -> list[Group]:
    """The list of issues: by state, those in work first, the newest first."""
    order = ["started", "unstarted", "triage", "backlog", "completed", "canceled"]
    states = sorted(world.states, key=lambda state: (order.index(state.kind), state.position))
    groups = []
    for state in states:
        issues = [issue_view(world, issue) for issue in world.issues.values() if issue.state == state.id]
        if issues:
            groups.append(Group(state=state, issues=tuple(reversed(issues))))
    return groups


def issue_view(world: World, issue: Issue) -> IssueView:
    """All that the page of an issue shows."""
    sessions = [session_view(world, session) for session in world.sessions_on(issue.id) if not session.gone]
    threads = []
    for root in world.comments_on(issue.id):
        if root.parent is None:
            here = tuple(view for view in sessions if view.session.comment == root.id)
            threads.append(ThreadView(root=root, replies=_replies(world, root, here), sessions=here))
    return IssueView(
        issue=issue,
        state=world.state(issue.state),
        assignee=world.people.get(issue.assignee or ""),
        delegate=world.people.get(issue.delegate or ""),
        threads=tuple(threads),
    )


def session_view(world: World, session: AgentSession) -> SessionView:
    """A session as people see it now."""
    rows = world.activities(session.id)
    asks = world.open_elicitation(session.id)
    status = world.status(session)
    plan: Any = session.plan or ()
    return SessionView(
        session=session,
        status=status,
        words=STATUS_WORDS[status],
        unresponsive=world.unresponsive(session),
        rows=tuple(rows[-_SHOWN_ROWS:]),
        older=max(0, len(rows) - _SHOWN_ROWS),
        plan=tuple(plan),
        asks=asks,
        choices=_choices(asks),
        stoppable=status in ("pending", "active", "awaitingInput", "stale"),
    )


def _choices(asks: Activity | None) -> tuple[Choice, ...]:
    if asks is None or asks.signal != "select":
        return ()
    metadata: Any = asks.signal_metadata or {}
    options: Sequence[dict[str, str]] = metadata.get("options", ())
    return tuple(Choice(value=option["value"], label=option.get("label", option["value"])) for option in options)


def _replies(world: World, root: Comment, sessions: Sequence[SessionView]) -> tuple[Comment, ...]:
    """A session shows its own messages: the comments that mirror them are left out."""
    mirrored = {row.source_comment for view in sessions for row in world.activities(view.session.id, vanished=True)}
    return tuple(c for c in world.thread(root.id) if c.id != root.id and c.id not in mirrored)


def webhook_words(hooks: Hooks) -> str:
    """One line on how webhooks fare."""
    if hooks.url is None:
        return "Webhooks: no address is set, nobody hears of this"
    states = [delivery.state for delivery in hooks.deliveries]
    words = [f"{states.count('delivered')} delivered"]
    others = ("sending", "waiting", "held", "failed", "lost")
    words.extend(f"{states.count(state)} {state}" for state in others if state in states)
    return "Webhooks: " + ", ".join(words)


def clock_time(at: float) -> str:
    """The time of day, in this machine's zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def machine_time(at: float) -> str:
    """A time for the `datetime` attribute."""
    return iso(at) or ""


def initials(name: str) -> str:
    """One or two letters for a person's badge."""
    return "".join(word[0] for word in name.split()[:2]).upper()
