"""What happens during a run: messages, the work, the plan, silence, the end."""

from __future__ import annotations

from typing import Literal

import pytest

from dragoman.core import wording
from dragoman.core.activities import Action, Failure, Response, Thought
from dragoman.core.effects import (
    DisposeInstance,
    Post,
    Remind,
    SaveWork,
    ShowPlan,
    StartRun,
    SteerRun,
)
from dragoman.core.events.opencode import (
    Aborted,
    Answered,
    Broke,
    Compacted,
    Declined,
    Outcome,
    Reasoned,
    Tool,
    ToolStarted,
)
from dragoman.core.events.runs import RunFailed, RunWaiting
from dragoman.core.events.timers import PlanDue
from dragoman.core.limits import Rules
from dragoman.core.session import Resting, Working
from dragoman.ids import PartId, activity_id
from tests.core.histories import DIRECTORY, Story, bodies, shown


# ── messages ─────────────────────────────────────────────────────────────
def test_a_message_steers_the_run_and_is_acknowledged() -> None:
    story = Story().works()
    acknowledged = story.writes("use tabs")
    assert bodies(acknowledged) == [wording.waiting.STEERED]
    (steer,) = story.all(SteerRun)
    assert steer.prompt.text == "use tabs"
    assert story.turn.messages[-1] == steer.message


def test_queue_makes_a_message_wait_for_the_end_of_the_turn() -> None:
    story = Story().works()
    assert bodies(story.writes("/queue then the docs")) == [wording.waiting.QUEUED]
    assert not story.all(SteerRun)
    followed = story.settles()
    assert [type(activity) for activity in shown(followed)] == [Response, Thought]
    assert story.all(StartRun)[-1].prompt.text == "then the docs"


def test_each_line_of_the_conversation_belongs_to_its_own_turn_though_the_next_begins_at_once() -> None:
    story = Story().works()
    story.writes("/queue then the docs")
    story.settles()
    assert [(line.role, line.turn) for line in story.messages] == [("user", 1), ("assistant", 1), ("user", 2)]


def test_an_operator_may_let_every_message_wait() -> None:
    story = Story(Rules(while_busy="queue")).works()
    assert bodies(story.writes("then the docs")) == [wording.waiting.QUEUED]
    story.settles()
    assert story.all(StartRun)[-1].prompt.text == "then the docs"


def test_a_word_that_only_begins_like_queue_is_no_command() -> None:
    story = Story().works()
    story.writes("/queues are wrong here")
    assert len(story.all(SteerRun)) == 1


def test_queue_means_nothing_while_nothing_runs() -> None:
    story = Story().works()
    story.settles()
    story.writes("/queue the docs")
    assert story.all(StartRun)[-1].prompt.text == "the docs"


def test_waiting_messages_run_one_turn_each_in_their_order() -> None:
    story = Story().works()
    story.writes("/queue one")
    story.writes("/queue two")
    for _ in range(3):
        story.starts()
        story.settles()
    assert [start.prompt.text for start in story.all(StartRun)] == ["please fix it", "one", "two"]
    assert len(story.finals) == 3


# ── what people see of the work ──────────────────────────────────────────
def test_a_tool_is_shown_fleeting_while_it_runs_and_for_good_when_it_is_done() -> None:
    story = Story().works()
    followed = story.uses("prt_1", Tool(name="bash", input='{"command":"pytest"}', output="3 passed"))
    assert shown(followed) == [
        Action(verb="Running", subject="pytest", fleeting=True),
        Action(verb="Ran", subject="pytest", result="```\n3 passed\n```"),
    ]


def test_reasoning_and_text_between_tools_are_thoughts_and_never_blank() -> None:
    story = Story().works()
    assert story.says("prt_1", "  \n ") == ()
    followed = story.hear(Reasoned(run=story.run, part=PartId("prt_2"), text="The bug is in the parser."))
    assert shown(followed) == [Thought(body="The bug is in the parser.")]


def test_a_failed_tool_is_a_result_and_no_error_of_the_session() -> None:
    story = Story().works()
    followed = story.uses("prt_1", Tool(name="bash", input='{"command":"false"}', output="exit 1"), failed=True)
    assert shown(followed)[-1] == Action(verb="Ran", subject="false", result="Failed:\n```\nexit 1\n```")
    assert isinstance(story.phase, Working)


def test_a_compaction_is_told_once() -> None:
    story = Story().works()
    assert bodies(story.hear(Compacted(run=story.run, key="c1"))) == [wording.during.COMPACTED]
    assert story.hear(Compacted(run=story.run, key="c1")) == ()


# ── the plan ─────────────────────────────────────────────────────────────
def test_the_first_plan_is_shown_at_once_and_as_it_was_written() -> None:
    story = Story().works()
    story.plans(("Read", "in_progress"), ("Fix", "pending"))
    assert story.plans_shown == [[("Read", "in_progress"), ("Fix", "pending")]]


def test_later_plans_are_shown_together_after_a_while() -> None:
    story = Story().works()
    story.plans(("Read", "in_progress"))
    story.plans(("Read", "completed"))
    story.plans(("Read", "completed"), ("Fix", "in_progress"))
    assert len(story.plans_shown) == 1
    story.wait(2.0)
    assert story.plans_shown[1:] == [[("Read", "completed"), ("Fix", "in_progress")]]
    story.wait(60.0)
    assert len(story.plans_shown) == 2


def test_a_plan_that_did_not_change_is_not_shown_again() -> None:
    story = Story().works()
    story.plans(("Read", "pending"))
    story.wait(10.0)
    assert story.plans(("Read", "pending")) == ()


def test_a_plan_timer_that_nobody_waits_for_shows_nothing() -> None:
    story = Story().works()
    story.plans(("Read", "pending"))
    assert story.hear(PlanDue(run=story.run)) == ()


def test_what_is_open_at_the_end_is_cancelled_and_never_called_completed() -> None:
    story = Story().works()
    story.plans(("Read", "completed"), ("Fix", "in_progress"), ("Test", "pending"))
    followed = story.settles()
    assert story.plans_shown[-1] == [("Read", "completed"), ("Fix", "cancelled"), ("Test", "cancelled")]
    kinds = [type(effect) for effect in followed]
    assert kinds.index(ShowPlan) < kinds.index(Post), "the plan is closed before the final activity"


def test_a_plan_that_was_not_shown_yet_is_shown_at_the_end() -> None:
    story = Story().works()
    story.plans(("Read", "in_progress"))
    story.plans(("Read", "completed"))
    story.settles()
    assert story.plans_shown[-1] == [("Read", "completed")]


def test_a_finished_plan_is_not_shown_twice() -> None:
    story = Story().works()
    story.plans(("Read", "completed"))
    story.settles()
    assert len(story.plans_shown) == 1


# ── silence ──────────────────────────────────────────────────────────────
def test_a_silent_turn_says_that_it_still_works() -> None:
    story = Story().works()
    assert "Still working" in bodies(story.wait(600.0))[0]
    assert len(shown(story.wait(600.0))) == 1


def test_a_turn_that_speaks_needs_no_heartbeat() -> None:
    story = Story().works()
    story.wait(400.0)
    story.says("prt_1", "I look around.")
    assert shown(story.wait(599.0)) == []
    assert len(shown(story.wait(2.0))) == 1


def test_a_heartbeat_says_what_is_waited_for() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.hear(RunWaiting(run=story.run, cause="capacity"))
    assert "queue" in bodies(story.wait(600.0))[0]


def test_no_heartbeat_while_a_question_is_open_and_one_again_afterwards() -> None:
    story = Story().works()
    story.asks()
    assert shown(story.wait(3_000.0)) == []
    story.writes("Red")
    assert len(shown(story.wait(1_200.0))) >= 1


# ── the end ──────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "outcome,kind,words,after",
    [
        (Answered(text="Fixed."), Response, "Fixed.", "answered"),
        (Answered(text="  "), Response, wording.ending.NO_WORDS, "answered"),
        (Broke(cause="rate_limit", message="429"), Failure, "limits our rate", "failed"),
        (Broke(cause="cut_off", message="", text="so far"), Failure, "so far", "failed"),
        (Declined(text=""), Response, wording.ending.DECLINED, "answered"),
        (Declined(text="Then not."), Response, "Then not.", "answered"),
        (Aborted(), Failure, wording.ending.ENDED_ELSEWHERE, "failed"),
    ],
)
def test_each_outcome_has_its_final(
    outcome: Outcome, kind: type, words: str, after: Literal["answered", "failed"]
) -> None:
    story = Story().works()
    followed = story.settles(outcome)
    (final,) = story.finals
    assert type(final) is kind
    assert words in final.body
    assert story.phase == Resting(after=after)
    assert isinstance(followed[-1], DisposeInstance)
    assert followed[-1].directory == DIRECTORY


def test_the_id_of_the_final_depends_on_session_and_turn_alone() -> None:
    answered, stopped = Story().works(), Story().works()
    answered.settles()
    stopped.stops()
    stopped.aborts()
    assert answered.all(Post)[-1].id == stopped.all(Post)[-1].id == activity_id(answered.session.id, 1)


def test_an_end_that_crosses_with_a_steer_waits_for_the_answer_to_the_newest_message() -> None:
    story = Story().works()
    first = story.turn.messages[-1]
    story.writes("use tabs")
    assert story.settles(newest=first) == ()
    assert isinstance(story.phase, Working)
    story.settles(Answered(text="Fixed, with tabs."))
    assert [final.body for final in story.finals] == ["Fixed, with tabs."]


def test_late_news_of_a_run_that_ended_changes_nothing() -> None:
    story = Story().works()
    run = story.run
    story.settles()
    before = story.session
    assert story.hear(ToolStarted(run=run, part=PartId("prt_9"), tool=Tool(name="bash", input=""))) == ()
    assert shown(story.wait(10_000.0)) == []
    assert story.session == before


def test_a_final_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    story = Story().works()
    story.settles(Answered(text="Begun. " + "x" * 30_000 + " Ended."))
    body = story.finals[0].body
    assert len(body) <= 20_000
    assert body.startswith("Begun.")
    assert body.endswith("Ended.")
    assert "left out" in body


def test_failures_in_a_row_are_counted_and_forgotten_at_the_next_answer() -> None:
    story = Story().works()
    story.settles(Aborted())
    story.writes("again")
    story.starts()
    story.settles(Aborted())
    assert story.session.failures == 2
    story.writes("again")
    story.starts()
    story.settles()
    assert story.session.failures == 0


def test_only_one_heartbeat_is_on_its_way_at_a_time() -> None:
    story = Story().works()
    story.wait(6_000.0)
    beats = [effect for effect in story.all(Remind) if type(effect.event).__name__ == "HeartbeatDue"]
    assert len(beats) == 11


# ── what is kept of the work ─────────────────────────────────────────────
def test_a_workspace_that_may_have_changed_is_saved_now_and_then_and_at_the_end() -> None:
    story = Story(Rules(checkpoint_s=300.0)).works()
    story.wait(1_000.0)
    assert not story.all(SaveWork)
    story.hear(ToolStarted(run=story.run, part=PartId("prt_1"), tool=Tool(name="edit", input="{}")))
    assert not story.all(SaveWork)
    story.wait(901.0)
    assert len(story.all(SaveWork)) == 3
    story.hear(RunFailed(run=story.run, reason="it broke"))
    story.aborts()
    assert len(story.all(SaveWork)) == 4
    story.wait(1_000.0)
    assert len(story.all(SaveWork)) == 4


def test_a_turn_that_only_looked_saves_nothing() -> None:
    story = Story().works()
    story.hear(ToolStarted(run=story.run, part=PartId("prt_1"), tool=Tool(name="read", input="{}")))
    story.settles()
    assert not story.all(SaveWork)
