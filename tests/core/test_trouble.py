"""Waiting for others, providers that fail, runs that stall or are cut."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Failure
from dragoman.core.effects import (
    AbortRun,
    Post,
    ResumeRun,
    SteerRun,
)
from dragoman.core.events.opencode import RunInterrupted, RunRetrying, RunStalled, Tool
from dragoman.core.events.runs import RunWaiting
from dragoman.core.events.timers import PatienceOver
from dragoman.core.session import Resting, Starting, Stopping, Working
from dragoman.ids import MessageId
from tests.core.histories import Story, bodies


# ── waiting ──────────────────────────────────────────────────────────────
def test_waiting_is_told_once_a_cause() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    first = story.hear(RunWaiting(run=story.run, cause="opencode"))
    assert "OpenCode is not answering" in bodies(first)[0]
    assert "start as soon as it is back" in bodies(first)[0]
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
    assert wording.ending.UNVERIFIED_END in story.finals[0].body


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


def test_a_resume_is_open_until_its_own_attempt_is_told() -> None:
    story = Story().works()
    story.hear(RunInterrupted(run=story.run, tools=False, after=1))
    assert story.turn.resuming
    story.starts()  # OpenCode is there again, but was not yet told to go on
    assert story.turn.resuming
    story.starts(attempt=2)
    assert not story.turn.resuming


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


def test_a_message_that_waits_for_opencode_takes_the_word_of_the_cut_along() -> None:
    story = Story().works()
    (first,) = story.turn.messages
    story.writes("use tabs")
    (steer,) = story.all(SteerRun)
    story.hear(RunInterrupted(run=story.run, tools=True, after=1, newest=first))
    (resume,) = story.all(ResumeRun)
    assert (resume.tools, resume.message, resume.part) == (True, steer.message, steer.part)
    assert story.turn.messages == (first, steer.message), "nothing stands behind the person's words"
    assert story.settles(newest=first) == ()
    story.settles(newest=steer.message)
    assert len(story.finals) == 1


def test_of_several_messages_that_wait_the_first_takes_the_word_along_and_the_last_is_answered() -> None:
    story = Story().works()
    (first,) = story.turn.messages
    story.writes("use tabs")
    story.writes("and no semicolons")
    story.hear(RunInterrupted(run=story.run, tools=True, after=1, newest=first))
    (resume,) = story.all(ResumeRun)
    tabs, semicolons = story.all(SteerRun)
    assert resume.message == tabs.message
    assert story.turn.messages == (first, tabs.message, semicolons.message)


def test_a_lost_answer_goes_with_the_message_that_waits() -> None:
    story = Story().works()
    (first,) = story.turn.messages
    story.asks()
    story.writes("Red")
    story.writes("use tabs")
    story.hear(RunInterrupted(run=story.run, tools=True, after=1, newest=first))
    (resume,) = story.all(ResumeRun)
    assert resume.message == story.all(SteerRun)[0].message
    assert resume.note == "“Which colour?”: Red"


@pytest.mark.parametrize("seen", ["the steering one", None, MessageId("msg_of_nobody")])
def test_when_no_message_waits_the_word_of_the_cut_is_one_of_its_own(seen: MessageId | None) -> None:
    story = Story().works()
    story.writes("use tabs")
    given = story.turn.messages
    newest = given[-1] if seen == "the steering one" else seen
    story.hear(RunInterrupted(run=story.run, tools=True, after=1, newest=newest))
    (resume,) = story.all(ResumeRun)
    assert story.turn.messages == (*given, resume.message)


def test_a_cut_without_tools_needs_no_word_and_the_message_that_waits_sets_the_run_going() -> None:
    story = Story().works()
    (first,) = story.turn.messages
    story.writes("use tabs")
    story.hear(RunInterrupted(run=story.run, tools=False, after=1, newest=first))
    (resume,) = story.all(ResumeRun)
    assert (resume.tools, resume.original) == (False, story.all(SteerRun)[0].message)


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
    assert bodies(followed) == ["Meanwhile.", wording.during.ASKED_AGAIN_LATER]
    story.writes("Red")
    assert len(story.all(SteerRun)) == 1, "the old question is no longer open"
