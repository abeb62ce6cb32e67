"""What holds in every history, however it is shuffled."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dragoman.core.activities import Activity, Elicitation, is_final
from dragoman.core.effects import AnswerPermission, AnswerQuestion, Effect, Post, ReadIssue, Remind, StartRun
from dragoman.core.events import (
    Aborted,
    Answered,
    AskDue,
    AskGone,
    Broke,
    Compacted,
    Declined,
    Event,
    HeartbeatDue,
    IssueRead,
    PatienceOver,
    PermissionAsked,
    PlanDue,
    Prompt,
    Prompted,
    Question,
    QuestionAsked,
    Reasoned,
    RunAborted,
    RunFailed,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    RunStalled,
    RunStarted,
    RunWaiting,
    Said,
    SessionOpened,
    StopDue,
    StopRequested,
    Todo,
    TodosChanged,
    Tool,
    ToolFinished,
    ToolStarted,
    Withdrawn,
)
from dragoman.core.session import Closed, Resting, Session, Starting, Stopping, Turn, Working, live_turn
from dragoman.core.step import step
from dragoman.ids import ActivityId, AgentThread, AskId, MessageId, PartId, RunId, activity_id, run_id
from dragoman.record import Record
from tests.builders import a_person, an_issue, records
from tests.core.histories import Story, key_of

EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "300"))

# ── random histories ─────────────────────────────────────────────────────
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
texts = st.sampled_from(["go", "", "yes", "always", "no", "Red", "/queue later", "/queue", "  ", "use tabs, please"])
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
issues = st.sampled_from([an_issue(), None])
todos = st.lists(
    st.builds(Todo, content=st.sampled_from("ab"), status=st.sampled_from(["pending", "completed"])), max_size=2
).map(tuple)
writes = st.builds(Prompted, prompt=prompts, issue=issues)
stops = st.builds(StopRequested, sent_at=ages)
begins = st.one_of(
    st.builds(IssueRead, run=runs, issue=issues),
    st.builds(
        RunStarted, run=runs, thread=threads, repository=st.just("app"), directory=st.just("/w"), branch=st.just("b")
    ),
)
ends = st.one_of(
    st.builds(RunSettled, run=runs, newest=st.sampled_from([NEWEST, NEWEST, FIRST, UNKNOWN]), outcome=outcomes),
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
    st.builds(RunInterrupted, run=runs, tools=st.booleans(), after=st.sampled_from([0, 0, 0, 1, 2])),
    st.builds(RunStalled, run=runs, minutes=st.just(20)),
    st.builds(RunWaiting, run=runs, cause=st.sampled_from(["opencode", "capacity", "repository"])),
    st.builds(Withdrawn, reason=st.sampled_from(["unassigned", "issue_completed", "app_revoked"])),
)
untimely = st.one_of(
    *(st.builds(kind, run=runs) for kind in (HeartbeatDue, PlanDue, StopDue, PatienceOver)),
    st.builds(AskDue, run=runs, ask=asks),
)
opens = st.builds(
    SessionOpened, issue=issues, prompt=prompts, crowd=st.sampled_from([0, 1, 2, 3]), limit=st.sampled_from([0, 1])
)
waits = st.builds(Wait, seconds=st.sampled_from([0.0, 0.5, 3.0, 5.0, 400.0, 1_000.0, 90_000.0]))
wild = st.tuples(records(Event), runs).map(lambda each: _of_run(*each))
moves = st.lists(
    st.one_of(
        opens,
        writes,
        writes,
        stops,
        begins,
        begins,
        begins,
        ends,
        asked,
        asked,
        news,
        news,
        trouble,
        untimely,
        waits,
        waits,
        wild,
    ),
    max_size=45,
)


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
        fields["prompt"] = replace(event.prompt, sent_at=_written(age, story), activity=activity)
    elif isinstance(event, StopRequested):
        fields["sent_at"] = _written(event.sent_at, story)
    elif not isinstance(event, Withdrawn):
        meant = {NOW: turns, LEFT: turns - 1, NEXT: turns + 1}
        fields["run"] = run_id(story.session.id, meant[event.run])
    if isinstance(event, RunSettled) and turn is not None and turn.messages:
        fields["newest"] = {NEWEST: turn.messages[-1], FIRST: turn.messages[0]}.get(event.newest, event.newest)
    if isinstance(event, RunInterrupted) and event.after == 0 and turn is not None:
        fields["after"] = turn.attempts
    return replace(event, **fields)


def _written(age: float, story: Story) -> float:
    return 0.0 if age == UNKNOWN_TIME else story.now - age


# ── the laws ─────────────────────────────────────────────────────────────
_session = msgspec.json.Decoder(Session)
_effect: msgspec.json.Decoder[Effect] = msgspec.json.Decoder(Effect)


class Observer:
    """Hears what the session hears and holds each step against the laws."""

    def __init__(self) -> None:
        self.story = Story()
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
        if isinstance(after.phase, Resting | Closed):
            assert not after.queued, "no prompt is queued while resting"
        if isinstance(event, SessionOpened | Prompted):
            every_prompt_is_acknowledged(before, event, after, effects)
        self.ids_and_finals(effects, after)
        after_stop_nothing_but_the_end(before, after, effects)
        nothing_beside_an_open_question(before, after, effects)
        what_is_held_back_is_not_lost(before, event, after, effects)
        what_waits_is_not_lost(before, event, after, effects)
        self.can_end(after)
        repeated_at_once_changes_nothing(event, story)

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
        if isinstance(after.phase, Starting):
            asked_for = [*self.story.all(ReadIssue)] if after.phase.prompt is not None else [*self.story.all(StartRun)]
            assert any(effect.run == turn.run for effect in asked_for), "what it waits for is on its way"

    def finish(self) -> None:
        """Let everything answer as it should: then the session comes to rest."""
        story = self.story
        for _ in range(200):
            phase = story.phase
            if isinstance(phase, Resting | Closed):
                return
            if isinstance(phase, Stopping):
                self.move(Wait(seconds=5.0), 0)
            elif isinstance(phase, Starting) and phase.prompt is not None:
                self.hear(IssueRead(run=phase.turn.run))
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
        case Working(turn=turn) if any(ask.shown for ask in _asks(before)):
            answered = any(isinstance(e, Post | AnswerPermission | AnswerQuestion) for e in effects)
            assert answered or len(_turn(after).held) > len(turn.held)
        case _:
            assert any(isinstance(effect, Post) for effect in effects)


def after_stop_nothing_but_the_end(before: Session, after: Session, effects: tuple[Effect, ...]) -> None:
    if not isinstance(before.phase, Stopping):
        return
    posts = [effect for effect in effects if isinstance(effect, Post)]
    if live_turn(after) == before.phase.turn or isinstance(after.phase, Stopping):
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
    assert isinstance(event, StopRequested | Withdrawn) or any(isinstance(effect, Post) for effect in effects)


def repeated_at_once_changes_nothing(event: Event, story: Story) -> None:
    if hasattr(event, "run") and key_of(event) is None:
        again = step(story.session, event, story.now, story.rules)
        assert again.session == story.session
        assert not [effect for effect in again.effects if isinstance(effect, Post | StartRun)]
        assert [effect for effect in again.effects if not isinstance(effect, Remind)] == [] or isinstance(
            event, RunStarted
        ), "only a run that starts while it is stopped is aborted each time that it is heard of"


def _asks(session: Session) -> tuple[Any, ...]:
    return session.phase.asks if isinstance(session.phase, Working) else ()


def _turn(session: Session) -> Turn:
    turn = live_turn(session)
    assert turn is not None
    return turn


def _open(session: Session) -> tuple[str, int, int] | None:
    """The question that is before people: which, its how-many-th part, the how-many-th time."""
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
