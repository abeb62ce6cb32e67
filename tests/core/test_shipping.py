"""The end of a turn in which the agent worked, decided without anybody's help."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Response
from dragoman.core.effects import (
    InspectWork,
    LinkWork,
    NudgeAgent,
    ShipLater,
    ShipWork,
    StartRun,
    SteerRun,
    when_parked,
)
from dragoman.core.events.desk import Delivered, Receipt, ShipFailed, Shipped, Undelivered, WorkFound
from dragoman.core.events.linear import Withdrawn
from dragoman.core.events.opencode import Answered, Broke, Outcome, Tool, Usage
from dragoman.core.events.runs import RunFailed
from dragoman.core.session import Resting, Shipping, Stopping, Working
from tests.builders import a_run
from tests.core.histories import Story, answer, bodies

EDIT = Tool(name="edit", input='{"filePath":"a.py"}', output="ok")
READ = Tool(name="read", input='{"filePath":"a.py"}', output="ok")
RECEIPT = Receipt(repository="app", branch="ann/eng-12", base="main", commits=("1a2b3c4 Fix it",), commit_count=1)
URL = "https://example.org/pull/1"


def worked() -> Story:
    story = Story().works()
    story.uses("prt_1", EDIT)
    return story


def nudged() -> Story:
    story = worked()
    story.settles(Answered(text="Fixed.", usage=Usage(input_tokens=10, output_tokens=1, cost=0.5)))
    story.hear(WorkFound(run=story.run, changed=True, left=("a.py",)))
    return story


def test_a_turn_that_only_read_ends_at_once() -> None:
    story = Story().works()
    story.uses("prt_1", READ)
    assert answer(story.settles()) == "Fixed."
    assert not story.all(InspectWork)


def test_a_turn_that_worked_is_looked_at_before_people_read_its_end() -> None:
    story = worked()
    story.settles()
    assert isinstance(story.phase, Shipping)
    assert len(story.all(InspectWork)) == 1
    assert not story.finals


def test_a_turn_that_changed_nothing_ends_with_the_words_alone() -> None:
    story = worked()
    story.settles()
    assert answer(story.hear(WorkFound(run=story.run, changed=False))) == "Fixed."


def test_changed_work_is_shipped_with_the_agents_words() -> None:
    story = worked()
    story.settles()
    story.hear(WorkFound(run=story.run, changed=True))
    assert [effect.words for effect in story.all(ShipWork)] == ["Fixed."]
    said = answer(story.hear(Shipped(run=story.run, receipt=RECEIPT)))
    assert said.startswith("Fixed.\n\n+++ Receipt\n")
    assert story.phase == Resting(after="answered")


def test_uncommitted_work_sends_the_agent_back_once() -> None:
    story = nudged()
    assert isinstance(story.phase, Working)
    (nudge,) = story.all(NudgeAgent)
    assert nudge.left == ("a.py",)
    assert story.turn.messages[-1] == nudge.message
    assert not story.finals
    story.settles(Answered(text="Committed."))
    assert isinstance(story.phase, Shipping)
    assert len(story.all(NudgeAgent)) == 1
    assert len(story.all(ShipWork)) == 1


@pytest.mark.parametrize("outcome", [Answered(text="Committed."), Broke(cause="server", message="500")])
def test_what_follows_the_request_to_commit_replaces_nothing(outcome: Outcome) -> None:
    story = nudged()
    story.settles(outcome)
    assert answer(story.hear(Shipped(run=story.run, receipt=RECEIPT))).startswith("Fixed.\n")


def test_what_the_request_to_commit_used_is_counted() -> None:
    story = nudged()
    story.settles(Answered(text="Committed.", usage=Usage(input_tokens=5, output_tokens=2, cost=0.25)))
    said = answer(story.hear(Shipped(run=story.run, receipt=RECEIPT)))
    assert "**Tokens:** 15 in, 3 out · **Cost:** $0.75" in said
    assert story.messages[-1].tokens == 18


def test_a_run_that_fails_after_the_answer_does_not_take_it_back() -> None:
    story = nudged()
    story.hear(RunFailed(run=story.run, reason="OpenCode refused the request."))
    assert isinstance(story.phase, Stopping)
    story.aborts()
    assert isinstance(story.phase, Shipping)
    assert answer(story.hear(Shipped(run=story.run, receipt=RECEIPT))).startswith("Fixed.")


def test_stop_while_shipping_ends_the_turn_and_late_news_change_nothing() -> None:
    story = worked()
    story.settles()
    story.stops()
    story.aborts()
    assert answer(story.effects).startswith("Stopped.")
    assert story.hear(Shipped(run=story.run, receipt=RECEIPT)) == ()


def test_the_answer_does_not_wait_longer_than_it_may() -> None:
    story = worked()
    story.settles()
    story.hear(WorkFound(run=story.run, changed=True))
    story.wait(story.rules.ship_s + 1)
    (final,) = story.finals
    assert isinstance(final, Response)
    assert final.body.startswith("Fixed.")
    assert "has taken too long" in final.body
    assert len(story.all(ShipLater)) == 1


@pytest.mark.parametrize("trouble, looks", [("⚠️ No.", 2), ("", 1)])
def test_what_was_not_delivered_is_looked_at_again_though_the_agent_only_speaks(trouble: str, looks: int) -> None:
    story = worked()
    story.settles()
    story.hear(WorkFound(run=story.run, changed=True))
    story.hear(Shipped(run=story.run, receipt=Receipt(repository="a", branch="b", base="main", trouble=trouble)))
    story.writes("try again")
    story.starts()
    story.settles(Answered(text="I have nothing to add."))
    assert len(story.all(InspectWork)) == looks


def test_what_cannot_be_read_is_told_under_the_answer() -> None:
    story = worked()
    story.settles()
    assert answer(story.hear(ShipFailed(run=story.run, reason="⚠️ No."))) == "Fixed.\n\n⚠️ No."


def test_a_pull_request_is_linked_once_however_often_it_is_told() -> None:
    story = worked()
    for _ in range(2):
        story.settles()
        story.hear(WorkFound(run=story.run, changed=True))
        story.hear(Shipped(run=story.run, receipt=Receipt(repository="a", branch="b", base="main", pull_request=URL)))
        story.writes("more")
        story.starts()
        story.uses("prt_9", EDIT)
    story.hear(Delivered(pull_request=URL))
    assert [effect.url for effect in story.all(LinkWork)] == [URL]


def test_what_is_delivered_after_its_turn_is_linked_without_a_word() -> None:
    story = worked()
    story.settles()
    story.hear(WorkFound(run=story.run, changed=True))
    late = Receipt(
        repository="a", branch="b", base="main", trouble="**Not pushed.** It is down.", later=True, later_s=9.0
    )
    said = answer(story.hear(Shipped(run=story.run, receipt=late)))
    assert "⚠️ **Not pushed.** It is down." in said
    assert [later.after_s for later in story.all(ShipLater)] == [9.0]
    shown = len(story.shown)
    story.hear(Delivered(pull_request=URL))
    assert [effect.url for effect in story.all(LinkWork)] == [URL]
    assert len(story.shown) == shown


def test_what_is_refused_after_its_turn_is_told_once_in_a_final_of_its_own() -> None:
    story = worked()
    story.settles()
    story.hear(WorkFound(run=story.run, changed=True))
    story.hear(Shipped(run=story.run, receipt=Receipt(repository="a", branch="b", base="main", later=True)))
    finals = len(story.finals)
    assert bodies(story.hear(Undelivered(reason="⚠️ Refused."))) == ["⚠️ Refused."]
    assert len(story.finals) == finals + 1
    story.writes("more")
    story.starts()
    assert bodies(story.hear(Undelivered(reason="⚠️ Refused."))) == ["⚠️ Refused."]  # a thought: the turn goes on
    assert len(story.finals) == finals + 1
    story.hear(Withdrawn(reason="issue_completed"))
    story.aborts()
    assert story.hear(Undelivered(reason="⚠️ Refused.")) == ()  # nobody waits for it any more


def test_an_attempt_that_can_never_succeed_is_told() -> None:
    assert when_parked(ShipLater(run=a_run(), words="")) == Undelivered(reason=wording.shipping.GAVE_UP)


def test_a_message_after_the_answer_begins_the_next_turn_though_the_agent_still_commits() -> None:
    story = nudged()
    story.writes("and the docs")
    assert not story.all(SteerRun)
    story.settles(Answered(text="Committed."))
    story.hear(Shipped(run=story.run, receipt=RECEIPT))
    assert [start.prompt.text for start in story.all(StartRun)] == ["please fix it", "and the docs"]


def test_the_kept_answer_is_not_shown_twice() -> None:
    story = nudged()
    assert story.says("prt_7", "Fixed.") == ()
    assert len(story.says("prt_8", "I commit it now.")) == 1
