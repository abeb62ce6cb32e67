"""Work on an issue that is blocked begins by itself when what blocks it is done."""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.effects import LinkWork, ReadIssue, StartRun
from dragoman.core.events.desk import Delivered
from dragoman.core.events.linear import Blocker, Issue, IssueRead
from dragoman.core.events.timers import BlockersDue
from dragoman.core.limits import Rules
from dragoman.core.session import Starting, Stopping
from dragoman.ids import IssueId
from tests.builders import an_issue
from tests.core.histories import Story, bodies

RESPECTED = Rules(respect_blockers=True)


def waiting_for(*keys: str) -> Issue:
    return replace(an_issue(), blocked_by=tuple(Blocker(id=IssueId(f"issue-{key}"), key=key) for key in keys))


def blocked(rules: Rules = RESPECTED, text: str = "please fix it") -> Story:
    story = Story(rules)
    story.opens(text)
    story.hear(IssueRead(run=story.run, issue=waiting_for("ENG-3")))
    return story


def test_the_start_is_deferred_and_the_blocker_is_named() -> None:
    story = blocked()
    assert isinstance(story.phase, Starting)
    assert "blocked by **ENG-3**" in bodies(story.effects)[-1]
    assert not story.all(StartRun)


def test_it_is_looked_up_again_and_less_and_less_often() -> None:
    story = blocked()
    for _ in range(4):
        before = len(story.all(ReadIssue))
        (due,) = [at for at, event in story.timers if isinstance(event, BlockersDue)]
        story.wait(due - story.now)
        assert len(story.all(ReadIssue)) == before + 1
        assert not bodies(story.hear(IssueRead(run=story.run, issue=waiting_for("ENG-3")))), "nothing new to say"
    waits = [at - story.now for at, event in story.timers if isinstance(event, BlockersDue)]
    assert waits == [60.0 * 2**4]


def test_it_begins_by_itself_when_nothing_blocks_it() -> None:
    story = blocked()
    story.hear(BlockersDue(run=story.run))
    followed = story.hear(IssueRead(run=story.run, issue=an_issue()))
    assert wording.waiting.UNBLOCKED in bodies(followed)
    (start,) = story.all(StartRun)
    assert start.prompt.text == "please fix it"


def test_another_blocker_is_told_and_an_issue_that_cannot_be_read_stays_blocked() -> None:
    story = blocked()
    story.hear(BlockersDue(run=story.run))
    assert not bodies(story.hear(IssueRead(run=story.run)))
    story.hear(BlockersDue(run=story.run))
    told = bodies(story.hear(IssueRead(run=story.run, issue=waiting_for("ENG-3", "ENG-4"))))
    assert "**ENG-3**, **ENG-4**" in told[0]
    assert not story.all(StartRun)


def test_people_may_have_it_begin_anyway_and_what_else_they_write_goes_along() -> None:
    story = blocked()
    assert wording.waiting.EARLY in bodies(story.writes("and keep it small"))
    story.writes("Start anyway!")
    assert [start.prompt.text for start in story.all(StartRun)] == ["please fix it"]


def test_stop_ends_the_wait() -> None:
    story = blocked()
    story.stops()
    assert isinstance(story.phase, Stopping)
    story.aborts()
    assert not story.all(StartRun)


def test_a_wait_is_silent_and_has_no_end() -> None:
    story = blocked()
    said = len(bodies(story.effects))
    for _ in range(30):
        story.wait(7_200.0)
        story.hear(IssueRead(run=story.run, issue=waiting_for("ENG-3")))
    assert len(bodies(story.effects)) == said
    assert isinstance(story.phase, Starting)


def test_a_question_waits_for_nothing_and_without_the_setting_nothing_does() -> None:
    assert blocked(text="what is this?").all(StartRun)
    assert blocked(Rules()).all(StartRun)


def test_a_pull_request_moves_the_issue_to_review_when_that_is_wanted() -> None:
    for wanted in (False, True):
        story = Story(Rules(in_review=wanted)).works()
        story.hear(Delivered(pull_request="https://example.com/pull/1"))
        (link,) = story.all(LinkWork)
        assert link.review is wanted
