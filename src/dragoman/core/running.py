"""News of the run under way: it starts, waits, works, is cut, goes silent, settles. Called by `step` alone."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from dragoman.core import receipt, wording
from dragoman.core.activities import Action, Failure, Response
from dragoman.core.answering import drop_ask, expire_ask, raise_ask
from dragoman.core.blocking import is_blocked, look_at_blockers
from dragoman.core.draft import Draft
from dragoman.core.effects import AbortRun, SaveWork, ShowPlan
from dragoman.core.events import RunEvent
from dragoman.core.events.desk import FileShared, ShipFailed, Shipped, WorkFound
from dragoman.core.events.linear import IssueRead, RepositoriesSuggested
from dragoman.core.events.opencode import (
    Aborted,
    AgentEvent,
    Answered,
    AskGone,
    Broke,
    Compacted,
    Declined,
    Outcome,
    PermissionAsked,
    QuestionAsked,
    Reasoned,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    RunStalled,
    Said,
    Todo,
    TodosChanged,
    ToolFinished,
    ToolStarted,
)
from dragoman.core.events.runs import PlaceInQueue, RunAborted, RunFailed, RunStarted, RunWaiting, SetupRan
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
from dragoman.core.held_up import on_interrupted, on_patience_over, on_place, on_retrying, on_waiting
from dragoman.core.placing import remind
from dragoman.core.replying import named
from dragoman.core.session import Choosing, Message, Shipping, Starting, Stopping, Working, Workspace, profile
from dragoman.core.shipping import deliver, look_at_work, on_shipping, with_usage_of
from dragoman.core.taking_up import closing
from dragoman.core.telling import on_due
from dragoman.core.tools import RESULT_MOST, bounded, fenced, may_change_files
from dragoman.core.translate import translate
from dragoman.core.turns import give_up, on_heartbeat, settle, start_run, stopped


def on_run(draft: Draft, event: RunEvent) -> None:
    """News of the run under way, by phase."""
    phase = draft.live
    match phase:
        case Stopping():
            while_stopping(draft, phase, event)
        case Shipping():
            on_shipping(draft, phase, event)
        case Choosing():
            while_choosing(draft, phase, event)
        case Starting(prompt=prompt) if prompt is not None:
            before_run(draft, phase, event)
        case Starting() | Working():
            during_run(draft, event)
        case _:
            assert_never(phase)


def while_stopping(draft: Draft, phase: Stopping, event: RunEvent) -> None:
    """Only the end of the abort counts."""
    match event:
        case RunAborted(verified=verified, detail=detail):
            on_stopped(draft, phase, verified, detail)
        case StopDue():
            on_stopped(draft, phase, False, wording.ending.NOT_CONFIRMED)
        case RunStarted():
            # The first abort may have found nothing to abort: now there is something.
            know_run(draft, event)
            draft.do(AbortRun(run=event.run, thread=event.thread, directory=event.directory))
        case _:
            pass


def on_stopped(draft: Draft, phase: Stopping, verified: bool, detail: str) -> None:
    """The end, or, when the agent had answered before we ended what came after, the delivery of its work."""
    if phase.by == "service" and phase.turn.kept is not None:
        deliver(draft, phase.turn.kept, phase.dropped)
    else:
        stopped(draft, phase, verified, detail)


def before_run(draft: Draft, phase: Starting, event: RunEvent) -> None:
    """The issue is being read: nothing was handed to OpenCode yet, so news from there cannot be about this run."""
    match event:
        case IssueRead(issue=issue) if phase.prompt is not None and phase.reading:
            if issue is not None:
                draft.change(issue=issue, issue_read=True)
            starting = replace(phase, chosen=event.chosen, reading=False)
            draft.enter(starting)
            if not is_blocked(draft, starting, phase.prompt):
                start_run(draft, replace(starting, turn=draft.turn, blocked=()), phase.prompt)
        case BlockersDue():
            look_at_blockers(draft, phase)
        case RepositoriesSuggested(suggestions=suggestions) if phase.prompt is not None and phase.asked:
            start_run(draft, phase, phase.prompt, suggestions)
        case HeartbeatDue():
            on_heartbeat(draft)
        case RunFailed(reason=reason):
            settle(draft, Failure(body=reason), "failed")
        case _:
            pass


def while_choosing(draft: Draft, phase: Choosing, event: RunEvent) -> None:
    """People are asked; nothing was handed to OpenCode, so news from there cannot be about this run."""
    match event:
        case AskDue():
            remind(draft, phase, event)
        case HeartbeatDue():
            on_heartbeat(draft)
        case RunFailed(reason=reason):
            settle(draft, Failure(body=reason), "failed")
        case _:
            pass


def during_run(draft: Draft, event: RunEvent) -> None:
    """The prompt is on its way, or OpenCode works on it."""
    match event:
        case RunStarted():
            afresh = know_run(draft, event)
            working(draft)
            if afresh:
                draft.tell(wording.during.fresh_thread(bool(event.summary)))
            if event.notes and not draft.turn.noted:
                draft.turn_with(noted=True)
                draft.tell(wording.place.about_workspace(event.notes))
            if draft.turn.resuming and event.attempt == draft.turn.attempts:
                draft.turn_with(resuming=False)
        case SetupRan():
            on_setup(draft, event)
        case RunWaiting():
            on_waiting(draft, event)
        case PlaceInQueue():
            on_place(draft, event)
        case RunFailed(reason=reason):
            if isinstance(draft.session.phase, Working):
                give_up(draft, reason)
            else:
                settle(draft, Failure(body=reason), "failed")
        case PatienceOver():
            on_patience_over(draft)
        case HeartbeatDue():
            on_heartbeat(draft)
        case CheckpointDue():
            if draft.turn.worked:
                draft.do(SaveWork())
                draft.remind(event, draft.rules.checkpoint_s)
        case EditsDue():
            on_due(draft)
        case PlanDue():
            if draft.turn.plan_due:
                send_plan(draft)
        case AskDue(ask=ask):
            expire_ask(draft, ask)
        case RunAborted() | StopDue() | IssueRead() | RepositoriesSuggested() | PlaceDue() | BlockersDue():
            pass  # an abort that nobody waits for any more; an issue that was read before; a place that nobody looked up
        case WorkFound() | FileShared() | Shipped() | ShipFailed() | ShipDue():
            pass  # of a delivery that was begun before the agent was asked to commit
        case _:
            on_agent(draft, working(draft), event)


def on_agent(draft: Draft, phase: Working, event: AgentEvent) -> None:
    """What OpenCode does."""
    match event:
        case Said(text=text) if phase.turn.kept is not None and text.strip() == phase.turn.kept.text.strip():
            pass  # its last words, which are last no more since it was asked to commit: the final holds them
        case Reasoned() | Said() | ToolStarted() | ToolFinished() | Compacted():
            if shown := translate(event, draft.directory):
                draft.post(*shown)
            if isinstance(event, ToolStarted | ToolFinished) and may_change_files(event.tool):
                on_work(draft)
            if isinstance(event, ToolFinished):
                draft.turn_with(answer="", retrying=False)
        case TodosChanged(todos=todos):
            on_todos(draft, event, todos)
        case PermissionAsked() | QuestionAsked():
            raise_ask(draft, event)
        case AskGone(ask=ask):
            drop_ask(draft, ask)
        case RunRetrying():
            on_retrying(draft, event)
        case RunStalled(minutes=minutes):
            if not phase.asks:  # what waits for people is not stalled
                give_up(draft, wording.trouble.stalled(minutes))
        case RunInterrupted():
            on_interrupted(draft, phase, event)
        case RunSettled(newest=newest, outcome=outcome):
            if newest == phase.turn.messages[-1]:
                on_settled(draft, outcome)
        case _:
            assert_never(event)


def know_run(draft: Draft, event: RunStarted) -> bool:
    """Remember where the session works; whether that is a fresh thread after one that had grown long."""
    left = draft.session.leaving
    if left is not None and event.summary:
        draft.remember(Message(role="system", text=wording.during.summary_line(event.summary)))
    workspace = Workspace(repository=event.repository, directory=event.directory, branch=event.branch, base=event.base)
    draft.change(thread=event.thread, workspace=workspace, leaving=None)
    return left is not None


def working(draft: Draft) -> Working:
    """OpenCode is heard from: the run works and waits for nothing."""
    phase = draft.live
    if not isinstance(phase, Working):
        phase = Working(turn=phase.turn)
    if phase.turn.waiting:
        phase = replace(phase, turn=replace(phase.turn, waiting=""))
    draft.enter(phase)
    return phase


def on_work(draft: Draft) -> None:
    """The workspace may have changed: from the first time on it is saved now and then."""
    if not draft.turn.worked:
        draft.turn_with(worked=True)
        draft.remind(CheckpointDue(run=draft.turn.run), draft.rules.checkpoint_s)


def on_setup(draft: Draft, event: SetupRan) -> None:
    """Show what was run before the agent; it hears of a failure, too, and works with what is there."""
    if not isinstance(draft.session.phase, Starting):
        return
    result = bounded(event.output.strip(), RESULT_MOST - 200)
    told = wording.during.setup_result(event, fenced(result) if result else "")
    draft.post(f"setup:{event.number}", Action(verb="Set up", subject=event.command, result=told))
    if event.exit_code != 0:
        draft.tell(wording.during.setup_failed(event))


def on_todos(draft: Draft, event: TodosChanged, todos: tuple[Todo, ...]) -> None:
    """The first plan is shown at once, later ones not more often than people can read."""
    if todos == draft.turn.plan:
        return
    draft.turn_with(plan=todos)
    if draft.now - draft.turn.plan_at >= draft.rules.plan_s:
        send_plan(draft)
    elif not draft.turn.plan_due:
        draft.turn_with(plan_due=True)
        draft.remind(PlanDue(run=event.run), draft.rules.plan_s)


def send_plan(draft: Draft) -> None:
    """Show the newest plan."""
    draft.turn_with(plan_at=draft.now, plan_due=False)
    if draft.rules.streaming:
        draft.do(ShowPlan(items=draft.turn.plan))


def has_work(draft: Draft) -> bool:
    """Whether the session is one whose changes are handed in: not a simple answer, not a plan."""
    return draft.session.workspace is not None and profile(draft.session) == "work"


def on_settled(draft: Draft, outcome: Outcome) -> None:
    """The one answer of the turn; what the agent says after it was asked to commit is no new one."""
    kept = draft.turn.kept
    if kept is not None:
        deliver(draft, with_usage_of(kept, outcome))
        return
    match outcome:
        case Answered() if (draft.turn.worked or draft.session.undelivered) and has_work(draft):
            look_at_work(draft, outcome)
        case Answered(text=text):
            words = receipt.unfolded(named(draft.turn, text.strip()))
            if words and has_work(draft):
                words = receipt.joined(words, receipt.unseen(text, draft.turn, draft.session.pull_request))
            settle(draft, closing(draft, words), "answered", outcome)
        case Broke():
            settle(draft, Failure(body=wording.trouble.broke(outcome)), "failed")
        case Declined(text=text):
            settle(draft, Response(body=text.strip() or wording.ending.DECLINED), "answered")
        case Aborted(text=text):
            settle(draft, Failure(body=text.strip() or wording.ending.ENDED_ELSEWHERE), "failed")
        case _:
            assert_never(outcome)
