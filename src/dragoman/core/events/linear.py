"""From Linear: what people do there, and what it tells when it is asked."""

from __future__ import annotations

from typing import Literal

from dragoman.core.edits import Edit
from dragoman.core.findings import Finding
from dragoman.ids import ActivityId, CommentId, IssueId, RunId, UserId
from dragoman.record import Record

# What a person does.
# start   give the agent work: a mention, a delegation, a message that steers or follows, what steers it on the issue
# answer  answer its question;  approve  answer its permission;  stop  press Stop
Deed = Literal["start", "answer", "approve", "stop"]
# Why somebody may not: see core/access.py, and core/pace.py for the last two.
# nobody  no person is identified;  user, team  not on the service's lists;  rule  not among those who may do this
RefusalReason = Literal["nobody", "user", "team", "rule", "person_pace", "organization_pace"]


class Person(Record):
    """Someone in Linear. `email` is None when the payload had none."""

    id: UserId
    name: str
    email: str | None = None


class Blocker(Record):
    """An issue that must be done before another one, and is not."""

    id: IssueId
    key: str


class Issue(Record):
    """What we know of the issue. From the branch name on, it is known only after the issue was read from Linear.

    labels  names; those of a group also as "group:name"
    """

    id: IssueId
    key: str  # "ENG-12"
    title: str
    url: str = ""
    team_id: str = ""
    team_key: str = ""
    description: str = ""
    branch_name: str | None = None  # Linear's suggestion
    state_type: str | None = None  # triage, backlog, unstarted, started, completed, canceled, duplicate
    delegate: UserId | None = None
    priority: int = 0  # Linear's: 1 urgent, 2 high, 3 medium, 4 low; 0 none
    state: str = ""  # the name of its column
    project: str = ""
    labels: tuple[str, ...] = ()
    blocked_by: tuple[Blocker, ...] = ()
    parent: IssueId | None = None  # of a sub-issue
    parent_branch: str = ""  # what Linear suggests as the parent's branch


class Prompt(Record):
    """What a person (or an automation) asked.

    text      the person's own words, verbatim; empty for a bare delegation
    author    None when an automation asked
    activity  Linear's id of the prompt activity; None for the mention or delegation that opened the session
    sent_at   when it was written, seconds since the epoch
    context   Linear's promptContext: the issue, its comments and guidance as prose-XML; untrusted
    guidance  rules of the organization and team, nearest team first
    kind      how it came; "review": nobody wrote here, it came from the pull request; "edits": nobody wrote here, the
              issue was changed
    findings  what is to be solved on the pull request
    round     which round of that it is, for "review"
    edits     what people have changed on the issue since the agent last heard of it
    """

    text: str
    author: Person | None = None
    activity: ActivityId | None = None
    sent_at: float = 0.0
    context: str = ""
    guidance: tuple[str, ...] = ()
    kind: Literal["mention", "delegation", "follow_up", "review", "edits"] = "follow_up"
    findings: tuple[Finding, ...] = ()
    round: int = 0
    edits: tuple[Edit, ...] = ()


class SessionOpened(Record):
    """Somebody mentioned the agent or delegated an issue to it.

    root   the first comment of the thread that the session is attached to; None without one
    source the comment that asks for it, when that is another one
    crowd  how many sessions this issue had in the last hour, this one included; gathered by the engine
    limit  the most that are allowed; 0 = no cap
    """

    issue: Issue | None
    prompt: Prompt
    root: CommentId | None = None
    source: CommentId | None = None
    crowd: int = 0
    limit: int = 0


class Prompted(Record):
    """A person wrote in the session. `issue` is what that delivery said of the issue: it may come before `created`.

    root  as in SessionOpened
    """

    prompt: Prompt
    issue: Issue | None = None
    root: CommentId | None = None


class StopRequested(Record):
    """A person pressed Stop. Prompts written before `sent_at` that come later are not started."""

    sent_at: float
    by: Person | None = None


class RequestRefused(Record):
    """A person may not do what they asked for. This stands in the place of what they sent, so their words end here.

    person  None when nobody was identified
    deed    what it was
    silent  say nothing: they were told already that they go too fast, or did not speak to us
    issue   what the delivery said of the issue
    """

    deed: Deed
    reason: RefusalReason
    person: Person | None = None
    silent: bool = False
    issue: Issue | None = None


class Withdrawn(Record):
    """The agent was unassigned, or the issue was closed: work ends."""

    reason: Literal["unassigned", "issue_completed", "issue_canceled", "app_revoked"]


class IssueRead(Record):
    """Linear told more about the issue, or did not (then `issue` is None) and we go on without.

    chosen  the repository that people chose for the issue in an earlier session; empty when they were not asked
    """

    run: RunId
    issue: Issue | None = None
    chosen: str = ""


class Suggestion(Record):
    """A repository that Linear suggests; `confidence` from 0 to 1."""

    name: str
    confidence: float


class RepositoriesSuggested(Record):
    """Linear told which repositories it takes for the right ones, or did not (then there are none)."""

    run: RunId
    suggestions: tuple[Suggestion, ...] = ()


LinearEvent = SessionOpened | Prompted | StopRequested | RequestRefused | Withdrawn
