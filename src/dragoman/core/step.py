"""THE machine: every transition of a session is decided by `step`, in files of one thought each.

    step.py        what people do: they open, write, stop, withdraw
    closing.py     how a session is over, and is reopened: by withdrawal, command or time
    by_program.py  what a program does with a session of its own
    turns.py       the life of a turn: it begins, is steered, is ended, settles
    running.py     news of the run under way
    held_up.py     what holds a run up: waiting, retries, interruptions
    shipping.py    the agent is done: its work is looked at and delivered, then people read the answer
    placing.py     in which repository: decided, or asked of people
    review.py      what comes from the pull request: rounds of work, and the end when it is merged
    telling.py     what people change on the issue while a run is live: the agent is told, once
    answering.py   what OpenCode asks of people
    refusing.py    what people may not do: decided before, told here

How to read it. A session is in one phase (`session.Phase`); something happens (`events.Event`); what follows is a new
session and effects to perform. Nothing here waits, reads a clock or calls anybody: facts arrive inside the event.

A turn is one prompt and whatever steers it, until the one final activity. It runs through

    Resting → Starting → Working → Resting             answered without a change, or failed
                  ↘          ↘  ↘
                   Stopping ←── ← Shipping             → Resting once the work is delivered, or the time for that is over
                                                       → Resting (or Closed) once the abort is confirmed or overdue

Three rules carry the rest:
1. Events of a run name it; when the session has left that run they change nothing. So late news is harmless.
2. The final activity's id depends on (session, turn) alone. So however a turn ends, and however often the end is
   performed, people read one answer.
3. The session settles only when the newest message we put into the thread was answered. So a message that crosses
   with the end of a run is never lost.

Repeated events (the same tool seen twice) are not the machine's business: the ledger remembers their keys.

Doubts. A Stop ends the turn under way even when it was written before that turn's prompt and came late: stopping too
much costs a message, stopping too little costs trust. And a message whose time of writing is unknown (0) is never
taken for one that was written before a Stop.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.answering import answer_ask
from dragoman.core.blocking import starts_anyway
from dragoman.core.by_program import on_library
from dragoman.core.closing import clear_up, close, keep_time, on_operator
from dragoman.core.draft import Draft
from dragoman.core.events import Event
from dragoman.core.events.desk import Delivered, Undelivered
from dragoman.core.events.forge import PullRequestClosed, ReviewReceived
from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited
from dragoman.core.events.linear import Issue, Prompt, Prompted, RequestRefused, SessionOpened, StopRequested, Withdrawn
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
from dragoman.core.limits import CLOCKS_APART_S, Rules
from dragoman.core.refusing import on_refused
from dragoman.core.review import on_forge, take_up_review
from dragoman.core.running import on_run
from dragoman.core.session import (
    Choosing,
    Closed,
    Resting,
    Session,
    Shipping,
    Starting,
    Step,
    Stopping,
    Working,
    live_turn,
    profile,
)
from dragoman.core.shipping import link_work, tell_undelivered
from dragoman.core.taking_up import wants_session
from dragoman.core.telling import catch_up, know_thread, on_edit, tell_edits
from dragoman.core.turns import (
    abort,
    begin_issue,
    begin_turn,
    drop_late,
    handed_over,
    is_late,
    on_choice,
    refuse,
    remember_prompt,
    start_anyway,
    steer,
    wants_to_wait,
)

_RULES = Rules()


def step(session: Session, event: Event, now: float, rules: Rules = _RULES) -> Step:
    """Decide what follows from `event`. Total: late or repeated events change nothing.

    now  seconds since the epoch, by the ledger's clock
    """
    draft = Draft(session, now, rules)
    match event:
        case SessionOpened():
            know_thread(draft, event)
            on_opened(draft, event)
        case Prompted(prompt=prompt, issue=issue):
            know_thread(draft, event)
            know_issue(draft, issue)
            catch_up(draft, event)
            on_prompt(draft, prompt)
        case StopRequested():
            on_stop(draft, event)
        case RequestRefused(issue=issue):
            know_issue(draft, issue)
            on_refused(draft, event)
        case Withdrawn(reason=reason):
            close(draft, reason)
        case IssueEdited() | CommentWritten() | CommentRemoved():
            on_edit(draft, event)
        case SessionExpired() | CompletionRequested() | ReactivationRequested() | StatusRequested() | MessageAdded():
            on_operator(draft, event)
        case SessionMade() | ThreadLinked() | ErrorCounted():
            on_library(draft, event)
        case Delivered(pull_request=url):
            draft.change(undelivered=False)
            link_work(draft, url)
        case Undelivered(reason=reason):
            tell_undelivered(draft, reason)
        case ReviewReceived() | PullRequestClosed():
            on_forge(draft, event)
        case _:
            turn = live_turn(session)
            if turn is not None and turn.run == event.run:
                on_run(draft, event)
    take_up_review(draft, session)
    tell_edits(draft, session)
    keep_time(draft, session)
    clear_up(draft, session)
    return draft.step()


def on_opened(draft: Draft, event: SessionOpened) -> None:
    """A mention or a delegation. `prompted` may have come before it: then it is one more prompt."""
    know_issue(draft, event.issue)
    if event.prompt.author is not None:
        draft.change(creator=event.prompt.author)
    if draft.session.turns == 0 and event.limit and event.crowd > event.limit:
        if event.crowd == event.limit + 1:
            remember_prompt(draft, event.prompt)
            refuse(draft, wording.refusing.too_many_sessions(event.limit))
        return
    if draft.session.runs > 0 and handed_over(event.prompt) and profile(draft.session) != "answer":
        begin_issue(draft, start=True)  # the run began on what was heard first, which was no delegation
    on_prompt(draft, event.prompt)


def on_prompt(draft: Draft, prompt: Prompt) -> None:
    """A person's words begin a turn, answer an ask, steer the run or wait."""
    phase = draft.session.phase
    late = is_late(draft, prompt)
    match phase:
        case Resting() | Closed() if late:
            remember_prompt(draft, prompt)
            refuse(draft, wording.ending.WRITTEN_BEFORE_STOP)
        case Resting() | Closed():
            begin_turn(draft, prompt)
        case Stopping() if late:
            draft.enter(replace(phase, dropped=phase.dropped + 1))  # the final says so
        case Stopping():
            draft.change(queued=(*draft.session.queued, prompt))
        case Starting() | Choosing() | Working() | Shipping() if late:
            draft.tell(wording.ending.WRITTEN_BEFORE_STOP)
        case Shipping():
            wait_for_hand_over(draft, prompt)
        case Working(asks=asks) if asks and not wants_to_wait(prompt):
            remember_prompt(draft, prompt)
            answer_ask(draft, phase, prompt)
        case Working(turn=turn) if turn.kept is not None:
            wait_for_hand_over(draft, prompt)  # the answer of this turn was given: another one would not be heard
        case Starting() if starts_anyway(phase, prompt):
            start_anyway(draft, phase, prompt)
        case Choosing() if prompt.activity is not None and not wants_to_wait(prompt):
            on_choice(draft, phase, prompt)
        case Starting() | Choosing() | Working():
            on_prompt_while_busy(draft, phase, prompt)
        case _:
            assert_never(phase)


def on_prompt_while_busy(draft: Draft, phase: Starting | Choosing | Working, prompt: Prompt) -> None:
    """A message during a run steers it, or waits if the person or the operator wants that."""
    handed = isinstance(phase, Working) or phase.prompt is None
    if wants_to_wait(prompt) or draft.rules.while_busy == "queue" or (handed and wants_session(draft, prompt)):
        draft.change(queued=(*draft.session.queued, prompt))
        draft.tell(wording.waiting.QUEUED)
        return
    remember_prompt(draft, prompt)
    if isinstance(phase, Choosing) or (isinstance(phase, Starting) and phase.prompt is not None):
        draft.enter(replace(phase, early=(*phase.early, prompt)))
        draft.tell(wording.waiting.EARLY)
        return
    steer(draft, prompt)
    draft.tell(wording.waiting.STEERED)


def wait_for_hand_over(draft: Draft, prompt: Prompt) -> None:
    """The agent has given its answer, and its work is being handed in: a message begins the next turn."""
    draft.change(queued=(*draft.session.queued, prompt))
    draft.tell(wording.waiting.QUEUED_WHILE_SHIPPING)


def on_stop(draft: Draft, event: StopRequested) -> None:
    """Stop belongs to the turn under way: abort at once, confirm once; what was written before is not started."""
    written = min(event.sent_at, draft.now + CLOCKS_APART_S)  # one from farther ahead must not lock out later messages
    draft.change(stopped_at=max(draft.session.stopped_at, written))
    phase = draft.session.phase
    match phase:
        case Resting() | Closed():
            refuse(draft, wording.ending.NOTHING_RUNNING)
        case Stopping():
            draft.enter(replace(phase, by="person", dropped=phase.dropped + drop_late(draft)))
        case Starting() | Choosing() | Working() | Shipping():
            abort(draft, "person", dropped=drop_late(draft))
        case _:
            assert_never(phase)


def know_issue(draft: Draft, issue: Issue | None) -> None:
    """Keep what a delivery said of the issue, if nothing better is known."""
    if issue is not None and draft.session.issue is None:
        draft.change(issue=issue)
