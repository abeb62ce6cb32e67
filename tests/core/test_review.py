"""News of the pull request: when a round begins, when it waits, and when the session is over."""

from __future__ import annotations

import pytest

from dragoman.core.effects import ClearWorkspace, ReplyToReview, StartRun
from dragoman.core.events import Event
from dragoman.core.events.desk import Delivered
from dragoman.core.events.forge import PullRequestClosed, ReviewReceived
from dragoman.core.events.linear import Withdrawn
from dragoman.core.events.opencode import Answered, Broke
from dragoman.core.events.operators import CompletionRequested, SessionExpired
from dragoman.core.findings import Finding
from dragoman.core.review import watched
from dragoman.core.session import Closed, Resting, Starting
from dragoman.core.status import status
from tests.core.histories import Story, bodies

URL = "https://github.com/acme/app/pull/7"


def found(number: int) -> Finding:
    """What a reviewer wrote under a line."""
    return Finding(key=f"comment:{number}", kind="comment", author="rita", where="a.py:1", text="Why?", thread=number)


def news(*numbers: int, url: str = URL) -> ReviewReceived:
    """The pull request as it stands: so many comments."""
    return ReviewReceived(pull_request=url, findings=tuple(map(found, numbers)))


def with_pull_request() -> Story:
    """A session at rest, with a pull request that is open."""
    story = Story().works()
    story.settles()
    story.hear(Delivered(pull_request=URL))
    return story


def prompts(story: Story) -> list[tuple[str, ...]]:
    """What of the pull request was given to the agent, turn by turn."""
    return [tuple(one.key for one in effect.prompt.findings) for effect in story.all(StartRun)]


def test_what_was_heard_before_begins_nothing_and_another_pull_request_is_none_of_ours() -> None:
    story = with_pull_request()
    story.hear(news(1, 2))
    story.starts()
    story.settles()
    assert story.hear(news(1, 2)) == ()
    assert story.hear(news(3, url="https://github.com/acme/app/pull/8")) == ()
    assert prompts(story) == [(), ("comment:1", "comment:2")]


def test_each_reviewer_is_answered_once_in_the_words_of_the_agent() -> None:
    story = with_pull_request()
    story.hear(news(1, 2))
    story.starts()
    story.settles(Answered(text="Done.\n\n- **Reply to 2**: Because of b.\nSee c.\n\nThat is all."))
    [effect] = story.all(ReplyToReview)
    assert [(one.key, one.thread) for one in effect.replies] == [("comment:1", 1), ("comment:2", 2)]
    assert effect.replies[0].body.startswith("I looked into this review and changed nothing")
    assert effect.replies[1].body == "Because of b.\nSee c."


def test_after_a_stop_nothing_begins_by_itself_until_something_new_comes() -> None:
    story = with_pull_request()
    story.writes("something else")
    story.starts()
    story.hear(news(1))
    story.stops()
    story.aborts()
    assert isinstance(story.phase, Resting)
    story.hear(news(1, 2))
    assert isinstance(story.phase, Starting)
    assert prompts(story)[-1] == ("comment:1", "comment:2")


def test_a_failed_round_is_not_repeated_by_itself() -> None:
    story = with_pull_request()
    story.hear(news(1))
    story.starts()
    story.hear(news(2))
    story.settles(Broke(cause="server", message="500"))
    assert isinstance(story.phase, Resting)
    assert story.all(ReplyToReview) == []


def test_a_session_that_was_only_left_alone_is_woken_and_one_that_is_over_is_not() -> None:
    story = with_pull_request()
    story.wait(1_801)
    story.hear(SessionExpired())
    assert status(story.session) == "timeout"
    story.hear(news(1))
    assert isinstance(story.phase, Starting)


@pytest.mark.parametrize(
    "end", [Withdrawn(reason="issue_completed"), CompletionRequested(), Withdrawn(reason="unassigned")]
)
def test_who_has_ended_the_work_is_not_bothered_with_its_reviews(end: Event) -> None:
    story = with_pull_request()
    story.hear(end)
    assert watched(story.session) == ""
    assert story.hear(news(1)) == ()
    assert story.hear(PullRequestClosed(pull_request=URL, merged=True)) == ()


def test_merged_during_a_turn_lets_it_end_and_then_closes_without_a_second_word() -> None:
    story = with_pull_request()
    story.writes("one more thing")
    story.starts()
    told = story.hear(PullRequestClosed(pull_request=URL, merged=True, by="rita"))
    assert bodies(told) == ["The pull request was merged by rita. I end this turn, then my work on this is done."]
    assert status(story.session) == "active"
    story.settles(Answered(text="There."))
    assert story.phase == Closed(reason="merged")
    assert [final.body for final in story.finals][-1] == "There."
    assert len(story.all(ClearWorkspace)) == 1


def test_every_prompt_of_a_person_counts_rounds_anew() -> None:
    story = with_pull_request()
    for number in range(1, 4):
        story.hear(news(*range(1, number + 1)))
        story.starts()
        story.settles()
    told = story.hear(news(1, 2, 3, 4))
    assert bodies(told)[0].startswith("After 3 rounds on the pull request I do not go on by myself.")
    assert story.hear(news(1, 2, 3, 4)) == ()
    story.writes("go on, then")
    assert prompts(story)[-1] == ("comment:4",)
    story.starts()
    story.settles()
    story.hear(news(1, 2, 3, 4, 5))
    assert prompts(story)[-1] == ("comment:5",)
