"""What happened. Everything that the machine can hear is a variant here, one sentence each.

Facts are gathered before they are told: an event carries all that is needed to decide.
Events of a run carry its RunId; those of a run that the session has left change nothing.
"""

from __future__ import annotations

from typing import Literal

from dragoman.core.context import LinearContext
from dragoman.core.findings import Finding
from dragoman.ids import ActivityId, AgentThread, AskId, IssueId, MessageId, PartId, RunId, UserId
from dragoman.record import Record

# What a person does.
# start   give the agent work: a mention, a delegation, a message that steers or follows
# answer  answer its question;  approve  answer its permission;  stop  press Stop
Deed = Literal["start", "answer", "approve", "stop"]

# Why somebody may not: see core/access.py, and core/pace.py for the last two.
# nobody  no person is identified;  user, team  not on the service's lists;  rule  not among those who may do this
RefusalReason = Literal["nobody", "user", "team", "rule", "person_pace", "organization_pace"]


# ── what the events are made of ──────────────────────────────────────────
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
    kind      how it came; "review": nobody wrote here, it came from the pull request
    findings  what is to be solved on the pull request
    round     which round of that it is, for "review"
    """

    text: str
    author: Person | None = None
    activity: ActivityId | None = None
    sent_at: float = 0.0
    context: str = ""
    guidance: tuple[str, ...] = ()
    kind: Literal["mention", "delegation", "follow_up", "review"] = "follow_up"
    findings: tuple[Finding, ...] = ()
    round: int = 0


class Todo(Record):
    """One line of the agent's plan, as the agent wrote it; status pending, in_progress, completed or cancelled."""

    content: str
    status: str


class Question(Record):
    """One question of an ask. `options` are (label, description) pairs; free text is always allowed."""

    text: str
    header: str = ""
    options: tuple[tuple[str, str], ...] = ()
    multiple: bool = False


class Tool(Record):
    """A tool call, as OpenCode reports it.

    name      "bash", "edit", "read", "task", …
    input     the arguments, JSON text (bounded)
    title     OpenCode's short title, may be empty
    output    what it returned, bounded; empty while it runs
    diff      unified diff of an edit, when OpenCode gave one
    """

    name: str
    input: str
    title: str = ""
    output: str = ""
    diff: str = ""


class Usage(Record):
    """What a run used: tokens as counted by the provider, cost in US dollars as computed by OpenCode.

    model  "provider/model" that answered last; empty when OpenCode did not say
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    model: str = ""


# ── how work is delivered ────────────────────────────────────────────────
class Check(Record):
    """A verify command that we ran in a clean clone.

    exit_code  None when it was ended at its deadline
    output     the end of what it printed, bounded
    on_base    it ran on the base with only the new tests added, to see whether they fail there
    """

    command: str
    exit_code: int | None
    took_s: float
    output: str = ""
    on_base: bool = False


class Receipt(Record):
    """What the service itself saw and did at the end of a turn. Nothing in it is taken from the model's words.

    commits       of this turn, "1a2b3c4 Subject", oldest first, the first twenty; `commit_count` counts all
    files         changed by these commits, with the lines `added` and `removed`
    committed     how many files we committed because the agent had left them
    left          why uncommitted files were left as they are; empty when none were
    pushed        whether the remote has the branch as it stands
    pull_request  its URL; empty without one
    compare       how to look at the branch where there is no pull request
    checks        in the order in which they ran; `unchecked` says why there are none although some are configured
    proof         with `verify_red`: whether the new tests fail on the base ("red"), pass there as well ("green"), or
                  whether there are none
    trouble       what kept the work from being delivered and what to do, for people; empty when nothing did
    later         it is tried again without anybody asking
    """

    repository: str
    branch: str
    base: str
    commits: tuple[str, ...] = ()
    commit_count: int = 0
    files: int = 0
    added: int = 0
    removed: int = 0
    committed: int = 0
    left: str = ""
    pushed: bool = False
    pull_request: str = ""
    compare: str = ""
    checks: tuple[Check, ...] = ()
    unchecked: str = ""
    proof: Literal["", "red", "green", "no_tests"] = ""
    trouble: str = ""
    later: bool = False


# ── how a run can end ────────────────────────────────────────────────────
class Answered(Record):
    """The agent's last words; may be empty when it ended without any."""

    text: str
    message: MessageId | None = None
    usage: Usage = Usage()


# Why the model's provider, or OpenCode itself, did not do what was asked.
Cause = Literal[
    "timeout", "network", "credentials", "not_found", "rate_limit", "server", "context", "model", "cut_off", "other"
]


class Broke(Record):
    """The model's provider or OpenCode failed. `cause` is a stable word, `message` what they said."""

    cause: Cause
    message: str
    text: str = ""  # what the agent had said so far


class Declined(Record):
    """The run ended because a person rejected a permission or dismissed a question."""

    text: str = ""


class Aborted(Record):
    """Somebody aborted the run, or it ended without saying anything."""

    text: str = ""


Outcome = Answered | Broke | Declined | Aborted


# ── from Linear ──────────────────────────────────────────────────────────
class SessionOpened(Record):
    """Somebody mentioned the agent or delegated an issue to it.

    crowd  how many sessions this issue had in the last hour, this one included; gathered by the engine
    limit  the most that are allowed; 0 = no cap
    """

    issue: Issue | None
    prompt: Prompt
    crowd: int = 0
    limit: int = 0


class Prompted(Record):
    """A person wrote in the session. `issue` is what that delivery said of the issue: it may come before `created`."""

    prompt: Prompt
    issue: Issue | None = None


class StopRequested(Record):
    """A person pressed Stop. Prompts written before `sent_at` that come later are not started."""

    sent_at: float
    by: Person | None = None


class RequestRefused(Record):
    """A person may not do what they asked for. This stands in the place of what they sent, so their words end here.

    person  None when nobody was identified
    deed    what it was
    silent  they were told already that they go too fast: say nothing
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


class Delivered(Record):
    """What could not be delivered at the end of its turn has been by now; `pull_request` is its URL, empty without."""

    pull_request: str


# ── from the forge ───────────────────────────────────────────────────────
class ReviewReceived(Record):
    """What asks for work on a pull request as it stands: by people who may write there, and by its checks.

    What was heard before is among it; the machine knows it by its key.
    """

    pull_request: str
    findings: tuple[Finding, ...]


class PullRequestClosed(Record):
    """The pull request is closed, merged or not; `by` is who merged it, empty when unknown."""

    pull_request: str
    merged: bool
    by: str = ""


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


# ── from whoever runs us: by command, by the library, by the clean-up ──
class SessionExpired(Record):
    """The time without a message or agent activity may be over; the machine looks whether it is."""


class CompletionRequested(Record):
    """Somebody says that the session has served its purpose. `reason` is kept in the conversation."""

    reason: str = ""


class ReactivationRequested(Record):
    """Somebody wants a session that is over to be active again, without a message yet."""


class StatusRequested(Record):
    """Somebody sets the status by hand; one that `session.may_change` does not allow changes nothing."""

    status: Literal["active", "completed", "error", "timeout"]
    reason: str = ""


class MessageAdded(Record):
    """A line for the history that did not come through Linear: it begins no turn. Fields as in session.Message."""

    role: Literal["user", "assistant", "system"]
    text: str
    author: str | None = None
    linear_id: str | None = None
    opencode_id: str | None = None
    tokens: int = 0
    cost: float = 0.0


class SessionMade(Record):
    """A program made a session through the library. Fields as in session.Session; `issue_key` "" when unknown."""

    context: LinearContext
    issue_key: str = ""
    timeout_s: float = 0.0
    max_messages: int = 0


class ThreadLinked(Record):
    """A program works on the session in this OpenCode session of its own."""

    thread: AgentThread


class ErrorCounted(Record):
    """A program's attempt to answer failed."""

    reason: str = ""


# ── from our own side ────────────────────────────────────────────────────
class RunStarted(Record):
    """The prompt is in OpenCode, or OpenCode is there again after it was waited for.

    `repository`, `directory`, `branch` and `base` say where it works, as in session.Workspace.
    attempt  of an interrupted run that was set going again: which one that was; else 0
    model    "provider/model" that was asked for; empty when OpenCode chooses
    summary  of the thread that was left, when the run begins in a fresh one; empty when the agent gave none
    """

    run: RunId
    thread: AgentThread
    repository: str
    directory: str
    branch: str
    base: str = ""
    attempt: int = 0
    model: str = ""
    summary: str = ""


class SetupRan(Record):
    """A `setup` command of the repository was run in the new workspace, before the agent begins.

    number     its place among them, from 1
    exit_code  None when it was ended at its deadline
    """

    run: RunId
    number: int
    command: str
    exit_code: int | None
    took_s: float
    output: str = ""


class RunWaiting(Record):
    """The run cannot start or go on for now; it will be tried again.

    why  of "opencode": in which way it is away, as `errors.OpenCodeError` names its causes
    """

    run: RunId
    cause: Literal["opencode", "capacity", "repository"]
    detail: str = ""
    why: str = ""


class PlaceInQueue(Record):
    """The run waits for a place to work in; `place` is where it stands in the queue, from 1."""

    run: RunId
    place: int


class PlaceDue(Record):
    """Time to look where the run stands in the queue. Whoever performs this tells PlaceInQueue instead."""

    run: RunId


class BlockersDue(Record):
    """Time to look whether the issues that block this one are done, or one of them was changed."""

    run: RunId


class RunFailed(Record):
    """The run could not be started and trying again is no use. `reason` is written for people."""

    run: RunId
    reason: str


class RunAborted(Record):
    """An abort was tried. `verified`: parent and children idle, no tool running; else `detail` says what is unknown."""

    run: RunId
    verified: bool
    detail: str = ""


class CheckpointDue(Record):
    """Time to save the workspace of the run."""

    run: RunId


class HeartbeatDue(Record):
    """Time to look whether the turn has been silent."""

    run: RunId


class PlanDue(Record):
    """Time to send the newest plan."""

    run: RunId


class AskDue(Record):
    """The deadline of a permission has come, or the reminder of a question."""

    run: RunId
    ask: AskId


class StopDue(Record):
    """The time to confirm a stop is over."""

    run: RunId


class PatienceOver(Record):
    """The run has waited for OpenCode as long as it may."""

    run: RunId


class WorkFound(Record):
    """We looked at the workspace after the agent's last words.

    changed  it holds work that was not delivered yet, committed or not
    left     paths that are not committed, the first ones
    """

    run: RunId
    changed: bool
    left: tuple[str, ...] = ()


class Shipped(Record):
    """The work is delivered as far as it could be; the receipt says how far."""

    run: RunId
    receipt: Receipt


class ShipFailed(Record):
    """The work could not be looked at or delivered at all. `reason` is written for people."""

    run: RunId
    reason: str


class ShipDue(Record):
    """The time to deliver is over: people get their answer now."""

    run: RunId


# ── from OpenCode ────────────────────────────────────────────────────────
class Reasoned(Record):
    """A finished piece of reasoning."""

    run: RunId
    part: PartId
    text: str


class Said(Record):
    """Finished text after which the agent went on: a thought. The last words come with RunSettled."""

    run: RunId
    part: PartId
    text: str


class ToolStarted(Record):
    run: RunId
    part: PartId
    tool: Tool


class ToolFinished(Record):
    """`failed`: the tool returned an error, which is a result like any other and no error of the session."""

    run: RunId
    part: PartId
    tool: Tool
    failed: bool = False


class TodosChanged(Record):
    run: RunId
    todos: tuple[Todo, ...]


class PermissionAsked(Record):
    """OpenCode waits for leave. `subject` is what it wants to do (a command, a path), `always` what "always" covers."""

    run: RunId
    ask: AskId
    thread: AgentThread  # the child's when a sub-agent asks
    permission: str
    subject: str
    always: tuple[str, ...] = ()


class QuestionAsked(Record):
    """OpenCode waits for an answer to one or several questions."""

    run: RunId
    ask: AskId
    thread: AgentThread
    questions: tuple[Question, ...]


class AskGone(Record):
    """An ask was answered elsewhere, or is no longer pending."""

    run: RunId
    ask: AskId


class RunRetrying(Record):
    """OpenCode tries the provider again. `attempt` from 1; `since_s` seconds since the first retry of this series.

    cause  read from the message, since OpenCode tells no status here
    """

    run: RunId
    attempt: int
    message: str
    since_s: float = 0.0
    cause: Cause = "other"


class Compacted(Record):
    """The conversation was summarised to fit the model. `key` tells one compaction from the next."""

    run: RunId
    key: str


class RunInterrupted(Record):
    """OpenCode was cut in the middle: idle, and the last answer never completed.

    tools  whether a tool had been started: then its side effects may be half done
    after  how many attempts had been made when it was seen, so that the same cut is not told twice
    """

    run: RunId
    tools: bool
    after: int


class RunStalled(Record):
    """Nothing has changed for `minutes`, though OpenCode says it is busy and nothing was asked."""

    run: RunId
    minutes: int


class RunSettled(Record):
    """The run is over. `newest` is the last of our messages in the thread: one sent since makes this stale."""

    run: RunId
    newest: MessageId
    outcome: Outcome


LinearEvent = SessionOpened | Prompted | StopRequested | RequestRefused | Withdrawn
OperatorEvent = SessionExpired | CompletionRequested | ReactivationRequested | StatusRequested | MessageAdded
ForgeEvent = ReviewReceived | PullRequestClosed
LibraryEvent = SessionMade | ThreadLinked | ErrorCounted
AskRaised = PermissionAsked | QuestionAsked
AgentEvent = (
    Reasoned
    | Said
    | ToolStarted
    | ToolFinished
    | TodosChanged
    | PermissionAsked
    | QuestionAsked
    | AskGone
    | RunRetrying
    | Compacted
    | RunInterrupted
    | RunStalled
    | RunSettled
)
RuntimeEvent = (
    IssueRead
    | RepositoriesSuggested
    | SetupRan
    | RunStarted
    | RunWaiting
    | PlaceInQueue
    | PlaceDue
    | RunFailed
    | RunAborted
    | BlockersDue
    | HeartbeatDue
    | CheckpointDue
    | PlanDue
    | AskDue
    | StopDue
    | PatienceOver
    | WorkFound
    | Shipped
    | ShipFailed
    | ShipDue
)
RunEvent = AgentEvent | RuntimeEvent
Event = LinearEvent | OperatorEvent | LibraryEvent | ForgeEvent | AgentEvent | RuntimeEvent | Delivered
