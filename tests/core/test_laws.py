"""What holds in every history, however it is shuffled."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from dragoman.core.activities import Activity, Elicitation, Response, is_final
from dragoman.core.effects import (
    AnswerPermission,
    AnswerQuestion,
    Effect,
    InspectWork,
    Post,
    ReadIssue,
    Remind,
    ResumeRun,
    SaveWork,
    ShipWork,
    StartRun,
    SteerRun,
    SuggestRepositories,
)
from dragoman.core.events import Event
from dragoman.core.events.desk import ShipFailed, WorkFound
from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited
from dragoman.core.events.linear import (
    IssueRead,
    Prompt,
    Prompted,
    RepositoriesSuggested,
    RequestRefused,
    SessionOpened,
    StopRequested,
    Withdrawn,
)
from dragoman.core.events.opencode import Answered, AskGone, RunInterrupted, RunSettled
from dragoman.core.events.operators import OperatorEvent
from dragoman.core.events.runs import RunStarted
from dragoman.core.events.timers import BlockersDue, HeartbeatDue, ShipDue, StopDue
from dragoman.core.limits import Rules
from dragoman.core.routing import Place, Routing
from dragoman.core.session import (
    Choosing,
    Closed,
    Resting,
    Session,
    Shipping,
    Starting,
    Stopping,
    Turn,
    Working,
    live_turn,
)
from dragoman.core.status import may_change, status
from dragoman.core.step import step
from dragoman.ids import ActivityId, activity_id
from tests.builders import an_issue
from tests.core.histories import Story, key_of
from tests.core.moves import Wait, moves, place

EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "300"))

# ── the laws ─────────────────────────────────────────────────────────────
_session = msgspec.json.Decoder(Session)
_effect: msgspec.json.Decoder[Effect] = msgspec.json.Decoder(Effect)


class Observer:
    """Hears what the session hears and holds each step against the laws."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.story = Story(rules)
        self.shown: dict[ActivityId, Activity] = {}
        self.finals: list[ActivityId] = []

    def move(self, move: Event | Wait, number: int) -> None:
        if not isinstance(move, Wait):
            self.hear(place(move, self.story, number))
            return
        until = self.story.now + move.seconds
        while due := [timer for timer in self.story.timers if timer[0] <= until]:
            timer = min(due, key=lambda each: each[0])
            self.story.timers.remove(timer)
            self.story.now = max(self.story.now, timer[0])
            self.hear(timer[1])
        self.story.now = until

    def hear(self, event: Event) -> None:
        story, before = self.story, self.story.session
        heard_before = (key := key_of(event)) is not None and key in story._seen
        effects = story.hear(event)
        after = story.session
        if heard_before:
            assert after is before
            assert not effects
            return
        left_run_changes_nothing(before, event, after, effects)
        survives_a_round_trip(after, effects)
        assert len(story.all(StartRun)) == after.runs, "starts equal runs"
        assert may_change(status(before), status(after)), "a status follows only where it may"
        assert not (after.expires_at and live_turn(after)), "nothing times out while a turn is under way"
        assert after.messages == len(story.messages)
        if isinstance(after.phase, Resting | Closed):
            assert not after.queued, "no prompt is queued while resting"
        if isinstance(event, RequestRefused):
            a_refusal_is_one_reply_and_changes_nothing(before, event, after, effects)
            effects = without_what_a_refusal_says(before, effects)
        if isinstance(event, SessionOpened | Prompted):
            every_prompt_is_acknowledged(before, event, after, effects)
        self.ids_and_finals(effects, after)
        after_stop_nothing_but_the_end(before, after, effects)
        nothing_beside_an_open_question(before, after, effects)
        what_is_held_back_is_not_lost(before, event, after, effects)
        what_waits_is_not_lost(before, event, after, effects)
        nothing_written_before_a_stop_is_begun(after, effects)
        only_the_newest_answer_is_the_end(before, event, after)
        a_cut_puts_nothing_behind_words_that_wait(before, event, after, effects)
        self.can_end(after)
        repeated_at_once_changes_nothing(event, story)
        an_edit_is_told_once_and_begins_nothing(before, event, after, effects)

    def ids_and_finals(self, effects: tuple[Effect, ...], after: Session) -> None:
        for post in effects:
            if isinstance(post, Post):
                assert self.shown.setdefault(post.id, post.activity) == post.activity, "an id has one content"
                if is_final(post.activity):
                    self.finals.append(post.id)
        ended = after.turns - (live_turn(after) is not None)
        assert self.finals == [activity_id(after.id, n + 1) for n in range(ended)], "one final for each turn, in order"

    def can_end(self, after: Session) -> None:
        turn = live_turn(after)
        if turn is None:
            return
        timers = [event for _, event in self.story.timers if getattr(event, "run", None) == turn.run]
        if isinstance(after.phase, Stopping):
            assert any(isinstance(event, StopDue) for event in timers), "a stop is confirmed in time"
        else:
            assert any(isinstance(event, HeartbeatDue) for event in timers), "a live turn does not fall silent"
        if isinstance(after.phase, Shipping):
            assert any(isinstance(event, ShipDue) for event in timers), "the answer does not wait for ever"
            asked: list[InspectWork | ShipWork] = [*self.story.all(InspectWork), *self.story.all(ShipWork)]
            assert any(effect.run == turn.run for effect in asked), "what it waits for is on its way"
        if isinstance(after.phase, Starting):
            runs = {effect.run for effect in self.story.all(StartRun)}
            if after.phase.prompt is not None:
                runs = {effect.run for effect in self.story.all(ReadIssue)}
                runs |= {effect.run for effect in self.story.all(SuggestRepositories)}
            assert turn.run in runs, "what it waits for is on its way"

    def finish(self) -> None:
        """Let everything answer as it should: then the session comes to rest."""
        story = self.story
        for _ in range(200):
            phase = story.phase
            if isinstance(phase, Resting | Closed):
                return
            if isinstance(phase, Stopping):
                self.move(Wait(seconds=5.0), 0)
            elif isinstance(phase, Choosing):
                activity = ActivityId(f"answer-{phase.turn.number}")
                self.hear(Prompted(prompt=Prompt(text="acme/shop", activity=activity)))
            elif isinstance(phase, Starting) and phase.blocked:
                self.hear(BlockersDue(run=phase.turn.run))
                self.hear(IssueRead(run=phase.turn.run, issue=an_issue()))
            elif isinstance(phase, Starting) and phase.asked:
                self.hear(RepositoriesSuggested(run=phase.turn.run))
            elif isinstance(phase, Starting) and phase.prompt is not None:
                self.hear(IssueRead(run=phase.turn.run))
            elif isinstance(phase, Shipping) and phase.found:
                self.hear(ShipFailed(run=phase.turn.run, reason="No."))
            elif isinstance(phase, Shipping):
                self.hear(WorkFound(run=phase.turn.run, changed=False))
            elif isinstance(phase, Working) and phase.asks:
                self.hear(AskGone(run=phase.turn.run, ask=phase.asks[0].ask.ask))
            else:
                self.hear(
                    RunSettled(run=phase.turn.run, newest=phase.turn.messages[-1], outcome=Answered(text="Done."))
                )
        raise AssertionError("the session does not come to rest")


def left_run_changes_nothing(before: Session, event: Event, after: Session, effects: tuple[Effect, ...]) -> None:
    run = getattr(event, "run", None)
    turn = live_turn(before)
    if run is not None and (turn is None or turn.run != run):
        assert after == before
        assert not effects


def survives_a_round_trip(after: Session, effects: tuple[Effect, ...]) -> None:
    assert _session.decode(msgspec.json.encode(after)) == after
    for effect in effects:
        assert _effect.decode(msgspec.json.encode(effect)) == effect


def every_prompt_is_acknowledged(
    before: Session, event: SessionOpened | Prompted, after: Session, effects: tuple[Effect, ...]
) -> None:
    if isinstance(event, SessionOpened) and before.turns == 0 and event.limit and event.crowd > event.limit + 1:
        assert not effects, "the second session over the limit is met with silence"
        return
    match before.phase:
        case Stopping(dropped=dropped):
            assert isinstance(after.phase, Stopping)
            grown = (len(after.queued) - len(before.queued)) + (after.phase.dropped - dropped)
            assert grown == 1, "it waits for the end of the stop, or the end will say that it is not started"
        case Choosing(turn=turn):
            assert any(isinstance(e, Post) for e in effects) or len(_turn(after).held) > len(turn.held)
        case Working(turn=turn) if any(ask.shown for ask in _asks(before)):
            answered = any(isinstance(e, Post | AnswerPermission | AnswerQuestion) for e in effects)
            assert answered or len(_turn(after).held) > len(turn.held)
        case _:
            assert any(isinstance(effect, Post) for effect in effects)


def a_refusal_is_one_reply_and_changes_nothing(
    before: Session, event: RequestRefused, after: Session, effects: tuple[Effect, ...]
) -> None:
    assert all(isinstance(effect, Post) for effect in effects), "nothing is done but to say so"
    said = [effect.activity for effect in effects if isinstance(effect, Post)]
    replies = [activity for activity in said if isinstance(activity, Response)]
    assert len(replies) == (0 if event.silent else 1)
    if _open(before) is not None and replies:
        assert isinstance(said[-1], Elicitation), "the question that the reply dismissed is there again"
    was, now = live_turn(before), live_turn(after)
    assert was is None or now is not None
    if was is not None and now is not None:
        assert replace(now, told=was.told) == was, "the turn of somebody else goes on as it was"
        assert _asks(after) == _asks(before)
        assert after.queued == before.queued


def without_what_a_refusal_says(before: Session, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    return () if live_turn(before) is not None else effects


def after_stop_nothing_but_the_end(before: Session, after: Session, effects: tuple[Effect, ...]) -> None:
    if not isinstance(before.phase, Stopping):
        return
    posts = [effect for effect in effects if isinstance(effect, Post)]
    if live_turn(after) == before.phase.turn or isinstance(after.phase, Stopping | Shipping):
        assert not posts, "nothing is shown while stopping"
    else:
        assert is_final(posts[0].activity), "the end comes first"
        assert sum(is_final(post.activity) for post in posts) == 1
        said = getattr(posts[0].activity, "body", "")
        assert not before.phase.dropped or f"{before.phase.dropped} waiting message" in said


def nothing_beside_an_open_question(before: Session, after: Session, effects: tuple[Effect, ...]) -> None:
    posts = [effect.activity for effect in effects if isinstance(effect, Post)]
    was, now = _open(before), _open(after)
    if was is not None and was == now:
        assert not posts, "a newer activity would dismiss the question"
    for activity in posts[:-1]:
        assert not isinstance(activity, Elicitation), "a question is the last thing that is shown"
    assert (now is not None and now != was) == bool(posts and isinstance(posts[-1], Elicitation))


def what_is_held_back_is_not_lost(before: Session, event: Event, after: Session, effects: tuple[Effect, ...]) -> None:
    turn = live_turn(before)
    held = turn.held if turn else ()
    if not held or isinstance(event, StopRequested):
        return
    kept = live_turn(after)
    if kept is not None and kept.run == (turn.run if turn else None) and kept.held:
        assert kept.held[: len(held)] == held
    else:
        assert [effect for effect in effects if effect in held] == list(held), "shown in the order in which it came"


def what_waits_is_not_lost(before: Session, event: Event, after: Session, effects: tuple[Effect, ...]) -> None:
    gone = len(before.queued) - len(after.queued)
    if gone <= 0:
        return
    begun = after.turns - before.turns
    dropped = after.phase.dropped if isinstance(after.phase, Stopping) else 0
    dropped -= before.phase.dropped if isinstance(before.phase, Stopping) else 0
    assert gone == begun + max(dropped, 0), "what leaves the queue is begun, or counted in the final"
    assert isinstance(event, StopRequested | Withdrawn | OperatorEvent) or any(
        isinstance(effect, Post) for effect in effects
    )


def nothing_written_before_a_stop_is_begun(after: Session, effects: tuple[Effect, ...]) -> None:
    for effect in effects:
        if isinstance(effect, StartRun | SteerRun):
            assert not 0 < effect.prompt.sent_at < after.stopped_at


def only_the_newest_answer_is_the_end(before: Session, event: Event, after: Session) -> None:
    turn, now = live_turn(before), live_turn(after)
    if isinstance(event, RunSettled) and turn is not None and (now is None or now.run != turn.run):
        assert event.newest == turn.messages[-1]


def a_cut_puts_nothing_behind_words_that_wait(
    before: Session, event: Event, after: Session, effects: tuple[Effect, ...]
) -> None:
    for resume in effects:
        if not isinstance(resume, ResumeRun):
            continue
        assert isinstance(event, RunInterrupted)
        had, has = _turn(before).messages, _turn(after).messages
        assert len(set(has)) == len(has)
        waiting = had[had.index(event.newest) + 1 :] if event.newest in had else ()
        if resume.tools and not waiting:
            assert has == (*had, resume.message), "the answer to the word is waited for"
        else:
            assert has == had, "a person's words stay the last, and are answered last"
            assert not resume.tools or resume.message == waiting[0], "the next that is given takes the word along"


def repeated_at_once_changes_nothing(event: Event, story: Story) -> None:
    if isinstance(event, IssueEdited | CommentWritten | CommentRemoved):
        again = step(story.session, event, story.now, story.rules)
        assert (again.session, again.effects) == (story.session, ())
    if hasattr(event, "run") and key_of(event) is None:
        again = step(story.session, event, story.now, story.rules)
        assert again.session == story.session
        assert not [effect for effect in again.effects if isinstance(effect, Post | StartRun)]
        assert [effect for effect in again.effects if not isinstance(effect, Remind | SaveWork)] == [] or isinstance(
            event, RunStarted
        ), "only a run that starts while it is stopped is aborted each time that it is heard of"


def an_edit_is_told_once_and_begins_nothing(
    before: Session, event: Event, after: Session, effects: tuple[Effect, ...]
) -> None:
    waited, waits = before.edits.waiting, after.edits.waiting
    told = [edit for effect in effects if isinstance(effect, StartRun | SteerRun) for edit in effect.prompt.edits]
    if isinstance(event, IssueEdited | CommentWritten | CommentRemoved):
        assert not [effect for effect in effects if not isinstance(effect, Remind)], "nothing is done at once"
        assert after.phase == before.phase
        assert live_turn(before) is not None or after == before, "at rest nothing is heard"
    elif not isinstance(event, SessionOpened | Prompted):  # those may bring the words of a comment themselves
        assert [*told, *waits] == list(waited), "what waits is told, or waits on"
    assert not set(told) & set(waits)
    assert len({edit.key for edit in waits}) == len(waits)


def _asks(session: Session) -> tuple[Any, ...]:
    return session.phase.asks if isinstance(session.phase, Working) else ()


def _turn(session: Session) -> Turn:
    turn = live_turn(session)
    assert turn is not None
    return turn


def _open(session: Session) -> tuple[str, int, int] | None:
    """The question that is before people: which, its how-many-th part, the how-many-th time."""
    if isinstance(session.phase, Choosing):
        return (session.phase.turn.run, session.phase.shown, round(session.phase.shown_at))
    return next(((ask.ask.ask, len(ask.answers), ask.shown) for ask in _asks(session) if ask.shown), None)


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(moves)
def test_the_laws_hold_in_every_history(history: list[Event | Wait]) -> None:
    observer = Observer()
    for number, move in enumerate(history):
        observer.move(move, number)
    observer.finish()


TWO_REPOSITORIES = Rules(
    respect_blockers=True, routing=Routing(places=(Place(name="acme/shop"), Place(name="acme/till")))
)


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(moves)
def test_the_laws_hold_where_people_are_asked_for_the_repository(history: list[Event | Wait]) -> None:
    observer = Observer(TWO_REPOSITORIES)
    for number, move in enumerate(history):
        observer.move(move, number)
    observer.finish()
