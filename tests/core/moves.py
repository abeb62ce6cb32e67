"""Random histories of a session: mostly plausible, and the rest what a confused world would send."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from dragoman.core.events import Event
from dragoman.core.events.desk import Delivered, FileShared, Receipt, ShipFailed, Shipped, Undelivered, WorkFound
from dragoman.core.events.forge import PullRequestClosed, ReviewReceived
from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited
from dragoman.core.events.linear import (
    Blocker,
    IssueRead,
    Prompt,
    Prompted,
    RepositoriesSuggested,
    RequestRefused,
    SessionOpened,
    StopRequested,
    Suggestion,
    Withdrawn,
)
from dragoman.core.events.opencode import (
    Aborted,
    Answered,
    AskGone,
    Broke,
    Compacted,
    Declined,
    PermissionAsked,
    Question,
    QuestionAsked,
    Reasoned,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    RunStalled,
    Said,
    Todo,
    TodosChanged,
    Tool,
    ToolFinished,
    ToolStarted,
)
from dragoman.core.events.operators import (
    CompletionRequested,
    ErrorCounted,
    MessageAdded,
    ReactivationRequested,
    SessionExpired,
    SessionMade,
    StatusRequested,
    ThreadLinked,
)
from dragoman.core.events.runs import PlaceInQueue, RunAborted, RunFailed, RunStarted, RunWaiting
from dragoman.core.events.timers import (
    AskDue,
    BlockersDue,
    CheckpointDue,
    EditsDue,
    HeartbeatDue,
    PatienceOver,
    PlaceDue,
    PlanDue,
    ShipDue,
    StopDue,
)
from dragoman.core.findings import Finding
from dragoman.core.outbox import OutboxFile
from dragoman.core.session import live_turn
from dragoman.ids import ActivityId, AgentThread, AskId, CommentId, IssueId, MessageId, PartId, RunId, run_id
from dragoman.record import Record
from tests.builders import a_person, an_issue, records
from tests.core.histories import ROOT, Story
from tests.library.contexts import CONTEXT

# Events name their run, their newest message and their time of writing by what they are to the session as it stands;
# `place` puts the real ones in. So most events are plausible, and the rest are what a confused world would send.


class Wait(Record):
    """Time passes."""

    seconds: float


NOW, LEFT, NEXT = RunId("the run under way"), RunId("a run left behind"), RunId("a run to come")
NEWEST, FIRST, UNKNOWN = MessageId("newest"), MessageId("first"), MessageId("unknown")
UNKNOWN_TIME = -1.0

runs = st.sampled_from([NOW, NOW, NOW, NOW, NOW, NOW, LEFT, NEXT])
parts = st.sampled_from([PartId(f"prt_{n}") for n in range(6)])
asks = st.sampled_from([AskId(f"ask_{n}") for n in range(4)])
threads = st.sampled_from([AgentThread("ses_1"), AgentThread("ses_child")])
ages = st.sampled_from([0.0, 0.0, 0.5, 3.0, 100.0, UNKNOWN_TIME])
texts = st.sampled_from(
    ["go", "", "yes", "always", "no", "Red", "/queue later", "/queue", "  ", "use tabs, please", "acme/shop", "till"]
)
tools = st.sampled_from(
    [
        Tool(name="bash", input='{"command":"ls"}', output="a\nb"),
        Tool(name="edit", input="{"),
        Tool(name="todowrite", input=""),
    ]
)
questions = st.sampled_from(
    [
        Question(text="Which?", options=(("Red", ""), ("Blue", ""))),
        Question(text="Why?"),
        Question(text="?", multiple=True),
    ]
)
prompts = st.builds(
    Prompt,
    text=texts,
    author=st.sampled_from([a_person(), None]),
    sent_at=ages,
    kind=st.sampled_from(["mention", "delegation", "follow_up"]),
)
outcomes = st.sampled_from(
    [
        Answered(text="Done."),
        Answered(text=" "),
        Broke(cause="server", message="500"),
        Declined(),
        Aborted(text="so far"),
    ]
)
blocked = replace(an_issue(), blocked_by=(Blocker(id=IssueId("issue-ENG-3"), key="ENG-3"),))
issues = st.sampled_from([an_issue(), an_issue(), blocked, None])
todos = st.lists(
    st.builds(Todo, content=st.sampled_from("ab"), status=st.sampled_from(["pending", "completed"])), max_size=2
).map(tuple)
writes = st.builds(Prompted, prompt=prompts, issue=issues)
comments = st.sampled_from([CommentId(f"com_{n}") for n in range(4)])
edits = st.one_of(
    st.builds(
        IssueEdited,
        by=st.just(a_person()),
        at=ages,
        title=st.sampled_from([None, an_issue().title, "A", "B"]),
        description=st.sampled_from([None, "", "a\nb", "a\nc"]),
    ),
    st.builds(
        CommentWritten,
        by=st.just(a_person("Bob")),
        at=ages,
        comment=comments,
        root=st.sampled_from([ROOT, CommentId("com_0")]),
        text=texts,
        edited=st.booleans(),
        addressed=st.sampled_from([False, False, True]),
    ),
    st.builds(CommentRemoved, comment=comments, at=ages),
)
stops = st.builds(StopRequested, sent_at=ages)
refusals = st.builds(
    RequestRefused,
    deed=st.sampled_from(["start", "answer", "approve", "stop"]),
    reason=st.sampled_from(["nobody", "user", "team", "rule", "person_pace"]),
    person=st.sampled_from([a_person(), None]),
    silent=st.booleans(),
    issue=issues,
)
begins = st.one_of(
    st.builds(IssueRead, run=runs, issue=issues, chosen=st.sampled_from(["", "", "acme/shop"])),
    st.builds(
        RepositoriesSuggested,
        run=runs,
        suggestions=st.sampled_from([(), (Suggestion(name="acme/till", confidence=0.9),)]),
    ),
    st.builds(
        RunStarted, run=runs, thread=threads, repository=st.just("app"), directory=st.just("/w"), branch=st.just("b")
    ),
)
ends = st.one_of(
    st.builds(RunSettled, run=runs, newest=st.sampled_from([NEWEST, FIRST, FIRST, UNKNOWN]), outcome=outcomes),
    st.builds(RunAborted, run=runs, verified=st.booleans(), detail=st.sampled_from(["", "a tool went on"])),
    st.builds(RunFailed, run=runs, reason=st.just("No such repository.")),
)
asked = st.one_of(
    st.builds(
        PermissionAsked,
        run=runs,
        ask=asks,
        thread=threads,
        permission=st.just("bash"),
        subject=st.just("rm"),
        always=st.just(("*",)),
    ),
    st.builds(QuestionAsked, run=runs, ask=asks, thread=threads, questions=st.lists(questions, max_size=3).map(tuple)),
    st.builds(AskGone, run=runs, ask=asks),
)
news = st.one_of(
    st.builds(Reasoned, run=runs, part=parts, text=texts),
    st.builds(Said, run=runs, part=parts, text=texts),
    st.builds(ToolStarted, run=runs, part=parts, tool=tools),
    st.builds(ToolFinished, run=runs, part=parts, tool=tools, failed=st.booleans()),
    st.builds(TodosChanged, run=runs, todos=todos),
    st.builds(Compacted, run=runs, key=st.sampled_from("xy")),
)
trouble = st.one_of(
    st.builds(RunRetrying, run=runs, attempt=st.integers(1, 5), message=st.just("overloaded")),
    st.builds(
        RunInterrupted,
        run=runs,
        tools=st.booleans(),
        after=st.sampled_from([0, 0, 0, 1, 2]),
        newest=st.sampled_from([NEWEST, FIRST, FIRST, UNKNOWN, None]),
    ),
    st.builds(RunStalled, run=runs, minutes=st.just(20)),
    st.builds(RunWaiting, run=runs, cause=st.sampled_from(["opencode", "capacity", "repository"])),
    st.builds(PlaceInQueue, run=runs, place=st.integers(1, 3)),
    st.builds(Withdrawn, reason=st.sampled_from(["unassigned", "issue_completed", "app_revoked"])),
)
commands = st.one_of(
    st.builds(SessionExpired),
    st.builds(CompletionRequested, reason=st.sampled_from(["", "shipped"])),
    st.builds(ReactivationRequested),
    st.builds(StatusRequested, status=st.sampled_from(["active", "completed", "error", "timeout"])),
    st.builds(SessionMade, context=st.just(CONTEXT), timeout_s=st.sampled_from([0.0, 60.0])),
    st.builds(ThreadLinked, thread=threads),
    st.builds(ErrorCounted, reason=st.just("no answer")),
    st.builds(MessageAdded, role=st.sampled_from(["user", "assistant", "system"]), text=texts),
)
receipts = st.builds(
    Receipt,
    repository=st.just("app"),
    branch=st.just("b"),
    base=st.just("main"),
    pull_request=st.sampled_from(["", "https://example.org/pull/1"]),
    trouble=st.sampled_from(["", "The forge is down."]),
    later=st.booleans(),
)
put_out = st.sampled_from(
    [
        OutboxFile(name="a.png", marks=("a", "b"), url="https://uploads.linear.app/a.png", image=True),
        OutboxFile(name="a.png", problem="Linear could not be reached."),
        OutboxFile(name="b.md", marks=("c",)),
    ]
)
delivery = st.one_of(
    st.builds(WorkFound, run=runs, changed=st.booleans(), left=st.sampled_from([(), ("a.py",)])),
    st.builds(FileShared, run=runs, file=put_out),
    st.builds(Shipped, run=runs, receipt=receipts),
    st.builds(ShipFailed, run=runs, reason=st.just("It could not be read.")),
    st.builds(Delivered, pull_request=st.sampled_from(["", "https://example.org/pull/1"])),
    st.builds(Undelivered, reason=st.just("It is refused now.")),
)
findings = st.builds(
    Finding,
    key=st.sampled_from(["comment:1", "review:2", "check:3", "conflict:4"]),
    kind=st.sampled_from(["review", "comment", "check", "conflict"]),
    thread=st.sampled_from([0, 1]),
)
PULL_REQUEST = "https://example.org/pull/1"
forge = st.one_of(
    st.builds(Delivered, pull_request=st.just(PULL_REQUEST)),
    st.builds(ReviewReceived, pull_request=st.just(PULL_REQUEST), findings=st.lists(findings, max_size=3).map(tuple)),
    st.builds(PullRequestClosed, pull_request=st.just(PULL_REQUEST), merged=st.booleans()),
)
untimely = st.one_of(
    *(
        st.builds(kind, run=runs)
        for kind in (
            BlockersDue,
            EditsDue,
            HeartbeatDue,
            CheckpointDue,
            PlanDue,
            StopDue,
            PatienceOver,
            PlaceDue,
            ShipDue,
        )
    ),
    st.builds(AskDue, run=runs, ask=asks),
)
opens = st.builds(
    SessionOpened,
    issue=issues,
    prompt=prompts,
    root=st.sampled_from([ROOT, None]),
    source=st.sampled_from([CommentId("com_1"), None]),
    crowd=st.sampled_from([0, 1, 2, 3]),
    limit=st.sampled_from([0, 1]),
)
waits = st.builds(Wait, seconds=st.sampled_from([0.0, 0.5, 3.0, 5.0, 400.0, 1_000.0, 90_000.0]))
wild = st.tuples(records(Event), runs).map(lambda each: _of_run(*each))
move = st.one_of(
    opens,
    writes,
    writes,
    edits,
    edits,
    stops,
    refusals,
    begins,
    begins,
    ends,
    ends,
    asked,
    asked,
    news,
    news,
    delivery,
    delivery,
    forge,
    trouble,
    commands,
    untimely,
    waits,
    waits,
    wild,
)
# Most stories begin in the middle: else few would get there.
OPENED = SessionOpened(issue=an_issue(), prompt=Prompt(text="go", author=a_person()))
STARTED = RunStarted(run=NOW, thread=AgentThread("ses_1"), repository="app", directory="/w", branch="b")
QUESTION = QuestionAsked(
    run=NOW, ask=AskId("ask_0"), thread=AgentThread("ses_1"), questions=(Question(text="Why?"), Question(text="Who?"))
)
WORKING = [OPENED, IssueRead(run=NOW), STARTED]
WORKED = ToolFinished(run=NOW, part=PartId("prt_9"), tool=Tool(name="edit", input="{}"))
SETTLED = RunSettled(run=NOW, newest=NEWEST, outcome=Answered(text="Done."))
SHIPPING = [*WORKING, WORKED, SETTLED]
WAITING_PROMPT = Prompted(prompt=Prompt(text="/queue more", sent_at=0.5))
STEERING_PROMPT = Prompted(prompt=Prompt(text="and this", sent_at=0.5))
beginnings: st.SearchStrategy[list[Event | Wait]] = st.sampled_from(
    [
        [],
        [OPENED],
        WORKING,
        [*WORKING, QUESTION],
        [*WORKING, WAITING_PROMPT],
        [*WORKING, STEERING_PROMPT],
        SHIPPING,
        [*SHIPPING, WorkFound(run=NOW, changed=True, left=("a.py",))],
    ]
)
moves = st.builds(lambda beginning, rest: [*beginning, *rest], beginnings, st.lists(move, max_size=40))


def _of_run(event: Event, run: RunId) -> Event:
    return replace(event, run=run) if hasattr(event, "run") else event


def place(event: Event, story: Story, number: int) -> Event:
    """Put the session's own ids and times into an event that only says what they are to it."""
    fields: dict[str, Any] = {}
    turn = live_turn(story.session)
    turns = story.session.turns
    if isinstance(event, SessionOpened | Prompted):
        age = event.prompt.sent_at
        activity = ActivityId(f"activity-{number}") if isinstance(event, Prompted) else None
        # Nobody but the machine puts edits into a prompt.
        fields["prompt"] = replace(event.prompt, sent_at=_written(age, story), activity=activity, edits=())
    elif isinstance(event, IssueEdited | CommentWritten | CommentRemoved):
        fields["at"] = _written(event.at, story)
    elif isinstance(event, StopRequested):
        fields["sent_at"] = _written(event.sent_at, story)
    elif hasattr(event, "run"):
        meant = {NOW: turns, LEFT: turns - 1, NEXT: turns + 1}
        fields["run"] = run_id(story.session.id, meant[event.run])
    if isinstance(event, RunSettled | RunInterrupted) and event.newest and turn is not None and turn.messages:
        fields["newest"] = {NEWEST: turn.messages[-1], FIRST: turn.messages[0]}.get(event.newest, event.newest)
    if isinstance(event, RunInterrupted) and event.after == 0 and turn is not None:
        fields["after"] = turn.attempts
    return replace(event, **fields)


def _written(age: float, story: Story) -> float:
    return 0.0 if age == UNKNOWN_TIME else story.now - age
