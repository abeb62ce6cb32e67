"""The status of a session: what brings it about, what may follow what, and what a later message does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import pytest
from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.activities import Failure
from dragoman.core.effects import DisposeInstance, StartRun
from dragoman.core.events.linear import Withdrawn
from dragoman.core.events.opencode import Broke
from dragoman.core.events.operators import (
    CompletionRequested,
    MessageAdded,
    ReactivationRequested,
    SessionExpired,
    StatusRequested,
)
from dragoman.core.limits import Rules
from dragoman.core.session import Closed, Resting, Starting, Working, urgency
from dragoman.core.status import Status, may_change, status
from tests.builders import a_session, an_issue
from tests.core.histories import DIRECTORY, THREAD, Story, answer

BROKE = Broke(cause="server", message="500")
HALF_AN_HOUR = 1_800.0


def resting() -> Story:
    story = Story().works()
    story.settles()
    return story


def failing(turns: int) -> Story:
    story = Story().works()
    story.settles(BROKE)
    for _ in range(turns - 1):
        story.writes("again")
        story.starts()
        story.settles(BROKE)
    return story


def expired() -> Story:
    story = resting()
    story.wait(HALF_AN_HOUR)
    story.hear(SessionExpired())
    return story


def completed() -> Story:
    story = resting()
    story.hear(CompletionRequested(reason="Task completed"))
    return story


IN_STATUS = {
    "creating": Story,
    "active": resting,
    "completed": completed,
    "error": lambda: failing(3),
    "timeout": expired,
}


# ── what a status is ─────────────────────────────────────────────────────
def test_a_session_is_creating_until_its_agent_has_begun_and_active_while_it_rests() -> None:
    story = Story()
    seen = [status(story.session)]
    for happens in (story.opens, story.reads_issue, story.starts, story.settles):
        happens()
        seen.append(status(story.session))
    assert seen == ["creating", "creating", "creating", "active", "active"]


def test_a_session_that_has_begun_is_not_creating_again() -> None:
    story = Story()
    story.hear(CompletionRequested())
    story.hear(ReactivationRequested())
    assert status(story.session) == "active"
    story.opens()
    assert status(story.session) == "active"


def test_three_failed_turns_in_a_row_are_an_error_and_two_are_not() -> None:
    assert status(failing(2).session) == "active"
    assert status(failing(3).session) == "error"


def test_a_turn_that_goes_well_ends_the_row_of_failures() -> None:
    story = failing(2)
    story.writes("again")
    story.starts()
    story.settles()
    story.writes("once more")
    story.starts()
    story.settles(BROKE)
    assert status(story.session) == "active"


def test_a_message_after_an_error_is_worked_on_and_an_answer_ends_the_error() -> None:
    story = failing(3)
    story.writes("again")
    assert status(story.session) == "active"
    story.starts()
    story.settles()
    assert status(story.session) == "active"


@pytest.mark.parametrize("reason", ["issue_completed", "issue_canceled", "unassigned"])
def test_a_session_is_completed_when_its_issue_is_closed_or_the_agent_unassigned(
    reason: Literal["issue_completed", "issue_canceled", "unassigned"],
) -> None:
    story = resting()
    story.hear(Withdrawn(reason=reason))
    assert status(story.session) == "completed"


@pytest.mark.parametrize("wanted", [one for one in get_args(Status) if one != "creating"])
@pytest.mark.parametrize("known", get_args(Status))
def test_a_status_set_by_hand_changes_only_what_may_change(
    known: Status, wanted: Literal["active", "completed", "error", "timeout"]
) -> None:
    story = IN_STATUS[known]()
    assert status(story.session) == known
    before = story.session
    story.hear(StatusRequested(status=wanted))
    if may_change(known, wanted):
        assert status(story.session) == wanted
    else:
        assert story.session == before


def test_what_may_follow_what() -> None:
    order = get_args(Status)
    table = {before: "".join("x" if may_change(before, after) else "." for after in order) for before in order}
    assert order == ("creating", "active", "completed", "error", "timeout")
    assert table == {
        "creating": "xxxxx",
        "active": ".xxxx",
        "completed": ".xx..",
        "error": ".xxx.",
        "timeout": ".xx.x",
    }


# ── time ─────────────────────────────────────────────────────────────────
def test_a_session_times_out_at_rest_silently_with_a_line_in_its_conversation_and_its_instance_is_freed() -> None:
    story = resting()
    before = len(story.shown)
    story.wait(HALF_AN_HOUR)
    assert story.hear(SessionExpired()) == (DisposeInstance(directory=DIRECTORY),)
    assert story.phase == Closed(reason="timeout")
    assert story.messages[-1].text == "Session timed out after 30 minutes"
    assert story.messages[-1].role == "system"
    assert len(story.shown) == before


def test_a_session_does_not_time_out_early() -> None:
    story = resting()
    story.wait(HALF_AN_HOUR - 1)
    assert story.hear(SessionExpired()) == ()
    assert status(story.session) == "active"


def test_a_message_or_a_line_of_the_history_begins_the_time_anew() -> None:
    story = resting()
    story.wait(HALF_AN_HOUR - 1)
    story.hear(MessageAdded(role="user", text="I have not forgotten."))
    story.wait(HALF_AN_HOUR - 1)
    story.hear(SessionExpired())
    assert status(story.session) == "active"


@pytest.mark.parametrize("minutes,said", [(60.0, "60"), (1.0, "1")])
def test_a_session_may_have_a_time_of_its_own(minutes: float, said: str) -> None:
    story = Story()
    story.session = replace(story.session, timeout_s=minutes * 60)
    story.works()
    story.settles()
    story.wait(minutes * 60)
    story.hear(SessionExpired())
    assert story.messages[-1].text == f"Session timed out after {said} minutes"


def test_an_open_ask_keeps_a_session_from_timing_out_for_days() -> None:
    story = Story(Rules(reminder_s=1e9, permission_s=1e9, heartbeat_s=1e9)).works()
    story.asks()
    story.wait(5 * 86_400.0)
    assert story.hear(SessionExpired()) == ()
    assert isinstance(story.phase, Working)
    assert status(story.session) == "active"


def test_a_failed_session_and_one_that_is_over_do_not_time_out() -> None:
    for story in (failing(3), completed()):
        before = status(story.session)
        story.wait(10 * HALF_AN_HOUR)
        story.hear(SessionExpired())
        assert status(story.session) == before


# ── the way back ─────────────────────────────────────────────────────────
@pytest.mark.parametrize("over", [expired, completed])
def test_a_later_message_goes_on_in_the_same_thread_and_workspace(over: Callable[[], Story]) -> None:
    story = over()
    known = story.session
    story.writes("one more thing")
    assert isinstance(story.phase, Starting)
    assert status(story.session) == "active"
    assert (story.session.thread, story.session.workspace) == (THREAD, known.workspace)
    assert story.all(StartRun)[-1].prompt.text == "one more thing"


@pytest.mark.parametrize("over", [expired, completed, lambda: failing(3)])
def test_reactivation_makes_a_session_active_again_and_shows_nothing(over: Callable[[], Story]) -> None:
    story = over()
    assert story.hear(ReactivationRequested()) == ()
    assert story.phase in (Resting(after="reactivated"), Resting(after="failed"))
    assert status(story.session) == "active"
    assert story.session.failures == 0
    assert story.session.expires_at > story.now


# ── completion ───────────────────────────────────────────────────────────
def test_completion_keeps_its_reason_in_the_conversation_and_shows_nothing() -> None:
    story = completed()
    assert story.phase == Closed(reason="requested")
    assert (story.messages[-1].role, story.messages[-1].text) == ("system", "Session completed: Task completed")


def test_completion_ends_a_turn_under_way_with_its_one_final() -> None:
    story = Story().works()
    story.writes("/queue more")
    story.hear(CompletionRequested(reason="enough"))
    said = answer(story.aborts())
    assert said.startswith("The session was completed from outside")
    assert "1 waiting message was not started" in said
    assert story.phase == Closed(reason="requested")


def test_completing_a_session_twice_keeps_one_line() -> None:
    story = completed()
    lines = len(story.messages)
    assert story.hear(CompletionRequested(reason="again")) == ()
    assert len(story.messages) == lines


def test_a_status_of_error_ends_a_turn_under_way_with_the_reason() -> None:
    story = Story().works()
    story.hear(StatusRequested(status="error", reason="the budget is spent"))
    story.aborts()
    assert [type(final) for final in story.finals] == [Failure]
    assert "the budget is spent" in story.finals[0].body
    assert status(story.session) == "error"


# ── the history ──────────────────────────────────────────────────────────
def test_an_added_line_is_kept_with_its_ids_and_begins_no_turn() -> None:
    story = resting()
    line = MessageAdded(role="assistant", text="Hi", linear_id="comment-1", opencode_id="msg_9", tokens=7, cost=0.1)
    assert story.hear(line) == ()
    kept = story.messages[-1]
    assert (kept.role, kept.text, kept.linear_id, kept.opencode_id) == ("assistant", "Hi", "comment-1", "msg_9")
    assert (kept.tokens, kept.cost) == (7, 0.1)
    assert isinstance(story.phase, Resting)
    assert story.session.messages == len(story.messages)


def test_an_answer_is_kept_with_the_id_under_which_people_see_it() -> None:
    story = resting()
    assert story.messages[-1].linear_id in {str(id_) for id_ in story.ids_shown}


# ── priority ─────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "of_session,of_issue,expected", [(0, 0, 3), (0, 1, 1), (0, 4, 4), (2, 4, 2), (4, 1, 4), (0, None, 3)]
)
def test_urgency_is_that_of_a_trigger_or_the_issue_and_medium_without(
    of_session: int, of_issue: int | None, expected: int
) -> None:
    issue = None if of_issue is None else replace(an_issue(), priority=of_issue)
    assert urgency(replace(a_session(), issue=issue, priority=of_session)) == expected


def test_words_of_a_withdrawal_are_there_for_every_way_to_end() -> None:
    ways = ("unassigned", "issue_completed", "issue_canceled", "app_revoked", "requested", "timeout")
    assert len({wording.ending.withdrawn(way) for way in ways}) == len(ways)
