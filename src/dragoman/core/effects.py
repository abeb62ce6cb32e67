"""What must be done. An effect is a row in the ledger until it is done; each may be performed more than once.

Lanes keep order within a session: `linear` (what people read), `issue` (the issue itself), `agent` (OpenCode),
`desk` (git). Effects without a lane overtake: aborts and timers.
"""

from __future__ import annotations

from typing import Literal

from dragoman.core import wording
from dragoman.core.activities import Activity
from dragoman.core.events import RunEvent
from dragoman.core.events.desk import ShipFailed, Undelivered
from dragoman.core.events.linear import Issue, IssueRead, Prompt, RepositoriesSuggested
from dragoman.core.events.opencode import Todo
from dragoman.core.events.runs import RunAborted, RunFailed
from dragoman.core.findings import Reply
from dragoman.ids import ActivityId, AgentThread, AskId, IssueId, MessageId, PartId, RunId
from dragoman.record import Record

Lane = Literal["linear", "issue", "agent", "desk"]


class Post(Record):
    """Show an activity. `id` is derived from session, turn and stage: a second one is refused, which is a success.

    routine  it tells the agent's work; what we say ourselves, such as an acknowledgement, is more urgent
    run      the run that waits for people's answer to it, if one does
    """

    id: ActivityId
    activity: Activity
    routine: bool = False
    run: RunId | None = None


class ShowPlan(Record):
    """Replace the plan that Linear shows. `items` keep the agent's spelling of the status; the wire has Linear's."""

    items: tuple[Todo, ...]


class ReadIssue(Record):
    """Ask Linear about the issue (branch name, state, delegate); answered by IssueRead within seconds, come what may."""

    run: RunId
    issue: Issue


class SuggestRepositories(Record):
    """Ask Linear which of some repositories is the right one; answered by RepositoriesSuggested within seconds.

    candidates  (host, "owner/name") pairs
    """

    run: RunId
    issue: IssueId
    candidates: tuple[tuple[str, str], ...]


class LabelIssue(Record):
    """Give the issue a label, made when Linear has none of that name; one that it has already is a success."""

    issue: IssueId
    label: str


class BeginIssue(Record):
    """Link the session, move the issue to the lowest started state, set ourselves delegate; each only if asked for."""

    issue: Issue | None
    start: bool
    delegate: bool


class StartRun(Record):
    """Workspace, agent thread, prompt: a straight-line procedure that ends in RunStarted or RunFailed.

    Like all effects of the `agent` lane it is for the turn under way: whoever performs it looks, before it sends
    anything and once more after, whether `run` is still that of a turn that is not stopping, and aborts it if not.
    When it can never be done it is told as RunFailed, since the run waits for the answer to its newest message.
    """

    run: RunId
    prompt: Prompt
    message: MessageId
    part: PartId


class SteerRun(Record):
    """Put one more message into the running thread; OpenCode takes it up at its next step."""

    run: RunId
    prompt: Prompt
    message: MessageId
    part: PartId


class ResumeRun(Record):
    """Have an interrupted run go on.

    tools     whether the agent must be told: a tool had been started, or an answer may be lost
    original  the newest message of the run: sent again with the same ids unless `tools`
    message   what says that the run was interrupted, sent if `tools`: one of a person's that stands before this in the
              lane and takes the word along, else a new one; the machine waits for the answer to it
    note      an answer that a person gave and that may have been lost
    """

    run: RunId
    attempt: int
    tools: bool
    original: MessageId
    message: MessageId
    part: PartId
    note: str = ""


class AnswerPermission(Record):
    """`message` goes with a rejection: the agent reads it and goes on; without one the run would end."""

    run: RunId
    ask: AskId
    thread: AgentThread
    reply: Literal["once", "always", "reject"]
    message: str = ""


class AnswerQuestion(Record):
    """One tuple of labels or free text for each question."""

    run: RunId
    ask: AskId
    thread: AgentThread
    answers: tuple[tuple[str, ...], ...]


class AbortRun(Record):
    """Abort parent and children and verify it; in no lane, overtakes all. `thread` is None before the first run.

    When the session has begun another run by the time this is performed, it is left undone: the thread is the same.
    """

    run: RunId
    thread: AgentThread | None
    directory: str | None


class DisposeInstance(Record):
    """Free what OpenCode keeps in memory for a directory, if the session still rests; in the agent's lane, so that it
    cannot cross with the start of the next run.

    discard  it was the checkout of a simple answer: remove it, too
    """

    directory: str
    discard: bool = False


class InspectWork(Record):
    """Look at the workspace after the agent's last words; answered by WorkFound or ShipFailed. Changes nothing there.

    What the agent put out for people is brought to Linear on the way, a FileShared each: it is at hand for the answer,
    whatever becomes of the rest. One that the turn has heard of already is not brought again.
    """

    run: RunId


class NudgeAgent(Record):
    """Ask the agent, once a turn, to commit what it left; what it answers never replaces its last words."""

    run: RunId
    left: tuple[str, ...]
    message: MessageId
    part: PartId


class ShipWork(Record):
    """Commit what is left, save, push, verify, open or update the pull request; answered by Shipped or ShipFailed.

    Each step looks first whether it was done: a commit that is there is not made again, a push of what the remote has
    is none, and of pull requests there is one a branch.

    words    the agent's last words, for the commit and the pull request
    seconds  in all; what is not done by then is told as not done
    """

    run: RunId
    words: str
    seconds: float


class ShipLater(Record):
    """Push and open the pull request after all, when that failed for a reason that passes; answered by Delivered.

    In no lane: a later turn, which delivers the same branch, must not wait for it. `run` is the one that ended so.
    after_s  seconds until the first attempt: what the forge asked for
    """

    run: RunId
    words: str
    after_s: float = 0.0


class SaveWork(Record):
    """Save the workspace as it is, committed or not, in our copy of the repository. Nobody waits for it."""


class ClearWorkspace(Record):
    """Save the workspace and remove it, unless the session is wanted again.

    at_rest  also when the session only rests: nobody has written for long
    """

    at_rest: bool = False


class LinkWork(Record):
    """Show a pull request on the session and on the issue. Linear keeps one of a URL.

    review  the issue moves to its team's review state as well
    """

    url: str
    issue: Issue | None
    review: bool = False


class ReplyToReview(Record):
    """Answer reviewers in their threads, each once: a reply that is there is not made again. In no lane."""

    run: RunId
    pull_request: str
    replies: tuple[Reply, ...]


class Remind(Record):
    """Tell the machine `event`, `after_s` seconds from now."""

    event: RunEvent
    after_s: float


Effect = (
    Post
    | ShowPlan
    | ReadIssue
    | SuggestRepositories
    | LabelIssue
    | BeginIssue
    | StartRun
    | SteerRun
    | ResumeRun
    | AnswerPermission
    | AnswerQuestion
    | AbortRun
    | DisposeInstance
    | InspectWork
    | NudgeAgent
    | ShipWork
    | ShipLater
    | SaveWork
    | ClearWorkspace
    | LinkWork
    | ReplyToReview
    | Remind
)


def lane_of(effect: Effect) -> Lane | None:
    """The lane that keeps this effect in order; None for those that overtake."""
    match effect:
        case Post() | ShowPlan():
            return "linear"
        case ReadIssue() | SuggestRepositories() | LabelIssue() | BeginIssue() | LinkWork():
            return "issue"
        case StartRun() | SteerRun() | NudgeAgent() | ResumeRun() | AnswerPermission() | AnswerQuestion():
            return "agent"
        case DisposeInstance():
            return "agent"
        case InspectWork() | ShipWork() | SaveWork() | ClearWorkspace():
            return "desk"
        case AbortRun() | ShipLater() | ReplyToReview() | Remind():
            return None


def when_parked(effect: Effect) -> RunEvent | Undelivered | None:
    """What the machine must hear when an effect can never be done: else a turn would wait for ever."""
    match effect:
        case StartRun(run=run) | SteerRun(run=run) | NudgeAgent(run=run) | ResumeRun(run=run):
            return RunFailed(run=run, reason=wording.trouble.broke_on_our_side(run))
        case AnswerPermission(run=run) | AnswerQuestion(run=run):
            return RunFailed(run=run, reason=wording.trouble.broke_on_our_side(run))
        case InspectWork(run=run) | ShipWork(run=run):
            return ShipFailed(run=run, reason=wording.shipping.broke_while_shipping(run))
        case ReadIssue(run=run):
            return IssueRead(run=run)
        case SuggestRepositories(run=run):
            return RepositoriesSuggested(run=run)
        case AbortRun(run=run):
            return RunAborted(run=run, verified=False, detail=wording.trouble.ABORT_BROKE)
        case Remind(event=event):
            return event
        case ShipLater():
            return Undelivered(reason=wording.shipping.GAVE_UP)
        case Post(run=run) if run is not None:
            return RunFailed(run=run, reason=wording.trouble.UNASKABLE)
        case Post() | ShowPlan() | LabelIssue() | BeginIssue() | DisposeInstance() | LinkWork() | ReplyToReview():
            return None
        case SaveWork() | ClearWorkspace():
            return None
