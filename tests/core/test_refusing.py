"""What people see when they may not: one reply, and everything else as it was."""

from __future__ import annotations

from typing import Any

from dragoman.core.activities import Elicitation, Response, Thought
from dragoman.core.effects import Post
from dragoman.core.events.linear import Prompted, RequestRefused
from dragoman.core.session import Closed, Resting, Starting, Stopping, Working
from dragoman.core.status import status
from tests.builders import a_person, a_prompt, an_issue
from tests.core.histories import Story

BEN = a_person("Ben")


def refused(story: Story, **how: Any) -> list[object]:
    event = RequestRefused(deed="start", reason="rule", person=BEN, **how)
    return [effect.activity for effect in story.hear(event) if isinstance(effect, Post)]


def test_a_refused_beginning_is_one_reply_and_the_session_is_closed_until_somebody_may() -> None:
    story = Story()
    (reply,) = refused(story, issue=an_issue())
    assert isinstance(reply, Response)
    assert reply.body.startswith("I'm sorry, Ben, I may not take this on")
    assert (story.session.phase, story.session.turns, story.session.runs) == (Closed(reason="refused"), 1, 0)
    assert (status(story.session), story.session.issue, story.session.creator) == ("completed", an_issue(), None)
    story.hear(Prompted(prompt=a_prompt()))
    assert isinstance(story.session.phase, Starting)


def test_a_refusal_is_no_part_of_what_an_agent_is_told_later() -> None:
    story = Story()
    refused(story)
    assert [message.role for message in story.messages] == ["system"]


def test_a_refusal_between_turns_leaves_the_session_resting() -> None:
    story = Story().works()
    story.settles()
    (reply,) = refused(story)
    assert isinstance(reply, Response)
    assert story.session.phase == Resting(after="answered")


def test_a_refusal_during_a_run_says_that_the_work_goes_on() -> None:
    story = Story().works()
    before = story.turn
    reply, after = refused(story)
    assert isinstance(reply, Response)
    assert after == Thought(body="The work goes on.", fleeting=True)
    assert story.turn.messages == before.messages
    assert isinstance(story.session.phase, Working)


def test_a_refused_answer_puts_the_question_there_again() -> None:
    story = Story().works()
    story.asks_leave()
    shown_at = story.now
    story.wait(60)
    reply, again = refused(story)
    assert isinstance(reply, Response)
    assert isinstance(again, Elicitation)
    assert isinstance(story.session.phase, Working)
    assert story.session.phase.asks[0].shown_at == shown_at, "nobody may keep a permission open by asking again"


def test_a_refusal_while_stopping_does_not_keep_the_end_back() -> None:
    story = Story().works()
    story.stops()
    (reply,) = refused(story)
    assert isinstance(reply, Response)
    assert isinstance(story.session.phase, Stopping)


def test_whoever_was_told_to_slow_down_is_met_with_silence() -> None:
    story = Story()
    assert refused(story, silent=True) == []
    assert story.session.turns == 0
