"""The things a pretend Linear holds, as frozen values. Times are seconds since the epoch, ids UUIDs of version 4.

Source  linear.app/developers/agent-interaction and Linear's public GraphQL schema; names follow ours, not the wire's
"""

from __future__ import annotations

import msgspec

from dragoman.record import Record


class Person(Record):
    """A user of the organization; the agent itself is one too (`app`)."""

    id: str
    name: str
    handle: str  # what people write after "@"; the last part of the profile URL as well
    email: str
    url: str
    avatar_url: str | None = None
    app: bool = False


class Team(Record):
    """A team; `key` begins the identifiers of its issues ("ENG")."""

    id: str
    key: str
    name: str


class WorkflowState(Record):
    """A column of the team's board. `kind` is Linear's `type`: triage, backlog, unstarted, started, completed, canceled."""

    id: str
    name: str
    kind: str
    position: float
    color: str


class Label(Record):
    """A label of an issue."""

    id: str
    name: str
    color: str = "#95a2b3"


class Project(Record):
    """A project; people may mention the agent there, which makes a session without an issue."""

    id: str
    name: str
    description: str
    url: str


class GuidanceRule(Record):
    """What the organization (`team` false) or the team tells every agent."""

    body: str
    team: bool = False


class Issue(Record):
    """An issue of the one team. `state` is the id of a workflow state."""

    id: str
    number: int
    identifier: str
    title: str
    description: str | None
    url: str
    branch_name: str
    state: str
    created_at: float
    updated_at: float
    creator: str
    priority: int = 0  # 0 none, 1 urgent … 4 low
    labels: tuple[Label, ...] = ()
    assignee: str | None = None
    delegate: str | None = None
    parent: str | None = None
    project: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    canceled_at: float | None = None


class IssueRelation(Record):
    """`issue` stands to `related_issue` as `kind` says: it "blocks" it."""

    id: str
    issue: str
    related_issue: str
    kind: str


class Comment(Record):
    """A comment; `parent` is always a root. `stub` marks the root that Linear makes for a session nobody wrote for.

    edits  how often its words were replaced, the last time at `edited_at`
    """

    id: str
    body: str
    created_at: float
    author: str | None
    issue: str | None = None
    project: str | None = None
    parent: str | None = None
    stub: bool = False
    edits: int = 0
    edited_at: float | None = None


class Activity(Record):
    """One row of a session, by the agent or (type `prompt`) by a person.

    content      as on the wire: {"type": "thought", "body": …} or {"type": "action", "action", "parameter", "result"?}
    vanished_at  when a later activity of the agent made an ephemeral one disappear
    """

    id: str
    session: str
    created_at: float
    author: str
    content: dict[str, str]
    ephemeral: bool = False
    signal: str | None = None
    signal_metadata: dict[str, object] | None = None
    source_comment: str | None = None
    vanished_at: float | None = None

    @property
    def kind(self) -> str:
        """thought, action, elicitation, response, error or prompt."""
        return self.content["type"]

    @property
    def body(self) -> str:
        """The text; an action has none."""
        return self.content.get("body", "")


class Link(Record):
    """An external link of a session, as Linear's `externalUrls` sets it."""

    label: str
    url: str


class AgentSession(Record):
    """A session of the agent.

    stage         what was last said: pending, active, awaitingInput, complete, error, stopping; see `World.status`
    first_sign_at when the first activity or external link came; Linear expects it within 10 s of `created_at`
    last_sign_at  when the agent last posted; after 30 min of an open session Linear calls it stale
    gone          deleted: every write is refused for good
    """

    id: str
    created_at: float
    updated_at: float
    creator: str | None
    issue: str | None
    comment: str | None
    source_comment: str | None = None
    project: str | None = None
    stage: str = "pending"
    started_at: float | None = None
    ended_at: float | None = None
    first_sign_at: float | None = None
    last_sign_at: float | None = None
    summary: str | None = None
    plan: object = None
    links: tuple[Link, ...] = ()
    source_metadata: dict[str, object] | None = None
    url: str | None = None
    gone: bool = False


class Attachment(Record):
    """A link on an issue; the same URL on the same issue is the same attachment."""

    id: str
    issue: str
    title: str
    url: str
    created_at: float
    subtitle: str | None = None
    metadata: dict[str, object] = msgspec.field(default_factory=dict)
