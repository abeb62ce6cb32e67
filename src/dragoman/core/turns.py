"""The life of a turn: how it begins, is steered, is ended and settles. Called by `step` and `running`."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.activities import Failure, Final, Response, Thought
from dragoman.core.draft import BEGIN, Draft
from dragoman.core.effects import (
    AbortRun,
    BeginIssue,
    DisposeInstance,
    ReadIssue,
    SaveWork,
    ShowPlan,
    StartRun,
    SteerRun,
)
from dragoman.core.events.linear import Prompt, Suggestion
from dragoman.core.events.opencode import Answered
from dragoman.core.events.timers import HeartbeatDue, StopDue
from dragoman.core.limits import NEARLY
from dragoman.core.placing import TRIES, chosen_by, find_place, not_understood
from dragoman.core.replying import reply_to_review
from dragoman.core.session import Choosing, Closed, Live, Message, Resting, Shipping, Starting, Stopping, Turn, profile
from dragoman.core.taking_up import answered_at_once, first_words, is_undecided, keep_what_was_wanted, take_up
from dragoman.core.tools import BODY_MOST, bounded
from dragoman.core.translate import closed_plan
from dragoman.ids import message_id, part_id, run_id

QUEUE_WORD = "/queue"


def begin_turn(draft: Draft, prompt: Prompt) -> None:
    """Acknowledge first; then read the issue, for the branch's name and for what is decided by it; then start the run."""
    session = draft.session
    if wants_to_wait(prompt):
        prompt = replace(prompt, text=prompt.text.strip().removeprefix(QUEUE_WORD).strip() or prompt.text)
    if answer := answered_at_once(draft, prompt):
        remember_prompt(draft, prompt)
        answer_at_once(draft, answer)
        return
    prompt = with_what_waits(draft, prompt)
    first, announced = first_words(draft, prompt)
    number = session.turns + 1
    run = run_id(session.id, number)
    findings = tuple(replace(one, text="", lines="") for one in prompt.findings)
    turn = Turn(run=run, number=number, begun_at=draft.now, review=findings)
    starting = Starting(turn=turn, prompt=prompt, announced=announced)
    draft.change(turns=number, phase=starting)
    draft.post(BEGIN, Thought(body=first))
    remember_prompt(draft, prompt)
    if session.issue is not None and (not session.issue_read or is_undecided(draft)):
        draft.do(ReadIssue(run=run, issue=replace(session.issue, description="")))  # only its id matters there
    else:
        start_run(draft, starting, prompt)
    draft.remind(HeartbeatDue(run=run), draft.rules.heartbeat_s)


def with_what_waits(draft: Draft, prompt: Prompt) -> Prompt:
    """A person writes: rounds on the pull request are counted anew, and what is not solved there goes along."""
    review = draft.session.review
    if review is None or prompt.kind == "review":
        return prompt
    draft.change(review=replace(review, rounds=0, told=False, waiting=()))
    return replace(prompt, findings=review.waiting)


def start_run(
    draft: Draft, starting: Starting, prompt: Prompt, suggestions: tuple[Suggestion, ...] | None = None
) -> None:
    """Hand the prompt, and what was written meanwhile, to the agent's lane, as soon as it is known where to work.

    suggestions  of Linear for the repository; None when it was not asked
    """
    where = find_place(draft, starting, prompt, suggestions)
    if where is None:
        return
    begins = take_up(draft, starting, prompt, where)
    if where.repository:
        draft.change(repository=where.repository)
    if begins:
        begin_issue(draft, start=any(handed_over(each) for each in (prompt, *starting.early)))
    elif draft.session.runs == 0:
        draft.do(BeginIssue(issue=None, start=False, delegate=False))  # an answer leaves the issue as it is
    turn = draft.turn
    message = message_id(turn.run, 0, draft.now)
    draft.enter(Starting(turn=replace(turn, messages=(message,))))
    draft.change(runs=draft.session.runs + 1)
    leave_long_thread(draft)
    prompt = with_edits(draft, prompt)
    draft.do(StartRun(run=turn.run, prompt=prompt, message=message, part=part_id(message)))
    for early in starting.early:
        steer(draft, early)


def with_edits(draft: Draft, prompt: Prompt) -> Prompt:
    """What people changed on the issue since the agent last heard of it goes along."""
    edits = draft.session.edits
    if edits.waiting:
        draft.tell(wording.edits.told(edits.waiting))
    if edits.waiting or edits.times:
        draft.change(edits=replace(edits, waiting=(), due=False, times=0))
    return replace(prompt, edits=edits.waiting)


def leave_long_thread(draft: Draft) -> None:
    """A thread that has seen many messages is left: the run begins in a fresh one, which starts from a summary of it."""
    session = draft.session
    most = session.max_messages or draft.rules.max_messages
    if session.thread is not None and most and session.messages - session.thread_from > most:
        draft.change(thread=None, leaving=session.thread, threads=session.threads + 1, thread_from=session.messages - 1)


def on_choice(draft: Draft, phase: Choosing, prompt: Prompt) -> None:
    """A person's words may say in which repository to work."""
    remember_prompt(draft, prompt)
    starting = chosen_by(draft, phase, prompt)
    if starting is not None:
        start_run(draft, replace(starting, turn=draft.turn), phase.prompt)
    elif phase.shown >= TRIES:
        settle(draft, not_understood(phase.decision), "answered")


def start_anyway(draft: Draft, phase: Starting, prompt: Prompt) -> None:
    """A person has the work begin although the issue is blocked."""
    remember_prompt(draft, prompt)
    if phase.prompt is not None:
        draft.tell(wording.beginning.turn_started(prompt))
        starting = replace(phase, turn=draft.turn, blocked=(), reading=False)
        draft.enter(starting)
        start_run(draft, starting, phase.prompt)


def begin_issue(draft: Draft, start: bool) -> None:
    """Link the session from Linear; `start`: also move the issue, because a person handed it to us."""
    issue = draft.session.issue
    draft.do(BeginIssue(issue=issue, start=start, delegate=issue is not None))


def handed_over(prompt: Prompt) -> bool:
    """Whether a person, not an automation, delegated the issue."""
    return prompt.kind == "delegation" and prompt.author is not None


def steer(draft: Draft, prompt: Prompt) -> None:
    """Put one more message into the running thread."""
    turn = draft.turn
    message = message_id(turn.run, len(turn.messages), draft.now)
    draft.turn_with(messages=(*turn.messages, message))
    draft.do(SteerRun(run=turn.run, prompt=prompt, message=message, part=part_id(message)))


def refuse(draft: Draft, words: str) -> None:
    """A turn that never runs: one final activity and nothing else. Only while there is no turn."""
    number = draft.session.turns + 1
    draft.change(turns=number)
    draft.close(number, Response(body=words))


def answer_at_once(draft: Draft, words: str) -> None:
    """A turn that needs no agent. A session of nothing else is over with it, as after a simple answer."""
    refuse(draft, words)
    draft.answered.append(draft.session.turns)
    if draft.session.phase == Resting(after="new"):
        draft.enter(Closed(reason="answered"))


def on_heartbeat(draft: Draft) -> None:
    """A live turn never falls silent for half an hour; while a question is open, people are to speak."""
    turn = draft.turn
    every = draft.rules.heartbeat_s
    silent = draft.now - draft.session.posted_at
    if draft.asking or (isinstance(draft.session.phase, Starting) and draft.session.phase.blocked):
        silent = 0.0  # it is not our turn to speak
    elif silent >= every * NEARLY:
        draft.tell(wording.waiting.heartbeat(silent, turn.waiting))
        silent = 0.0
    draft.remind(HeartbeatDue(run=turn.run), every - max(silent, 0.0))


# ── its end ──────────────────────────────────────────────────────────────
def give_up(draft: Draft, reason: str) -> None:
    """End the run ourselves, for a reason that the final activity states.

    The final waits for the abort: what waits for this turn must not enter a thread that is still being aborted.
    """
    draft.turn_with(giving_up=reason)
    abort(draft, "service")


def abort(draft: Draft, by: Literal["person", "withdrawn", "service"], dropped: int = 0) -> None:
    """Leave Starting, Choosing, Working or Shipping for Stopping. After a person's Stop nothing is shown but the end."""
    phase = draft.live
    if isinstance(phase, Starting | Choosing):
        keep_what_was_wanted(draft, phase)
    if by != "person":
        draft.stop_asking()
    if isinstance(phase, Shipping):
        dropped += phase.dropped
    turn = replace(draft.turn, held=())
    draft.enter(Stopping(turn=turn, by=by, dropped=dropped))
    draft.do(AbortRun(run=turn.run, thread=draft.session.thread, directory=draft.directory or None))
    draft.remind(StopDue(run=turn.run), draft.rules.stop_s)


def stopped(draft: Draft, phase: Stopping, verified: bool, detail: str) -> None:
    """The abort is done, or its time is over."""
    turn = phase.turn
    if phase.by == "service":
        # A run that could not reach OpenCode need not be told that OpenCode did not confirm its end.
        doubt = "" if verified or turn.waiting else wording.ending.UNVERIFIED_END
        settle(draft, Failure(body=turn.giving_up + doubt + wording.ending.not_started(phase.dropped)), "failed")
    elif phase.by == "withdrawn":
        settle(
            draft,
            Response(body=wording.ending.withdrawn(turn.giving_up) + wording.ending.not_started(phase.dropped)),
            "stopped",
        )
        if isinstance(draft.session.phase, Resting):
            draft.enter(Closed(reason=turn.giving_up))
    else:
        settle(draft, Response(body=wording.ending.stopped(verified, detail, phase.dropped)), "stopped")


def settle(
    draft: Draft, final: Final, after: Literal["answered", "failed", "stopped"], answer: Answered | None = None
) -> None:
    """End the turn with its one final activity; then begin the next one that waits, if any.

    answer  what the agent answered, for the history: which message it was and what it used
    """
    draft.stop_asking()  # a dead ask no longer keeps anything back
    turn = draft.turn
    closed = closed_plan(turn.plan)
    if draft.rules.streaming and (turn.plan_due or closed != turn.plan):
        draft.do(ShowPlan(items=closed))
    if after == "answered" and answer is not None and turn.review:
        reply_to_review(draft, answer)
    draft.close(turn.number, replace(final, body=bounded(final.body, BODY_MOST)), answer)
    failures = draft.session.failures + 1 if after == "failed" else 0
    draft.change(failures=failures, phase=Resting(after=after))
    read_only, directory = profile(draft.session) == "answer", draft.directory
    if turn.worked and directory and not read_only:
        draft.do(SaveWork())
    while draft.session.queued and not isinstance(draft.session.phase, Live):
        waiting, *rest = draft.session.queued
        draft.change(queued=tuple(rest))
        begin_turn(draft, waiting)
    if isinstance(draft.session.phase, Live):
        return
    if directory:
        draft.do(DisposeInstance(directory=directory, discard=read_only))
    if read_only and after == "answered":
        draft.enter(Closed(reason="answered"))


# ── small things ─────────────────────────────────────────────────────────
def wants_to_wait(prompt: Prompt) -> bool:
    """Whether the person wants it done after the current work, not taken into it."""
    return prompt.text.split(maxsplit=1)[:1] == [QUEUE_WORD]


def is_late(draft: Draft, prompt: Prompt) -> bool:
    """Whether it was written before the last Stop: then it is not started any more."""
    return 0 < prompt.sent_at < draft.session.stopped_at


def drop_late(draft: Draft) -> int:
    """Take what was written before the last Stop out of the queue, and say how many that were."""
    queued = draft.session.queued
    kept = tuple(prompt for prompt in queued if not is_late(draft, prompt))
    draft.change(queued=kept)
    return len(queued) - len(kept)


def remember_prompt(draft: Draft, prompt: Prompt) -> None:
    """Keep a person's words in the history."""
    author = prompt.author.name if prompt.author else None
    draft.remember(Message(role="user", text=prompt.text, author=author, linear_id=prompt.activity))
