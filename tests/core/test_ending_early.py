"""Stop at every phase, withdrawal, and what was written before."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Failure, Response
from dragoman.core.effects import AbortRun, ClearWorkspace, Remind, StartRun
from dragoman.core.events.linear import StopRequested, Withdrawn
from dragoman.core.events.opencode import RunStalled, Tool
from dragoman.core.events.runs import RunAborted, RunFailed
from dragoman.core.events.timers import StopDue
from dragoman.core.session import Closed, Resting, Starting, Working
from tests.core.histories import DIRECTORY, THREAD, Story, answer, bodies, shown


def test_stop_aborts_at_once_and_confirms_once_the_abort_is_verified() -> None:
    story = Story().works()
    followed = story.stops()
    assert story.all(AbortRun) == [AbortRun(run=story.run, thread=THREAD, directory=DIRECTORY)]
    assert shown(followed) == []
    assert answer(story.aborts()).startswith("Stopped.")
    assert isinstance(story.phase, Resting)


def test_stop_is_confirmed_within_five_seconds_even_if_the_abort_is_not() -> None:
    story = Story().works()
    story.stops()
    said = answer(story.wait(5.0))
    assert "as far as I can tell" in said
    assert wording.ending.NOT_CONFIRMED in said


def test_stop_says_what_could_not_be_verified() -> None:
    story = Story().works()
    story.stops()
    assert "A shell command ignores the signal." in answer(
        story.aborts(verified=False, detail="a shell command ignores the signal")
    )


def test_stop_while_the_issue_is_read_starts_nothing() -> None:
    story = Story()
    story.opens()
    story.stops()
    assert story.reads_issue() == ()
    story.aborts()
    assert not story.all(StartRun)
    assert len(story.finals) == 1


def test_stop_before_the_run_has_started_aborts_it_once_it_has() -> None:
    story = Story()
    story.opens()
    story.reads_issue()
    story.stops()
    story.starts()
    assert [abort.thread for abort in story.all(AbortRun)] == [None, THREAD]
    story.aborts()
    assert len(story.finals) == 1


def test_stop_with_an_open_question_shows_nothing_but_the_end() -> None:
    story = Story().works()
    story.asks()
    story.says("prt_1", "Held back.")
    before = len(story.shown)
    story.stops()
    story.aborts()
    assert [type(activity) for activity in story.shown[before:]] == [Response]


def test_nothing_is_shown_between_stop_and_its_end() -> None:
    story = Story().works()
    story.stops()
    assert story.says("prt_1", "I go on!") == ()
    assert story.uses("prt_2", Tool(name="bash", input="{}")) == ()
    assert story.asks() == ()
    assert story.settles() == ()
    assert story.hear(RunFailed(run=story.run, reason="It never began.")) == ()


def test_stop_twice_is_one_stop() -> None:
    story = Story().works()
    story.stops()
    story.now += 1.0
    assert story.stops() == ()
    story.aborts()
    assert len(story.finals) == 1


def test_stop_when_nothing_runs_says_so() -> None:
    story = Story().works()
    story.settles()
    assert answer(story.stops()) == wording.ending.NOTHING_RUNNING
    assert isinstance(story.phase, Resting)


def test_the_next_message_after_a_stop_works() -> None:
    story = Story().works()
    story.stops()
    story.aborts()
    story.now += 1.0
    story.writes("go on")
    assert story.all(StartRun)[-1].prompt.text == "go on"


def test_a_message_during_the_stop_begins_a_turn_after_it() -> None:
    story = Story().works()
    story.stops()
    story.now += 1.0
    assert story.writes("go on differently") == ()
    followed = story.aborts()
    assert bodies(followed) == [answer(followed), "On it: “go on differently”"]
    assert len(story.all(StartRun)) == 2


def test_a_message_written_before_the_stop_that_comes_after_it_is_not_started_and_the_person_is_told() -> None:
    story = Story().works()
    story.stops()
    story.aborts()
    assert answer(story.writes("also this", ago=10.0)) == wording.ending.WRITTEN_BEFORE_STOP
    assert len(story.all(StartRun)) == 1


def test_a_late_message_during_the_stop_is_counted_in_its_end() -> None:
    story = Story().works()
    story.stops()
    story.writes("also this", ago=10.0)
    assert "1 waiting message was not started" in answer(story.aborts())
    assert isinstance(story.phase, Resting)


def test_a_late_message_in_a_later_turn_does_not_steer_it() -> None:
    story = Story().works()
    story.stops()
    story.aborts()
    story.now += 1.0
    story.writes("go on")
    story.starts()
    assert bodies(story.writes("from before", ago=10.0)) == [wording.ending.WRITTEN_BEFORE_STOP]
    assert isinstance(story.phase, Working)


def test_what_waits_when_stop_is_pressed_is_not_started_and_the_end_says_so() -> None:
    story = Story().works()
    story.writes("/queue one")
    story.writes("/queue two")
    story.now += 1.0
    story.stops()
    assert "2 waiting messages were not started" in answer(story.aborts())
    assert isinstance(story.phase, Resting)


def test_a_stop_that_is_late_leaves_alone_what_was_written_after_it() -> None:
    story = Story().works()
    story.now += 60.0
    story.writes("/queue written after the stop")
    story.stops(ago=30.0)
    story.aborts()
    assert story.all(StartRun)[-1].prompt.text == "written after the stop"


def test_a_stop_from_far_in_the_future_does_not_lock_out_later_messages() -> None:
    story = Story().works()
    story.hear(StopRequested(sent_at=story.now * 1_000))
    story.aborts()
    story.now += 120.0
    story.writes("go on")
    assert isinstance(story.phase, Starting)


def test_stop_during_our_own_end_of_a_run_is_a_persons_stop() -> None:
    story = Story().works()
    story.hear(RunStalled(run=story.run, minutes=20))
    story.stops()
    assert answer(story.aborts()).startswith("Stopped.")


def test_an_abort_that_nobody_waits_for_any_more_changes_nothing() -> None:
    story = Story().works()
    before = story.session
    assert story.hear(RunAborted(run=story.run, verified=True)) == ()
    assert story.hear(StopDue(run=story.run)) == ()
    assert story.session == before


# ── withdrawn ────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "withdrawn,words",
    [
        (Withdrawn(reason="unassigned"), "unassigned"),
        (Withdrawn(reason="issue_completed"), "completed"),
        (Withdrawn(reason="issue_canceled"), "canceled"),
        (Withdrawn(reason="app_revoked"), "revoked"),
    ],
)
def test_withdrawal_ends_the_work_with_one_word_about_why(withdrawn: Withdrawn, words: str) -> None:
    story = Story().works()
    story.hear(withdrawn)
    assert words in answer(story.aborts())
    assert story.phase == Closed(reason=withdrawn.reason)
    assert len(story.all(ClearWorkspace)) == 1  # what lies there is saved first


def test_withdrawal_of_a_resting_session_closes_it_silently() -> None:
    story = Story().works()
    story.settles()
    assert story.hear(Withdrawn(reason="issue_completed")) == (ClearWorkspace(),)
    assert story.phase == Closed(reason="issue_completed")


def test_what_waits_at_a_withdrawal_is_not_started_and_the_end_says_so() -> None:
    story = Story().works()
    story.writes("/queue one")
    story.hear(Withdrawn(reason="unassigned"))
    assert "1 waiting message was not started" in answer(story.aborts())
    assert isinstance(story.phase, Closed)


def test_a_message_after_a_withdrawal_opens_the_session_again_when_the_end_has_come() -> None:
    story = Story().works()
    story.hear(Withdrawn(reason="unassigned"))
    story.writes("no, please go on")
    story.aborts()
    assert isinstance(story.phase, Starting)


def test_withdrawal_during_a_stop_closes_the_session() -> None:
    story = Story().works()
    story.stops()
    story.writes("/queue one")
    assert story.hear(Withdrawn(reason="unassigned")) == ()
    said = answer(story.aborts())
    assert "unassigned" in said
    assert "1 waiting message was not started" in said
    assert story.phase == Closed(reason="unassigned")


def test_withdrawal_with_an_open_question_shows_what_was_held_back() -> None:
    story = Story().works()
    story.asks()
    story.says("prt_1", "Held back.")
    assert bodies(story.hear(Withdrawn(reason="unassigned"))) == ["Held back."]


def test_what_waits_during_our_own_end_of_a_run_begins_after_it() -> None:
    story = Story().works()
    story.hear(RunStalled(run=story.run, minutes=20))
    story.writes("try again")
    followed = story.aborts()
    assert isinstance(shown(followed)[0], Failure)
    assert story.all(StartRun)[-1].prompt.text == "try again"
    assert [e for e in followed if isinstance(e, Remind)]
