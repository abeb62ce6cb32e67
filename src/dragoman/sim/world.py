"""The state of a pretend Linear: one organization, one team, its people, issues, comments and agent sessions.

No HTTP here. `People` (people.py) says what people do, `Agent` (agent.py) what the agent's app may do; both change this
state through `World.put` and tell the outside through `World.emit`. Whoever wants to know of changes registers with
`World.watch`. Everything is kept until the process ends.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable

from dragoman.clock import Clock, SystemClock
from dragoman.sim.records import (
    Activity,
    AgentSession,
    Attachment,
    Comment,
    GuidanceRule,
    Issue,
    IssueRelation,
    Label,
    Person,
    Project,
    Team,
    WorkflowState,
)

# Linear shows a new session as unresponsive after 10 s and as stale after 30 min: agent-interaction, agent-best-practices
UNRESPONSIVE_AFTER_S = 10.0
STALE_AFTER_S = 30 * 60.0

# What an app subscribes to by default: Linear's settings call them "Agent session events", "Inbox notifications" and
# "Permission changes". "Issue" and "Comment" can be added.
DEFAULT_RESOURCES = frozenset({"AgentSessionEvent", "AppUserNotification", "PermissionChange", "OAuthApp"})

_STATES = (
    ("Triage", "triage", 0.0, "#fc7840"),
    ("Backlog", "backlog", 1.0, "#bec2c8"),
    ("Todo", "unstarted", 2.0, "#e2e2e2"),
    # Out of order on purpose: the lowest started state is found by its position, not by its place in the list.
    ("In Review", "started", 4.0, "#0f783c"),
    ("In Progress", "started", 3.0, "#f2c94c"),
    ("Done", "completed", 5.0, "#5e6ad2"),
    ("Canceled", "canceled", 6.0, "#95a2b3"),
)


class World:
    """A pretend Linear.

    clock       what time it is; every rule about time is computed from it when asked
    agent_name  the name of the app user; people mention it as "@" + the name in lower case without spaces
    resources   the webhook resource types the app is subscribed to
    agent_sessions  whether a mention or delegation opens an agent session; otherwise the agent is a user like others
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        agent_name: str = "OpenCode",
        url_key: str = "acme",
        resources: Iterable[str] = DEFAULT_RESOURCES,
        agent_sessions: bool = True,
    ) -> None:
        self.agent_sessions = agent_sessions
        self.clock: Clock = clock or SystemClock()
        self.organization_id = self.new_id()
        self.organization_name = url_key.capitalize()
        self.url_key = url_key
        self.oauth_client_id = uuid.uuid4().hex
        self.webhook_id = self.new_id()
        self.resources = set(resources)
        self.guidance: tuple[GuidanceRule, ...] = ()
        self.team = Team(id=self.new_id(), key="ENG", name="Engineering")
        self.states = tuple(
            WorkflowState(id=self.new_id(), name=name, kind=kind, position=position, color=color)
            for name, kind, position, color in _STATES
        )
        self.people: dict[str, Person] = {}
        self.issues: dict[str, Issue] = {}
        self.comments: dict[str, Comment] = {}
        self.projects: dict[str, Project] = {}
        self.labels: dict[str, Label] = {}
        self.sessions: dict[str, AgentSession] = {}
        self.attachments: dict[str, Attachment] = {}
        self.relations: list[IssueRelation] = []
        self.suggestions: dict[str, float] = {}  # repository full name -> confidence, for issueRepositorySuggestions
        self.webhooks: list[dict[str, object]] = []  # every body ever emitted, oldest first
        self.version = 0
        self._threads: dict[str, list[str]] = {}  # root comment -> itself and its replies
        self._comments_on: dict[str, list[str]] = {}  # issue -> its comments
        self._activities: dict[str, Activity] = {}
        self._rows: dict[str, list[str]] = {}
        self._fading: dict[str, list[str]] = {}
        self._watchers: list[Callable[[str | None], None]] = []
        self._sender: Callable[[dict[str, object]], None] | None = None
        self.agent = self.add_person(agent_name, app=True)
        self.alice = self.add_person("Alice Example")
        self.bob = self.add_person("Bob Example")

    # People and other things that are simply there

    @staticmethod
    def new_id() -> str:
        """A fresh UUID of version 4."""
        return str(uuid.uuid4())

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now()

    def add_person(self, name: str, *, app: bool = False) -> Person:
        """Make a user of the organization."""
        handle = re.sub(r"[^a-z0-9]+", "", name.lower() if app else name.split(maxsplit=1)[0].lower()) or "someone"
        host = "oauthapp.linear.app" if app else f"{self.url_key}.example"
        person = Person(
            id=self.new_id(),
            name=name,
            handle=handle,
            email=f"{handle}@{host}",
            url=f"https://linear.app/{self.url_key}/profiles/{handle}",
            app=app,
        )
        self.people[person.id] = person
        self.changed()
        return person

    def add_project(self, name: str, description: str = "") -> Project:
        """Make a project."""
        slug = slug_of(name)
        url = f"https://linear.app/{self.url_key}/project/{slug}"
        project = Project(id=self.new_id(), name=name, description=description, url=url)
        self.projects[project.id] = project
        self.changed()
        return project

    def label(self, name: str) -> Label:
        """The label of that name, made when it is new."""
        if name not in self.labels:
            self.labels[name] = Label(id=self.new_id(), name=name)
        return self.labels[name]

    # Looking things up

    def state(self, wanted: str) -> WorkflowState:
        """The workflow state with that id, name or kind (the lowest position of a kind).

        Raises KeyError
        """
        for state in self.states:
            if wanted in (state.id, state.name):
                return state
        of_kind = [state for state in self.states if state.kind == wanted]
        if not of_kind:
            raise KeyError(wanted)
        return min(of_kind, key=lambda state: state.position)

    def issue(self, wanted: str) -> Issue:
        """The issue with that id or identifier ("ENG-1"). Raises KeyError."""
        if wanted in self.issues:
            return self.issues[wanted]
        for issue in self.issues.values():
            if issue.identifier == wanted:
                return issue
        raise KeyError(wanted)

    def session(self, session_id: str) -> AgentSession:
        """The session with that id. Raises KeyError."""
        return self.sessions[session_id]

    def activity(self, activity_id: str) -> Activity:
        """The activity with that id, vanished or not. Raises KeyError."""
        return self._activities[activity_id]

    def activities(self, session_id: str, *, vanished: bool = False) -> list[Activity]:
        """The rows of a session as people see them, oldest first; with `vanished` also those that are gone."""
        rows = [self._activities[row] for row in self._rows.get(session_id, ())]
        return rows if vanished else [row for row in rows if row.vanished_at is None]

    def thread(self, root_id: str) -> list[Comment]:
        """A root comment and its replies, oldest first."""
        return [self.comments[comment] for comment in self._threads.get(root_id, ())]

    def comments_on(self, issue_id: str) -> list[Comment]:
        """All comments of an issue, oldest first."""
        return [self.comments[comment] for comment in self._comments_on.get(issue_id, ())]

    def sessions_on(self, issue_id: str) -> list[AgentSession]:
        """The sessions of an issue, oldest first."""
        return [session for session in self.sessions.values() if session.issue == issue_id]

    def session_of_thread(self, root_id: str) -> AgentSession | None:
        """The newest session attached to a thread."""
        found = [s for s in self.sessions.values() if s.comment == root_id and not s.gone]
        return found[-1] if found else None

    # The clock's rules

    def status(self, session: AgentSession) -> str:
        """What Linear shows: pending, active, awaitingInput, complete, error, stopping or stale."""
        open_and_working = session.stage in ("pending", "active", "stopping")
        last = session.last_sign_at or session.created_at
        return "stale" if open_and_working and self.now() - last > STALE_AFTER_S else session.stage

    def unresponsive(self, session: AgentSession) -> bool:
        """Whether the agent gave no sign within 10 s of the session's creation; a late sign does not undo it."""
        return (session.first_sign_at or self.now()) - session.created_at > UNRESPONSIVE_AFTER_S

    def open_elicitation(self, session_id: str) -> Activity | None:
        """The question that people can answer now: any later activity dismisses it."""
        rows = self._rows.get(session_id)
        last = self._activities[rows[-1]] if rows else None
        return last if last is not None and last.kind == "elicitation" else None

    # Changing

    def put(self, thing: Issue | Comment | AgentSession | Attachment) -> None:
        """Store a new or changed thing and tell the watchers."""
        session: str | None = None
        match thing:
            case Issue():
                self.issues[thing.id] = thing
            case Comment():
                if thing.id not in self.comments:
                    self._threads.setdefault(thing.parent or thing.id, []).append(thing.id)
                    self._comments_on.setdefault(thing.issue or "", []).append(thing.id)
                self.comments[thing.id] = thing
            case Attachment():
                self.attachments[thing.id] = thing
            case AgentSession():
                self.sessions[thing.id] = thing
                session = thing.id
        self.changed(session)

    def remove_comment(self, comment_id: str) -> None:
        """Somebody removes a comment; the thread stays."""
        comment = self.comments.pop(comment_id)
        self._threads[comment.parent or comment.id].remove(comment_id)
        self._comments_on[comment.issue or ""].remove(comment_id)
        self.changed()

    def append(self, activity: Activity) -> None:
        """Add a row to its session; one by the agent makes its ephemeral predecessors vanish."""
        if activity.author == self.agent.id:
            for fading in self._fading.pop(activity.session, ()):
                old = self._activities[fading]
                self._activities[fading] = _vanished(old, activity.created_at)
        self._activities[activity.id] = activity
        self._rows.setdefault(activity.session, []).append(activity.id)
        if activity.ephemeral:
            self._fading.setdefault(activity.session, []).append(activity.id)
        self.changed(activity.session)

    def knows_activity(self, activity_id: str) -> bool:
        """Whether the id is taken."""
        return activity_id in self._activities

    # Telling the outside

    def emit(self, body: dict[str, object]) -> None:
        """Send a webhook body, when the app is subscribed to its type."""
        if body["type"] in self.resources:
            self.webhooks.append(body)
            if self._sender is not None:
                self._sender(body)

    def send_through(self, sender: Callable[[dict[str, object]], None] | None) -> None:
        """Hand every further body to `sender` as well."""
        self._sender = sender

    def watch(self, watcher: Callable[[str | None], None]) -> Callable[[], None]:
        """Call `watcher` after each change with the id of the session concerned, or None. Returns how to end that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def changed(self, session: str | None = None) -> None:
        """Count a change and tell the watchers."""
        self.version += 1
        for watcher in tuple(self._watchers):
            watcher(session)


def slug_of(title: str) -> str:
    """A title as it stands in URLs and branch names."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "untitled"


def _vanished(activity: Activity, at: float) -> Activity:
    # Spelled out: msgspec.structs.replace costs more, and this runs once for each durable activity.
    return Activity(
        id=activity.id,
        session=activity.session,
        created_at=activity.created_at,
        author=activity.author,
        content=activity.content,
        ephemeral=True,
        signal=activity.signal,
        signal_metadata=activity.signal_metadata,
        source_comment=activity.source_comment,
        vanished_at=at,
    )
