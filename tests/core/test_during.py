"""What happens during a run: messages, the plan, silence, waiting, trouble, interruption, the end."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Action, Failure, Response, Thought
from dragoman.core.effects import (
    AbortRun,
    DisposeInstance,
    Post,
    Remind,
    ResumeRun,
    ShowPlan,
    StartRun,
    SteerRun,
)
from dragoman.core.events import (
    Aborted,
    Answered,
    Broke,
    Compacted,
    Declined,
    Outcome,
    PatienceOver,
    PlanDue,
    Reasoned,
    RunInterrupted,
    RunRetrying,
    RunStalled,
    RunWaiting,
    Tool,
    ToolStarted,
)
from dragoman.core.limits import Rules
from dragoman.core.session import Resting, Starting, Stopping, Working
from dragoman.ids import PartId, activity_id
from tests.core.histories import DIRECTORY, Story, bodies, shown


# ── messages ─────────────────────────────────────────────────────────────
def test_a_message_steers_the_run_and_is_acknowledged() -> None:
    story = Story().works()
    acknowledged = story.writes("use tabs")
    assert bodies(acknowledged) == [wording.STEERED]
    (steer,) = story.all(SteerRun)
    assert steer.prompt.text == "use tabs"
    assert story.turn.messages[-1] == steer.message


def test_queue_makes_a_message_wait_for_the_end_of_the_turn() -> None:
    story = Story().works()
    assert bodies(story.writes("/queue then the docs")) == [wording.QUEUED]
    assert not story.all(SteerRun)
    followed = story.settles()
    assert [type(activity) for activity in shown(followed)] == [Response, Thought]
    assert story.all(StartRun)[-1].prompt.text == "then the docs"


def test_an_operator_may_let_every_message_wait() -> None:
    story = Story(Rules(while_busy="queue")).works()
    assert bodies(story.writes("then the docs")) == [wording.QUEUED]
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
    assert bodies(story.hear(Compacted(run=story.run, key="c1"))) == [wording.COMPACTED]
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


# ── waiting ──────────────────────────────────────────────────────────────
def test_waiting_is_told_once_a_cause() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    first = story.hear(RunWaiting(run=story.run, cause="opencode"))
    assert "OpenCode is not answering" in bodies(first)[0]
    assert story.hear(RunWaiting(run=story.run, cause="opencode")) == ()


def test_patience_with_opencode_ends_in_one_honest_final_and_the_next_message_tries_again() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.hear(RunWaiting(run=story.run, cause="opencode"))
    story.wait(605.0)
    (final,) = story.finals
    assert isinstance(final, Failure)
    assert "has not answered for 10 minutes" in final.body
    story.writes("again please")
    assert isinstance(story.phase, Starting)


def test_patience_with_a_repository_names_the_repository() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.hear(RunWaiting(run=story.run, cause="repository", detail="connection refused"))
    story.wait(605.0)
    assert "repository could not be reached" in story.finals[0].body


def test_our_own_queue_may_take_as_long_as_it_takes() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.hear(RunWaiting(run=story.run, cause="capacity"))
    story.wait(10_000.0)
    story.hear(PatienceOver(run=story.run))
    assert isinstance(story.phase, Starting)


def test_an_old_patience_timer_does_not_cut_a_newer_wait_short() -> None:
    story = Story().works()
    story.hear(RunWaiting(run=story.run, cause="opencode"))
    story.wait(300.0)
    story.says("prt_1", "Back again.")
    story.hear(RunWaiting(run=story.run, cause="opencode"))
    story.wait(301.0)
    assert isinstance(story.phase, Working)
    story.wait(305.0)
    assert isinstance(story.phase, Resting)
    assert len(story.finals) == 1


# ── trouble ──────────────────────────────────────────────────────────────
def test_a_retrying_provider_is_told_once_and_given_up_at_the_fifth_attempt() -> None:
    story = Story().works()
    assert "Trying again" in bodies(story.hear(RunRetrying(run=story.run, attempt=1, message="overloaded")))[0]
    for attempt in (2, 3, 4):
        assert story.hear(RunRetrying(run=story.run, attempt=attempt, message="overloaded")) == ()
    story.hear(RunRetrying(run=story.run, attempt=5, message="overloaded"))
    assert isinstance(story.phase, Stopping)
    assert len(story.all(AbortRun)) == 1
    story.aborts()
    assert isinstance(story.finals[0], Failure)
    assert "after 5 attempts" in story.finals[0].body


def test_a_provider_that_fails_for_three_minutes_is_given_up() -> None:
    story = Story().works()
    story.hear(RunRetrying(run=story.run, attempt=2, message="overloaded", since_s=180.0))
    assert isinstance(story.phase, Stopping)


def test_a_second_series_of_retries_is_told_under_an_id_of_its_own() -> None:
    story = Story().works()
    story.hear(RunRetrying(run=story.run, attempt=1, message="overloaded"))
    story.uses("prt_1", Tool(name="bash", input="{}"))
    story.hear(RunRetrying(run=story.run, attempt=1, message="rate limited"))
    posts = story.all(Post)
    assert len({post.id for post in posts}) == len(posts)
    assert "rate limited" in bodies(posts)[-1]


def test_a_stalled_run_is_ended_and_the_doubt_is_stated() -> None:
    story = Story().works()
    story.hear(RunStalled(run=story.run, minutes=20))
    story.wait(5.0)
    assert "nothing moved for 20 minutes" in story.finals[0].body
    assert wording.UNVERIFIED_END in story.finals[0].body


def test_a_run_that_waits_for_people_is_not_stalled() -> None:
    story = Story().works()
    story.asks()
    assert story.hear(RunStalled(run=story.run, minutes=20)) == ()


# ── interruption ─────────────────────────────────────────────────────────
def test_an_interrupted_run_without_tools_goes_on_with_the_same_message() -> None:
    story = Story().works()
    first = story.turn.messages[0]
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    (resume,) = story.all(ResumeRun)
    assert (resume.original, resume.tools, resume.attempt) == (first, False, 2)
    assert story.turn.messages == (first,)
    story.settles(newest=first)
    assert len(story.finals) == 1


def test_an_interrupted_run_with_tools_goes_on_with_a_new_message_that_says_so() -> None:
    story = Story().works()
    story.hear(RunInterrupted(run=story.run, tools=True, after=1))
    (resume,) = story.all(ResumeRun)
    assert resume.tools
    assert story.turn.messages[-1] == resume.message != resume.original
    assert story.settles(newest=resume.original) == (), "the answer to the older message is not the end"
    story.settles()
    assert len(story.finals) == 1


def test_after_a_steer_the_newest_message_is_the_one_that_goes_on() -> None:
    story = Story().works()
    story.writes("use tabs")
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    assert story.all(ResumeRun)[0].original == story.all(SteerRun)[0].message


def test_the_same_interruption_seen_twice_resumes_once() -> None:
    story = Story().works()
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    assert story.hear(RunInterrupted(run=story.run, tools=False, after=1)) == ()
    story.hear(RunInterrupted(run=story.run, tools=False, after=2))
    assert [resume.attempt for resume in story.all(ResumeRun)] == [2, 3]


def test_a_run_that_is_cut_again_and_again_ends_honestly() -> None:
    story = Story().works()
    for attempt in range(1, 6):
        story.hear(RunInterrupted(run=story.run, tools=False, after=attempt))
    assert len(story.all(ResumeRun)) == 4
    assert "interrupted 5 times" in story.finals[0].body
    assert isinstance(story.phase, Resting)


def test_an_answer_that_was_lost_with_the_run_is_given_again() -> None:
    story = Story().works()
    story.asks()
    story.writes("Red")
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    (resume,) = story.all(ResumeRun)
    assert resume.tools, "the agent must be told, so the same message again will not do"
    assert resume.note == "“Which colour?”: Red"


def test_an_answer_that_the_agent_has_heard_is_not_given_again() -> None:
    story = Story().works()
    story.asks()
    story.writes("Red")
    story.uses("prt_9", Tool(name="question", input="{}"))
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    assert story.all(ResumeRun)[0].note == ""


def test_an_interruption_while_a_question_is_open_shows_what_was_held_back_and_says_that_it_asks_again() -> None:
    story = Story().works()
    story.asks()
    story.says("prt_1", "Meanwhile.")
    followed = story.hear(RunInterrupted(run=story.run, tools=True, after=1))
    assert bodies(followed) == ["Meanwhile.", wording.ASKED_AGAIN_LATER]
    story.writes("Red")
    assert len(story.all(SteerRun)) == 1, "the old question is no longer open"


# ── the end ──────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "outcome,kind,words,after",
    [
        (Answered(text="Fixed."), Response, "Fixed.", "answered"),
        (Answered(text="  "), Response, wording.NO_WORDS, "answered"),
        (Broke(cause="rate_limit", message="429"), Failure, "limits our rate", "failed"),
        (Broke(cause="cut_off", message="", text="so far"), Failure, "so far", "failed"),
        (Declined(text=""), Response, wording.DECLINED, "answered"),
        (Declined(text="Then not."), Response, "Then not.", "answered"),
        (Aborted(), Failure, wording.ENDED_ELSEWHERE, "failed"),
    ],
)
def test_each_outcome_has_its_final(outcome: Outcome, kind: type, words: str, after: str) -> None:
    story = Story().works()
    followed = story.settles(outcome)
    (final,) = story.finals
    assert type(final) is kind
    assert words in final.body
    assert story.phase == Resting(after=after)  # type: ignore[arg-type]
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
