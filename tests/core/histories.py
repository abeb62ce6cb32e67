"""A session as the ledger keeps it: events are deduped by key, effects collect, timers come due.

`Story` is told in words of the product; a test reads what people would read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from msgspec.structs import replace

from dragoman.core.activities import Activity, Final, Response
from dragoman.core.effects import Effect, Post, Remind, ShowPlan
from dragoman.core.events import Event
from dragoman.core.events.issues import CommentWritten, IssueEdited
from dragoman.core.events.linear import IssueRead, Prompt, Prompted, SessionOpened, StopRequested
from dragoman.core.events.opencode import (
    Answered,
    Compacted,
    Outcome,
    PermissionAsked,
    Question,
    QuestionAsked,
    Reasoned,
    RunSettled,
    Said,
    Todo,
    TodosChanged,
    Tool,
    ToolFinished,
    ToolStarted,
)
from dragoman.core.events.runs import RunAborted, RunStarted, SetupRan
from dragoman.core.limits import Rules
from dragoman.core.session import Message, Phase, Session, Turn, live_turn
from dragoman.core.step import step
from dragoman.ids import ActivityId, AgentThread, AskId, CommentId, MessageId, PartId, RunId, run_id
from tests.builders import HOST, ORGANIZATION, SESSION, a_person, an_issue

DIRECTORY = "/data/workspaces/eng-12"
THREAD = AgentThread("ses_1")
ROOT = CommentId("root")  # of the thread of comments that the session is attached to
BEGIN = 1_800_000_000.0  # any moment

E = TypeVar("E")


def key_of(event: Event) -> tuple[str, ...] | None:
    """What the ledger remembers of an event, so that the same one is heard once; None where repetition is harmless."""
    match event:
        case SessionOpened():
            return ("created",)
        case Prompted(prompt=Prompt(activity=str() as activity)):
            return ("prompted", activity)
        case StopRequested(sent_at=sent_at):
            return ("stop", str(sent_at))
        case ToolStarted(run=run, part=part):
            return ("begun", run, part)
        case Reasoned(run=run, part=part) | Said(run=run, part=part) | ToolFinished(run=run, part=part):
            return ("part", run, part)
        case PermissionAsked(run=run, ask=ask) | QuestionAsked(run=run, ask=ask):
            return ("ask", run, ask)
        case SetupRan(run=run, number=number):
            return ("setup", run, str(number))
        case Compacted(run=run, key=key):
            return ("compacted", run, key)
        case _:
            return None


class Story:
    """One session, its clock, and all that followed so far."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.session = Session(id=SESSION, organization=ORGANIZATION, host=HOST)
        self.rules = rules or Rules()
        self.now = BEGIN
        self.effects: list[Effect] = []
        self.messages: list[Message] = []
        self.timers: list[tuple[float, Event]] = []
        self._seen: set[tuple[str, ...]] = set()
        self._written = 0

    # ── hearing ──────────────────────────────────────────────────────────
    def hear(self, event: Event) -> tuple[Effect, ...]:
        """Hear one event now; what followed."""
        key = key_of(event)
        if key is not None and key in self._seen:
            return ()
        if key is not None:
            self._seen.add(key)
        decided = step(self.session, event, self.now, self.rules)
        self.session = decided.session
        self.effects += decided.effects
        self.messages += decided.messages
        self.timers += [(self.now + e.after_s, e.event) for e in decided.effects if isinstance(e, Remind)]
        return decided.effects

    def wait(self, seconds: float) -> tuple[Effect, ...]:
        """Let time pass; timers that come due are heard in their order."""
        until = self.now + seconds
        followed: list[Effect] = []
        while due := [timer for timer in self.timers if timer[0] <= until]:
            timer = min(due, key=lambda each: each[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            followed += self.hear(timer[1])
        self.now = until
        return tuple(followed)

    # ── what happens, in short ───────────────────────────────────────────
    def opens(
        self,
        text: str = "please fix it",
        *,
        kind: Literal["mention", "delegation"] = "mention",
        by: str | None = "Ann",
        crowd: int = 0,
        limit: int = 0,
        with_issue: bool = True,
    ) -> tuple[Effect, ...]:
        author = a_person(by) if by else None
        prompt = Prompt(text=text, author=author, sent_at=self.now, kind=kind, context="<issue/>")
        issue = an_issue() if with_issue else None
        return self.hear(SessionOpened(issue=issue, prompt=prompt, root=ROOT, crowd=crowd, limit=limit))

    def writes(self, text: str, *, ago: float = 0.0) -> tuple[Effect, ...]:
        """A person writes; `ago` seconds before it is heard."""
        self._written += 1
        activity = ActivityId(f"written-{self._written}")
        prompt = Prompt(text=text, author=a_person(), activity=activity, sent_at=self.now - ago)
        return self.hear(Prompted(prompt=prompt))

    def stops(self, *, ago: float = 0.0) -> tuple[Effect, ...]:
        return self.hear(StopRequested(sent_at=self.now - ago))

    def edits(
        self, *, title: str | None = None, description: str | None = None, by: str = "Ann", ago: float = 0.0
    ) -> tuple[Effect, ...]:
        """A person edits the issue; `ago` seconds before it is heard."""
        return self.hear(IssueEdited(by=a_person(by), at=self.now - ago, title=title, description=description))

    def comments(
        self,
        text: str,
        *,
        comment: str = "com_1",
        root: str = "",
        by: str = "Bob",
        ago: float = 0.0,
        edited: bool = False,
        addressed: bool = False,
    ) -> tuple[Effect, ...]:
        """A person writes or rewrites a comment on the issue, in the thread of `root`."""
        return self.hear(
            CommentWritten(
                by=a_person(by),
                at=self.now - ago,
                comment=CommentId(comment),
                root=CommentId(root or comment),
                text=text,
                edited=edited,
                addressed=addressed,
            )
        )

    def reads_issue(self, *, found: bool = True) -> tuple[Effect, ...]:
        issue = replace(an_issue(), branch_name="ann/eng-12") if found else None
        return self.hear(IssueRead(run=self.run, issue=issue))

    def starts(self, *, attempt: int = 0) -> tuple[Effect, ...]:
        return self.hear(
            RunStarted(
                run=self.run,
                thread=THREAD,
                repository="app",
                directory=DIRECTORY,
                branch="ann/eng-12",
                attempt=attempt,
            )
        )

    def works(self) -> Story:
        """Through the beginning of a first turn."""
        self.opens()
        self.reads_issue()
        self.starts()
        return self

    def settles(self, outcome: Outcome | None = None, *, newest: MessageId | None = None) -> tuple[Effect, ...]:
        return self.hear(
            RunSettled(
                run=self.run, newest=newest or self.turn.messages[-1], outcome=outcome or Answered(text="Fixed.")
            )
        )

    def aborts(self, *, verified: bool = True, detail: str = "") -> tuple[Effect, ...]:
        return self.hear(RunAborted(run=self.run, verified=verified, detail=detail))

    def says(self, part: str, text: str) -> tuple[Effect, ...]:
        return self.hear(Said(run=self.run, part=PartId(part), text=text))

    def uses(self, part: str, tool: Tool, *, failed: bool = False) -> tuple[Effect, ...]:
        started = self.hear(ToolStarted(run=self.run, part=PartId(part), tool=replace(tool, output="")))
        return started + self.hear(ToolFinished(run=self.run, part=PartId(part), tool=tool, failed=failed))

    def plans(self, *todos: tuple[str, str]) -> tuple[Effect, ...]:
        return self.hear(TodosChanged(run=self.run, todos=tuple(Todo(content=c, status=s) for c, s in todos)))

    def asks_leave(self, ask: str = "per_1", subject: str = "rm -rf build") -> tuple[Effect, ...]:
        return self.hear(
            PermissionAsked(
                run=self.run, ask=AskId(ask), thread=THREAD, permission="bash", subject=subject, always=("rm *",)
            )
        )

    def asks(self, *questions: Question, ask: str = "que_1") -> tuple[Effect, ...]:
        return self.hear(
            QuestionAsked(run=self.run, ask=AskId(ask), thread=THREAD, questions=questions or (WHICH_COLOUR,))
        )

    # ── what came of it ──────────────────────────────────────────────────
    @property
    def phase(self) -> Phase:
        return self.session.phase

    @property
    def run(self) -> RunId:
        """The run of the newest turn."""
        return run_id(self.session.id, self.session.turns)

    @property
    def turn(self) -> Turn:
        turn = live_turn(self.session)
        assert turn is not None
        return turn

    @property
    def shown(self) -> list[Activity]:
        """All activities that people were shown, oldest first."""
        return shown(self.effects)

    @property
    def ids_shown(self) -> list[ActivityId]:
        """The ids under which they were shown."""
        return [effect.id for effect in self.effects if isinstance(effect, Post)]

    @property
    def finals(self) -> list[Final]:
        return [activity for activity in self.shown if isinstance(activity, Final)]

    @property
    def plans_shown(self) -> list[list[tuple[str, str]]]:
        return [[(item.content, item.status) for item in e.items] for e in self.effects if isinstance(e, ShowPlan)]

    def all(self, kind: type[E]) -> list[E]:
        """All effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


WHICH_COLOUR = Question(
    text="Which colour?", header="Colour", options=(("Red", "like fire"), ("Blue", "like the sea")), multiple=False
)


def shown(effects: Iterable[Effect]) -> list[Activity]:
    """The activities among effects."""
    return [effect.activity for effect in effects if isinstance(effect, Post)]


def bodies(effects: Iterable[Effect]) -> list[str]:
    """What people read, one text an activity."""
    return [getattr(activity, "body", "") or getattr(activity, "subject", "") for activity in shown(effects)]


def answer(effects: Iterable[Effect]) -> str:
    """The body of the one Response among effects."""
    (found,) = [activity.body for activity in shown(effects) if isinstance(activity, Response)]
    return found
