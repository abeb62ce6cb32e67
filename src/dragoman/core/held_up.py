"""What holds a run up: it waits for others, the model's provider fails, OpenCode is cut. Called by `running` alone."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.activities import Failure, Thought
from dragoman.core.draft import Draft
from dragoman.core.effects import ResumeRun
from dragoman.core.events.opencode import RunInterrupted, RunRetrying
from dragoman.core.events.runs import PlaceInQueue, RunWaiting
from dragoman.core.events.timers import PatienceOver, PlaceDue
from dragoman.core.limits import NEARLY
from dragoman.core.session import Starting, Working
from dragoman.core.shipping import deliver
from dragoman.core.turns import give_up, settle
from dragoman.ids import MessageId, message_id, part_id


def on_waiting(draft: Draft, event: RunWaiting) -> None:
    """Say once what it waits for; patience with others is limited, with our own queue it is not."""
    if draft.turn.waiting == event.cause:
        if draft.turn.waiting_why != event.why:
            draft.turn_with(waiting_why=event.why)
        return
    draft.turn_with(waiting=event.cause, waiting_since=draft.now, waiting_why=event.why)
    draft.tell(wording.waiting.not_yet(event, isinstance(draft.session.phase, Working)))
    if event.cause != "capacity":
        draft.remind(PatienceOver(run=event.run), draft.rules.patience_s)


def on_place(draft: Draft, event: PlaceInQueue) -> None:
    """Say at once where it stands in the queue, and later not more often than people want to read."""
    turn, every = draft.turn, draft.rules.queue_s
    if not isinstance(draft.session.phase, Starting):
        return
    waits = turn.waiting == "capacity" and turn.place > 0
    if waits and draft.now - turn.place_at < every * NEARLY:
        return
    if not waits or event.place != turn.place:
        draft.tell(wording.waiting.in_queue(event.place, again=waits))
    since = turn.waiting_since if waits else draft.now
    draft.turn_with(waiting="capacity", waiting_since=since, place=event.place, place_at=draft.now)
    draft.remind(PlaceDue(run=event.run), every)


def on_patience_over(draft: Draft) -> None:
    """Give up honestly, unless it has recovered since; an older reminder must not cut a newer wait short."""
    turn = draft.turn
    if turn.waiting in {"", "capacity"} or draft.now - turn.waiting_since < draft.rules.patience_s * NEARLY:
        return
    give_up(draft, wording.waiting.out_of_patience(turn.waiting, turn.waiting_why, round(draft.rules.patience_s / 60)))


def on_retrying(draft: Draft, event: RunRetrying) -> None:
    """Our own retry budget: OpenCode itself would try for ever."""
    if event.attempt >= draft.rules.retry_attempts or event.since_s >= draft.rules.retry_s:
        give_up(draft, wording.trouble.gave_up_retrying(event))
    elif not draft.turn.retrying:
        draft.turn_with(retrying=True)
        draft.tell(wording.during.retrying(event.message))


def on_interrupted(draft: Draft, phase: Working, event: RunInterrupted) -> None:
    """OpenCode was cut. No prompt is run twice unless the run itself was cut, and then the agent is told."""
    turn = phase.turn
    if event.after != turn.attempts:
        return
    draft.enter(replace(phase, asks=()))  # OpenCode forgets what it asked when it dies
    draft.release()
    if turn.attempts > draft.rules.resumes and turn.kept is not None:
        deliver(draft, turn.kept)
        return
    if turn.attempts > draft.rules.resumes:
        settle(draft, Failure(body=wording.trouble.interrupted_too_often(turn.attempts)), "failed")
        return
    told_agent = event.tools or bool(turn.answer)  # a lost answer has to be said again, so the same ids will not do
    # A message that waits for OpenCode in the lane takes the word along. Were the word a message of its own behind it, the
    # agent would answer the person first, and what it said to the word would be the final.
    waits = on_its_way(turn.messages, event.newest)
    message = waits or message_id(turn.run, len(turn.messages), draft.now)
    attempt = turn.attempts + 1
    asked = any(ask.shown for ask in phase.asks)
    draft.post(
        f"resumed:{attempt}",
        Thought(body=wording.during.ASKED_AGAIN_LATER if asked else wording.during.resumed(told_agent)),
    )
    draft.turn_with(
        attempts=attempt,
        resuming=True,
        messages=(*turn.messages, message) if told_agent and not waits else turn.messages,
        answer="",
        retrying=False,
    )
    draft.do(
        ResumeRun(
            run=turn.run,
            attempt=attempt,
            tools=told_agent,
            original=turn.messages[-1],
            message=message,
            part=part_id(message),
            note=turn.answer,
        )
    )


def on_its_way(messages: Sequence[MessageId], newest: MessageId | None) -> MessageId | None:
    """The first of our messages that OpenCode had not got when it was looked at; None when it had them all.

    newest  the last that it had
    """
    if newest not in messages:
        return None
    return next(iter(messages[messages.index(newest) + 1 :]), None)
