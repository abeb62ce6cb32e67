"""Where a session stands. A phase holds only the data that is valid in it."""

from __future__ import annotations

from typing import Literal

from dragoman.core.choosing import Choice, Profile
from dragoman.core.context import LinearContext
from dragoman.core.edits import Edits
from dragoman.core.effects import Effect, Post
from dragoman.core.events.linear import Blocker, Issue, Person, Prompt
from dragoman.core.events.opencode import Answered, AskRaised, Todo
from dragoman.core.findings import Finding
from dragoman.core.outbox import OutboxFile
from dragoman.core.routing import Decision
from dragoman.ids import AgentThread, CommentId, HostId, MessageId, OrganizationId, RunId, SessionId, thread_of
from dragoman.record import Record

MEDIUM = 3  # of Linear's priorities


class Workspace(Record):
    """Where the agent works: a private clone on the session's host.

    base  the branch of the remote that it began at, for a sub-issue: the parent issue's; empty = the repository's
    """

    repository: str
    directory: str
    branch: str
    base: str = ""


class Settled(Record):
    """An ask that a person answered: `what` was asked, the `answer`, and `who` gave it; each bounded."""

    what: str
    answer: str
    who: str


class Turn(Record):
    """One prompt, what steers it, and all that follows until the one final activity.

    run        its OpenCode side
    number     counted from 1 within the session
    messages   ids of the messages that we sent in it, oldest first
    attempts   how often the run was set going (1 = never interrupted)
    resuming   the newest of those is still to be made: a run that looks cut meanwhile was not cut anew
    waiting    what it waits for, as people were told; empty when it does not; `waiting_since` when that began,
               `waiting_why` in which way OpenCode was away when it was last heard of
    place      where it stood in the queue when people were last told, at `place_at`; 0 = they were not
    retrying   people were told that the model's provider is tried again
    told       how many thoughts and questions of our own were posted; it makes their ids
    plan       the newest plan of the agent; `plan_at` when it was last sent, `plan_due` whether a send is scheduled
    held       activities kept back while a question to people is open: a newer activity would dismiss it
    answer     what a person last answered to a question, for an agent that is cut before it heard it
    giving_up  why we ended it ourselves; the final activity says so
    begun_at   seconds since the epoch; 0 for a turn that an older version began
    worked     a tool was used that may have changed the workspace
    kept       the agent's last words while it commits what it had left: no later word replaces them
    settled    the asks that people answered in it
    review     what of the pull request it takes up, without the words; `commits` what it brought there ("1a2b3c4 …"),
               `unpushed` whether something of it could not be brought
    files      what the agent put out for people; the final activity shows it
    noted      people have read what is to be said of the workspace
    """

    run: RunId
    number: int
    messages: tuple[MessageId, ...] = ()
    attempts: int = 1
    resuming: bool = False
    waiting: str = ""
    waiting_since: float = 0.0
    waiting_why: str = ""
    place: int = 0
    place_at: float = 0.0
    retrying: bool = False
    told: int = 0
    plan: tuple[Todo, ...] = ()
    plan_at: float = 0.0
    plan_due: bool = False
    held: tuple[Post, ...] = ()
    answer: str = ""
    giving_up: str = ""
    begun_at: float = 0.0
    worked: bool = False
    kept: Answered | None = None
    settled: tuple[Settled, ...] = ()
    review: tuple[Finding, ...] = ()
    commits: tuple[str, ...] = ()
    unpushed: bool = False
    files: tuple[OutboxFile, ...] = ()
    noted: bool = False


class Review(Record):
    """What happens on the session's pull request.

    known     keys of what was heard, the newest ones
    waiting   heard and not given to the agent yet, oldest first
    rounds    turns that were begun for it since a person last wrote
    told      people have read that we do not go on by ourselves
    ended     it was closed, and the session has still to hear of it; `ended_by` who merged it
    """

    known: tuple[str, ...] = ()
    waiting: tuple[Finding, ...] = ()
    rounds: int = 0
    told: bool = False
    ended: Literal["", "merged", "closed"] = ""
    ended_by: str = ""


class OpenAsk(Record):
    """An ask that OpenCode waits on.

    answers   grow one by one when it holds several questions
    shown     how often its present question was put before people; 0 while another ask is before them
    shown_at  when that was last; seconds since the epoch
    """

    ask: AskRaised
    answers: tuple[tuple[str, ...], ...] = ()
    shown: int = 0
    shown_at: float = 0.0


# ── phases ───────────────────────────────────────────────────────────────
class Resting(Record):
    """No turn. The next prompt begins one. `after` says how the last one ended."""

    after: Literal["new", "answered", "failed", "stopped", "reactivated"] = "new"


class Starting(Record):
    """The prompt is on its way to OpenCode.

    prompt     kept here until the issue was read and its repository is known; then the StartRun effect holds it
    early      what was written meanwhile; it follows the prompt into the thread
    announced  what people have read that it becomes; empty when that depends on the issue
    chosen     the repository that people chose for the issue in an earlier session; empty when they were not asked
    reading    the issue is being read
    asked      Linear is asked which repository it suggests; the issue was read before
    blocked    what the issue waits for, as people were told; `looks` how often it was looked up since
    decision   where it is worked on, when people have said so
    """

    turn: Turn
    prompt: Prompt | None = None
    early: tuple[Prompt, ...] = ()
    announced: Literal["session", "simple", ""] = "session"
    chosen: str = ""
    reading: bool = True
    asked: bool = False
    blocked: tuple[Blocker, ...] = ()
    looks: int = 0
    decision: Decision | None = None


class Choosing(Record):
    """People are asked in which repository it is to be worked. Nothing was handed to OpenCode yet.

    prompt     the request, as it was made
    early      what was written meanwhile and chooses nothing; it follows the prompt into the thread
    announced  as in Starting
    decision   which repositories are to choose from, and why none was taken
    shown      how often the question was put because no answer was understood; `shown_at` when it was last put,
               seconds since the epoch
    """

    turn: Turn
    prompt: Prompt
    decision: Decision
    early: tuple[Prompt, ...] = ()
    announced: Literal["session", "simple", ""] = "session"
    shown: int = 0
    shown_at: float = 0.0


class Working(Record):
    """OpenCode works. `asks` are what it waits on, oldest first; the oldest is before people."""

    turn: Turn
    asks: tuple[OpenAsk, ...] = ()


class Shipping(Record):
    """The agent is done. We look at what it left, and bring it to the forge.

    answer  its last words, which the final activity will hold
    since   when that began; seconds since the epoch
    found   we have looked, and are bringing it
    dropped how many waiting messages are not started, when the run was ended by us; the final activity says so
    """

    turn: Turn
    answer: Answered
    since: float = 0.0
    found: bool = False
    dropped: int = 0


class Stopping(Record):
    """The abort is under way; only its end is of interest now.

    by       who ended it: a person by Stop, a withdrawal, or we ourselves
    dropped  how many waiting messages are not started because of it; the final activity says so
    """

    turn: Turn
    by: Literal["person", "withdrawn", "service"] = "person"
    dropped: int = 0


class Closed(Record):
    """The session is over; a new prompt opens it again, with all its context.

    reason  unassigned, issue_completed, issue_canceled or app_revoked: withdrawn; requested: by command; timeout;
            answered: a simple answer was given, or the guide; refused: before it began; merged: its pull request was
    """

    reason: str


# Over for now only: what comes by itself goes on with it.
LEFT_ALONE = frozenset({"timeout", "answered"})

Phase = Resting | Starting | Choosing | Working | Shipping | Stopping | Closed
Live = Starting | Choosing | Working | Shipping | Stopping


class Session(Record):
    """The whole state of one conversation, stored as one row.

    turns       how many were begun; `runs` how many runs were started (a turn that is refused starts none)
    queued      prompts that wait for the turn to end, oldest first; only while a turn is live
    posted_at   when something visible was last sent; seconds since the epoch
    stopped_at  prompts written before this are not started any more
    failures    failed turns in a row
    begun       it was more than "creating" once, and is not that again
    messages    lines of the conversation so far; `thread_from` how many those were when the agent's thread began
    threads     how many agent threads were left because they had grown long; `leaving` is the one that the next thread
                starts from a summary of, until that has begun
    expires_at  when it times out if nothing happens; seconds since the epoch; 0 = it does not
    timeout_s   its own, instead of the rule's; `max_messages` likewise; 0 = the rule's
    priority    of its runs in the queue, when a trigger set it: 1 urgent … 4 low; 0 = the issue's
    context     what a program made it from, through the library; None = Linear made it
    choice      session or simple answer, and with what; None until the first run, and in sessions older than this field
    repository  name of the one that it is worked in; empty until the first run, and in sessions older than this field
    chosen      the repository that people chose; later sessions of the issue go there, too
    pull_request  URL of the one that holds its work; empty before there is one
    review      what happens there; None before there is one, and when it is closed
    undelivered  work could not be handed in: the next turn tries again, whether its agent does anything or not
    root        first comment of the thread that it is attached to; None without one, and until a session older than
                this field hears of it
    edits       what people changed on the issue while it worked
    outbox      what people were shown of the agent's files, and what they were told cannot be: digests, the newest ones
    """

    id: SessionId
    organization: OrganizationId
    host: HostId
    issue: Issue | None = None
    creator: Person | None = None
    phase: Phase = Resting()
    thread: AgentThread | None = None
    workspace: Workspace | None = None
    turns: int = 0
    runs: int = 0
    queued: tuple[Prompt, ...] = ()
    issue_read: bool = False
    posted_at: float = 0.0
    stopped_at: float = 0.0
    failures: int = 0
    begun: bool = False
    messages: int = 0
    thread_from: int = 0
    threads: int = 0
    leaving: AgentThread | None = None
    expires_at: float = 0.0
    timeout_s: float = 0.0
    max_messages: int = 0
    priority: int = 0
    context: LinearContext | None = None
    choice: Choice | None = None
    repository: str = ""
    chosen: str = ""
    pull_request: str = ""
    review: Review | None = None
    undelivered: bool = False
    root: CommentId | None = None
    edits: Edits = Edits()
    outbox: tuple[str, ...] = ()


class Message(Record):
    """A line of the conversation, for the history that is kept.

    turn  the number of the one it belongs to; 0 = whichever is the newest. The end of one and the beginning of the next
          may follow from the same event
    """

    role: Literal["user", "assistant", "system"]
    text: str
    turn: int = 0
    author: str | None = None
    linear_id: str | None = None
    opencode_id: str | None = None
    tokens: int = 0
    cost: float = 0.0


class Step(Record):
    """What follows from an event.

    answered  numbers of the turns that began and were answered in it, since they needed no agent
    """

    session: Session
    effects: tuple[Effect, ...] = ()
    messages: tuple[Message, ...] = ()
    answered: tuple[int, ...] = ()


def urgency(session: Session) -> int:
    """The place of its runs in the queue, lowest first: 1 urgent … 4 low. Without a priority it counts as medium."""
    return session.priority or (session.issue.priority if session.issue else 0) or MEDIUM


def profile(session: Session) -> Profile:
    """What the agent may do in the session as it stands."""
    return session.choice.profile if session.choice is not None else "work"


def root_of(session: Session) -> CommentId | None:
    """The first comment of the thread in which people talk with it, if that is known."""
    thread = thread_of(session.id)
    return thread.root if thread is not None else session.root


def live_turn(session: Session) -> Turn | None:
    """The turn under way, if any."""
    return session.phase.turn if isinstance(session.phase, Live) else None
