"""Without streaming people see one thought and the final; questions are asked all the same."""

from __future__ import annotations

from dragoman.core.activities import Elicitation, Response, Thought, is_fleeting
from dragoman.core.events.opencode import Tool
from dragoman.core.events.runs import RunWaiting
from dragoman.core.limits import Rules
from tests.core.histories import WHICH_COLOUR, Story


def quiet() -> Story:
    return Story(Rules(streaming=False)).works()


def test_a_turn_shows_its_first_thought_and_its_final_and_no_step() -> None:
    story = quiet()
    story.says("prt_1", "Hm.")
    story.uses("prt_2", Tool(name="read", input="{}", output="a"))
    story.plans(("Fix", "in_progress"))
    story.settles()
    assert [type(activity) for activity in story.shown] == [Thought, Response]
    assert story.plans_shown == []


def test_what_we_say_in_between_is_gone_with_the_next_activity() -> None:
    story = Story(Rules(streaming=False))
    story.opens()
    story.reads_issue()
    story.hear(RunWaiting(run=story.run, cause="opencode"))
    story.wait(600.0)
    assert [is_fleeting(activity) for activity in story.shown][:2] == [False, True]
    lasting = [activity for activity in story.shown if not is_fleeting(activity)]
    assert [type(activity) for activity in lasting] == [Thought]


def test_questions_are_asked_and_answered() -> None:
    story = quiet()
    story.asks(WHICH_COLOUR)
    assert isinstance(story.shown[-1], Elicitation)
    story.writes("Red")
    story.settles()
    assert [type(a) for a in story.shown if not is_fleeting(a)] == [Thought, Elicitation, Response]
