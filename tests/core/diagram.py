"""The state diagram of docs/design.md, found by walking the machine rather than written by hand.

From a new session on, every kind of event is tried in every kind of state that is reached that way; each change of
phase becomes an arrow. `python -m tests.core.diagram` writes the result into the page; a test checks that it is there.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

from dragoman.core.events import Event
from dragoman.core.events.desk import Delivered, Receipt, ShipFailed, Shipped, Undelivered, WorkFound
from dragoman.core.events.forge import PullRequestClosed, ReviewReceived
from dragoman.core.events.linear import (
    IssueRead,
    Prompted,
    RepositoriesSuggested,
    RequestRefused,
    SessionOpened,
    StopRequested,
    Withdrawn,
)
from dragoman.core.events.opencode import (
    Answered,
    AskGone,
    Broke,
    QuestionAsked,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    RunStalled,
    Said,
    Todo,
    TodosChanged,
    Tool,
    ToolFinished,
)
from dragoman.core.events.operators import CompletionRequested, ReactivationRequested, SessionExpired, StatusRequested
from dragoman.core.events.runs import PlaceInQueue, RunAborted, RunFailed, RunStarted, RunWaiting
from dragoman.core.events.timers import AskDue, CheckpointDue, HeartbeatDue, PatienceOver, PlanDue, ShipDue, StopDue
from dragoman.core.findings import Finding
from dragoman.core.limits import Rules
from dragoman.core.routing import Place, Routing
from dragoman.core.session import Choosing, Session, Starting, Stopping, Working, live_turn, profile
from dragoman.core.status import status
from dragoman.core.step import step
from dragoman.ids import AgentThread, AskId, MessageId, PartId, run_id
from tests.builders import HOST, ORGANIZATION, SESSION, a_prompt, an_issue
from tests.core.histories import WHICH_COLOUR

PULL_REQUEST = "https://github.com/acme/app/pull/1"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"
OPENING = "<!-- state diagram: begin (python -m tests.core.diagram) -->"
CLOSING = "<!-- state diagram: end -->"
LATER_S = 1_000_000.0  # between two events: longer than any deadline, so that every timer finds its time come
STATES_MOST = 10_000
# Two repositories and nothing that decides between them: people are asked.
RULES = Rules(routing=Routing(places=(Place(name="acme/shop"), Place(name="acme/till"))))

Arrow = tuple[str, str]


@cache
def arrows() -> dict[Arrow, set[str]]:
    """Every change of phase that the machine makes, and the events that make it."""
    found: dict[Arrow, set[str]] = defaultdict(set)
    new = Session(id=SESSION, organization=ORGANIZATION, host=HOST)
    known = {_kind(new)}
    waiting = [(new, LATER_S)]
    while waiting:
        session, now = waiting.pop()
        for event in representatives(session, now):
            after = step(session, event, now, RULES).session
            change = (type(session.phase).__name__, type(after.phase).__name__)
            if change[0] != change[1] or _turns_over(session, after):
                found[change].add(type(event).__name__)
            if _kind(after) not in known:
                known.add(_kind(after))
                waiting.append((after, now + LATER_S))
        if len(known) > STATES_MOST:
            raise AssertionError("the walk does not end")
    return found


def representatives(session: Session, now: float) -> list[Event]:
    """One event of each kind that can move a session, about the run under way."""
    turn = live_turn(session)
    run = run_id(session.id, session.turns)
    newest = turn.messages[-1] if turn and turn.messages else MessageId("msg_none")
    thread = AgentThread("ses_1")
    ask = AskId("que_1")
    return [
        SessionOpened(issue=an_issue(), prompt=a_prompt(sent_at=now)),
        SessionOpened(issue=an_issue(), prompt=a_prompt("what is this?", sent_at=now)),
        Prompted(prompt=a_prompt(sent_at=now)),
        Prompted(prompt=a_prompt("/queue more", sent_at=now)),
        Prompted(prompt=a_prompt("acme/shop", sent_at=now)),
        StopRequested(sent_at=now),
        Withdrawn(reason="unassigned"),
        SessionExpired(),
        CompletionRequested(),
        ReactivationRequested(),
        StatusRequested(status="error"),
        RequestRefused(deed="start", reason="user"),
        IssueRead(run=run, issue=an_issue()),
        RepositoriesSuggested(run=run),
        RunStarted(run=run, thread=thread, repository="app", directory="/w", branch="b"),
        RunWaiting(run=run, cause="opencode"),
        PlaceInQueue(run=run, place=2),
        RunFailed(run=run, reason="no"),
        RunAborted(run=run, verified=True),
        HeartbeatDue(run=run),
        CheckpointDue(run=run),
        PlanDue(run=run),
        AskDue(run=run, ask=ask),
        StopDue(run=run),
        PatienceOver(run=run),
        Said(run=run, part=PartId("prt_1"), text="Hm."),
        ToolFinished(run=run, part=PartId("prt_2"), tool=Tool(name="edit", input="{}")),
        WorkFound(run=run, changed=False),
        WorkFound(run=run, changed=True),
        WorkFound(run=run, changed=True, left=("a.py",)),
        Shipped(run=run, receipt=Receipt(repository="app", branch="b", base="main")),
        ShipFailed(run=run, reason="no"),
        ShipDue(run=run),
        Delivered(pull_request=PULL_REQUEST),
        Undelivered(reason="no"),
        ReviewReceived(pull_request=PULL_REQUEST, findings=(Finding(key="review:1", kind="review", author="rita"),)),
        PullRequestClosed(pull_request=PULL_REQUEST, merged=True),
        TodosChanged(run=run, todos=(Todo(content="Fix", status="pending"),)),
        QuestionAsked(run=run, ask=ask, thread=thread, questions=(WHICH_COLOUR,)),
        AskGone(run=run, ask=ask),
        RunRetrying(run=run, attempt=1, message="busy"),
        RunRetrying(run=run, attempt=99, message="busy"),
        RunInterrupted(run=run, tools=True, after=turn.attempts if turn else 0),
        RunStalled(run=run, minutes=20),
        RunSettled(run=run, newest=newest, outcome=Answered(text="Done.")),
        RunSettled(run=run, newest=newest, outcome=Broke(cause="server", message="500")),
    ]


def drawing() -> str:
    """The diagram as Mermaid text, in a stable order."""
    lines = ["stateDiagram-v2", "    [*] --> Resting"]
    lines += [f"    {a} --> {b}: {', '.join(sorted(events))}" for (a, b), events in sorted(arrows().items())]
    return "\n".join(["```mermaid", *lines, "```"])


def in_page(page: str) -> str:
    """What stands between the markers of a page."""
    return page.partition(OPENING)[2].partition(CLOSING)[0].strip()


def write(path: Path = PAGE) -> None:
    """Put the present diagram between the markers of the page."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(OPENING)
    _, _, behind = rest.partition(CLOSING)
    path.write_text(f"{before}{OPENING}\n{drawing()}\n{CLOSING}{behind}", encoding="utf-8")


def _turns_over(before: Session, after: Session) -> bool:
    """A turn ended and the next one began in one step: the phase's name may be the same, the phase is not."""
    was, now = live_turn(before), live_turn(after)
    return was is not None and now is not None and was.run != now.run


def _kind(session: Session) -> tuple[object, ...]:
    """What of a session matters to where it can go."""
    phase = session.phase
    turn = live_turn(session)
    return (
        type(phase),
        isinstance(phase, Starting) and phase.prompt is not None,
        isinstance(phase, Starting) and phase.asked,
        phase.shown if isinstance(phase, Choosing) else 0,
        isinstance(phase, Working) and bool(phase.asks),
        phase.by if isinstance(phase, Stopping) else "",
        turn is not None and bool(turn.waiting),
        turn.attempts if turn else 0,
        turn is not None and (turn.worked, turn.kept is not None),
        bool(session.queued),
        session.issue is not None,
        session.issue_read,
        turn is None and status(session),
        session.workspace is not None,
        profile(session),
        session.review is not None and (bool(session.review.waiting), session.review.rounds, session.review.ended),
    )


if __name__ == "__main__":
    write()
