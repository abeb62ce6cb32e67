"""How turns begin: mentions, delegations, what comes too early, what comes too often."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Response, Thought
from dragoman.core.effects import BeginIssue, Post, ReadIssue, Remind, StartRun, SteerRun
from dragoman.core.events.linear import Prompted, SessionOpened, Withdrawn
from dragoman.core.events.runs import RunFailed
from dragoman.core.events.timers import StopDue
from dragoman.core.session import Closed, Resting, Starting, Working
from dragoman.core.status import status
from tests.builders import a_person, a_prompt, an_issue
from tests.core.histories import THREAD, Story, bodies, shown


def test_the_first_thought_comes_before_anything_slow_is_asked_for() -> None:
    story = Story()
    first, second, *_ = story.opens()
    assert isinstance(first, Post)
    assert isinstance(first.activity, Thought)
    assert "Session Started" in first.activity.body
    assert "ENG-12" in first.activity.body
    assert isinstance(second, ReadIssue)


def test_the_run_starts_when_the_issue_was_read() -> None:
    story = Story()
    story.opens("fix it")
    assert not story.all(StartRun)
    story.reads_issue()
    (start,) = story.all(StartRun)
    assert start.prompt.text == "fix it"
    assert story.session.issue is not None
    assert story.session.issue.branch_name == "ann/eng-12"


def test_the_run_starts_without_the_issue_when_linear_did_not_tell_it() -> None:
    story = Story()
    story.opens()
    story.reads_issue(found=False)
    assert len(story.all(StartRun)) == 1
    assert not story.session.issue_read


def test_the_issue_is_read_once_a_session_and_again_only_if_that_failed() -> None:
    story = Story()
    story.opens()
    story.reads_issue(found=False)
    story.starts()
    story.settles()
    story.writes("more")
    assert len(story.all(ReadIssue)) == 2
    story.reads_issue()
    story.starts()
    story.settles()
    story.writes("and more")
    assert len(story.all(ReadIssue)) == 2


def test_an_issue_that_is_read_again_does_not_start_the_run_again() -> None:
    story = Story().works()
    assert story.reads_issue() == ()
    assert len(story.all(StartRun)) == 1


def test_a_session_without_an_issue_starts_at_once() -> None:
    story = Story()
    story.opens(with_issue=False)
    assert len(story.all(StartRun)) == 1
    assert not story.all(ReadIssue)
    assert story.all(BeginIssue) == [BeginIssue(issue=None, start=False, delegate=False)]


def test_a_session_without_a_creator_is_an_automations_and_moves_no_issue() -> None:
    story = Story()
    story.opens(kind="delegation", by=None)
    story.reads_issue()
    assert story.session.creator is None
    assert not story.all(BeginIssue)[0].start


def test_an_issue_is_moved_only_when_a_person_delegated_it() -> None:
    delegated, mentioned = Story(), Story()
    delegated.opens(kind="delegation")
    mentioned.opens(kind="mention")
    delegated.reads_issue()
    mentioned.reads_issue()
    assert [effect.start for effect in delegated.all(BeginIssue)] == [True]
    assert [effect.start for effect in mentioned.all(BeginIssue)] == [False]


def test_a_message_before_the_session_was_opened_begins_the_turn_and_the_opening_joins_it() -> None:
    story = Story()
    story.writes("fix this first")
    followed = story.opens("@agent please", kind="mention")
    assert story.all(StartRun)[0].prompt.text == "fix this first"
    assert [effect.prompt.text for effect in story.all(SteerRun)] == ["@agent please"]
    assert len(shown(followed)) == 1
    story.starts()
    story.settles()
    assert len(story.finals) == 1


def test_a_delegation_that_was_overtaken_by_a_message_still_moves_the_issue() -> None:
    story = Story()
    story.writes("fix this first")
    story.opens("", kind="delegation")
    assert [effect.start for effect in story.all(BeginIssue)] == [False, True]


def test_a_delegation_that_was_overtaken_while_the_issue_is_read_moves_it_too() -> None:
    story = Story()
    story.hear(Prompted(prompt=a_prompt("do this first"), issue=an_issue()))
    story.opens("", kind="delegation")
    story.reads_issue()
    assert [effect.start for effect in story.all(BeginIssue)] == [True]


def test_what_is_written_while_the_issue_is_read_follows_the_prompt_in_order() -> None:
    story = Story()
    story.opens("first")
    acknowledged = story.writes("second") + story.writes("third")
    assert len(shown(acknowledged)) == 2
    story.reads_issue()
    kinds = [e for e in story.effects if isinstance(e, StartRun | SteerRun)]
    assert [effect.prompt.text for effect in kinds] == ["first", "second", "third"]
    assert story.turn.messages == tuple(effect.message for effect in kinds)


def test_a_run_that_cannot_be_started_ends_with_the_reason() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.hear(RunFailed(run=story.run, reason="No repository serves team ENG."))
    assert [final.body for final in story.finals] == ["No repository serves team ENG."]
    assert status(story.session) == "active"
    assert story.session.failures == 1


def test_a_run_that_fails_before_it_was_asked_for_ends_too() -> None:
    story = Story()
    story.opens()
    story.hear(RunFailed(run=story.run, reason="The ledger of this host is gone."))
    assert isinstance(story.phase, Resting)


def test_a_run_that_fails_while_it_works_is_aborted_before_the_next_one_begins() -> None:
    story = Story().works()
    story.writes("/queue next")
    story.hear(RunFailed(run=story.run, reason="The message could not be sent."))
    assert len(story.all(StartRun)) == 1
    story.aborts()
    assert [final.body for final in story.finals] == ["The message could not be sent."]
    assert story.all(StartRun)[1].prompt.text == "next"


def test_one_session_over_the_limit_gets_one_reply_and_the_next_ones_silence() -> None:
    told, silent = Story(), Story()
    told.opens(crowd=21, limit=20)
    silent.opens(crowd=22, limit=20)
    assert [type(activity) for activity in told.shown] == [Response]
    assert "SESSION_MAX_PER_ISSUE_HOUR" in told.finals[0].body
    assert silent.shown == []
    assert not told.all(StartRun) + silent.all(StartRun)


def test_at_the_limit_and_without_one_sessions_run() -> None:
    at_the_limit, without = Story(), Story()
    at_the_limit.opens(crowd=20, limit=20)
    without.opens(crowd=500, limit=0)
    assert isinstance(at_the_limit.phase, Starting)
    assert isinstance(without.phase, Starting)


def test_a_session_that_has_begun_is_not_refused_when_its_opening_comes_late() -> None:
    story = Story()
    story.writes("do this")
    story.opens("please", crowd=21, limit=20)
    assert not story.finals
    assert isinstance(story.phase, Starting)


def test_a_follow_up_goes_on_in_the_same_thread_under_a_new_run() -> None:
    story = Story().works()
    story.settles()
    followed = story.writes("now the docs")
    assert story.session.thread == THREAD
    assert [effect.run for effect in story.all(StartRun)] == [f"{story.session.id}/1", f"{story.session.id}/2"]
    assert bodies(followed) == ["On it: “now the docs”"]
    assert [e for e in followed if isinstance(e, Remind)]


def test_a_message_reopens_a_session_that_was_withdrawn() -> None:
    story = Story().works()
    story.settles()
    story.hear(Withdrawn(reason="unassigned"))
    assert story.phase == Closed(reason="unassigned")
    assert status(story.session) == "completed"
    story.writes("one more thing")
    assert isinstance(story.phase, Starting)


def test_the_same_delivery_again_changes_nothing() -> None:
    story = Story().works()
    before = story.session
    for _ in range(5):
        assert story.opens() == ()
    assert story.session is before


def test_the_status_follows_the_life_of_the_session() -> None:
    story = Story()
    assert status(story.session) == "creating"
    story.opens()
    assert status(story.session) == "creating"
    story.reads_issue()
    story.starts()
    assert status(story.session) == "active"
    story.stops()
    assert status(story.session) == "active"
    story.aborts()
    assert status(story.session) == "active"


def test_news_of_opencode_in_a_run_that_was_not_handed_over_yet_changes_nothing() -> None:
    story = Story()
    story.opens()
    before = story.session
    assert story.says("prt_1", "Hello") == ()
    assert story.hear(StopDue(run=story.run)) == ()
    assert story.session == before


def test_the_creator_is_who_opened_the_session() -> None:
    story = Story()
    story.hear(SessionOpened(issue=an_issue(), prompt=a_prompt()))
    assert story.session.creator == a_person()


def test_the_first_sign_of_life_counts_as_a_start_even_when_its_news_is_late() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.says("prt_1", "I look around.")
    assert isinstance(story.phase, Working)
    story.starts()
    assert story.session.thread == THREAD


def test_a_delegation_that_comes_during_a_simple_answer_waits_and_becomes_a_session() -> None:
    story = Story()
    story.writes("what is this?")
    story.opens("", kind="delegation")
    assert len(story.session.queued) == 1
    assert [effect.start for effect in story.all(BeginIssue)] == [False]
    story.starts()
    story.settles()
    story.reads_issue()
    assert [effect.start for effect in story.all(BeginIssue)] == [False, True]
    assert story.session.choice is not None
    assert story.session.choice.mode == "session"
    assert story.session.thread is None


@pytest.mark.parametrize("worked_before", [False, True])
def test_a_session_that_only_got_the_guide_is_completed_and_one_with_work_goes_on(worked_before: bool) -> None:
    story = Story()
    if worked_before:
        story.works().settles()
    turns = story.session.turns
    followed = story.writes("help") if worked_before else story.opens("help")
    assert bodies(followed) == [wording.beginning.GUIDE]
    assert story.session.turns == turns + 1
    assert story.session.phase == (Resting(after="answered") if worked_before else Closed(reason="answered"))
    assert status(story.session) == ("active" if worked_before else "completed")
    story.writes("then fix it")
    assert isinstance(story.session.phase, Starting)
