"""Linear's spelling: the parts of webhook bodies and GraphQL replies that we read, and nothing else.

Whatever Linear may leave out or send as null has a default here; unknown fields and unknown types are passed over.

Source  Linear's public GraphQL schema, types *WebhookPayload; linear.app/developers/webhooks
"""

from __future__ import annotations

from typing import Any, dataclass_transform

from msgspec import UNSET, Struct, UnsetType


# Type checkers do not inherit `frozen` from a Struct base: this says it once for all subclasses.
@dataclass_transform(frozen_default=True, kw_only_default=True)
class Wire(Struct, frozen=True, rename="camel", kw_only=True):
    """Base of what Linear sends."""


# ── webhooks ─────────────────────────────────────────────────────────────
class User(Wire):
    id: str | None = None
    name: str | None = None
    email: str | None = None


class Team(Wire):
    id: str | None = None
    key: str | None = None
    parent_id: str | None = None


class Issue(Wire):
    """The issue of an agent session or notification: no labels, state, delegate or project."""

    id: str | None = None
    identifier: str | None = None
    title: str | None = None
    description: str | None = None
    url: str | None = None
    team_id: str | None = None
    team: Team | None = None


class Comment(Wire):
    id: str | None = None
    body: str | None = None


class GuidanceOrigin(Wire):
    type: str | None = None
    team: Team | None = None


class GuidanceRule(Wire):
    body: str | None = None
    origin: GuidanceOrigin | None = None


class AgentSession(Wire):
    id: str | None = None
    created_at: str | None = None
    creator_id: str | None = None
    creator: User | None = None
    issue: Issue | None = None
    comment: Comment | None = None  # the ROOT comment of the thread, not always the mention
    source_comment_id: str | None = None


class ActivityContent(Wire):
    type: str | None = None
    body: str | None = None
    signal: str | None = None  # not in the types; one agent in the wild looks here, too


class AgentActivity(Wire):
    id: str | None = None
    created_at: str | None = None
    agent_session_id: str | None = None
    content: ActivityContent | None = None
    signal: str | None = None
    source_comment_id: str | None = None
    user_id: str | None = None
    user: User | None = None


class Notification(Wire):
    id: str | None = None
    actor_id: str | None = None
    issue_id: str | None = None
    issue: Issue | None = None


class WorkflowState(Wire):
    type: str | None = None


class Entity(Wire):
    """`data` of a change to an issue, or to a comment."""

    id: str | None = None
    updated_at: str | None = None
    # of an issue
    title: str | None = None
    description: str | None = None
    delegate_id: str | None = None
    state: WorkflowState | None = None
    # of a comment
    created_at: str | None = None
    body: str | None = None
    parent_id: str | None = None
    bot_actor: Any = None
    issue_id: str | None = None
    issue: Issue | None = None
    user_id: str | None = None
    user: User | None = None


class UpdatedFrom(Wire):
    """Previous values of what changed; absent = did not change, null = was not set."""

    state_id: str | UnsetType | None = UNSET
    delegate_id: str | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    body: str | UnsetType | None = UNSET


class Actor(User):
    """Who did it: `type` "user", or another word for an app or an integration."""

    type: str | None = None


class Payload(Wire):
    """Any webhook body. Which fields are there depends on `type` and `action`; read by `inbound`."""

    type: str | None = None
    action: str | None = None
    created_at: str | None = None
    organization_id: str | None = None
    app_user_id: str | None = None
    webhook_timestamp: float | None = None  # ms since the epoch
    agent_session: AgentSession | None = None
    agent_activity: AgentActivity | None = None
    prompt_context: str | None = None
    previous_comments: list[Comment] | None = None
    guidance: list[GuidanceRule] | None = None
    notification: Notification | None = None
    actor: Actor | None = None
    data: Entity | None = None
    updated_from: UpdatedFrom | None = None


# ── replies ──────────────────────────────────────────────────────────────
class Named(Wire):
    id: str


class RepliedState(Wire):
    id: str
    type: str
    name: str = ""
    position: float = 0.0


class RepliedTeam(Wire):
    id: str
    key: str


class RepliedName(Wire):
    name: str = ""


class RepliedLabel(Wire):
    name: str = ""
    parent: RepliedName | None = None  # its group


class LabelNodes(Wire):
    nodes: list[RepliedLabel]


class RepliedParent(Wire):
    id: str
    branch_name: str = ""


class RelatedState(Wire):
    type: str = ""


class RelatedIssue(Wire):
    id: str
    identifier: str = ""
    state: RelatedState | None = None


class Relation(Wire):
    """`issue` stands to the issue that was asked for as `type` says: it "blocks" it."""

    type: str
    issue: RelatedIssue | None = None


class Relations(Wire):
    nodes: list[Relation]


class RepliedIssue(Wire):
    id: str
    identifier: str
    title: str
    url: str = ""
    description: str | None = None
    branch_name: str | None = None
    priority: float = 0.0  # a whole number, though the schema says Float
    state: RepliedState | None = None
    team: RepliedTeam | None = None
    delegate: Named | None = None
    project: RepliedName | None = None
    labels: LabelNodes | None = None
    parent: RepliedParent | None = None
    inverse_relations: Relations | None = None


class IssueReply(Wire):
    issue: RepliedIssue | None = None


class RepliedSuggestion(Wire):
    repository_full_name: str
    confidence: float


class Suggestions(Wire):
    suggestions: list[RepliedSuggestion]


class SuggestionsReply(Wire):
    issue_repository_suggestions: Suggestions


class FoundLabel(Wire):
    id: str
    team: Named | None = None


class FoundLabels(Wire):
    nodes: list[FoundLabel]


class LabelsReply(Wire):
    issue_labels: FoundLabels


class StateNodes(Wire):
    nodes: list[RepliedState]


class TeamStates(Wire):
    states: StateNodes


class TeamStatesReply(Wire):
    team: TeamStates | None = None


class RepliedUser(Wire):
    id: str
    name: str = ""
    email: str | None = None


class UserReply(Wire):
    user: RepliedUser | None = None


class RepliedOrganization(Wire):
    id: str
    url_key: str = ""


class RepliedViewer(Wire):
    id: str
    organization: RepliedOrganization
    name: str = ""
    display_name: str = ""
    url: str = ""


class ViewerReply(Wire):
    viewer: RepliedViewer


class UploadHeader(Wire):
    key: str
    value: str


class UploadFile(Wire):
    """A place for the bytes of a file: what the PUT goes to and with, and where the file is shown afterwards."""

    upload_url: str
    asset_url: str
    headers: list[UploadHeader]


class FileUpload(Wire):
    success: bool
    upload_file: UploadFile | None = None


class FileUploadReply(Wire):
    file_upload: FileUpload


class TokenReply(Wire, rename=None):
    """The answer of /oauth/token."""

    access_token: str
    expires_in: float = 86_399.0  # seconds


class TokenRefusal(Wire, rename=None):
    """The answer of /oauth/token when it says no."""

    error: str = ""
    error_description: str = ""
