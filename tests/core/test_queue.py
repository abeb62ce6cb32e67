"""A run waits for a place: what people read, and when."""

from __future__ import annotations

from dragoman.core.effects import Remind
from dragoman.core.events.runs import PlaceInQueue
from dragoman.core.events.timers import HeartbeatDue, PlaceDue
from dragoman.core.session import Turn, live_turn
from tests.core.histories import Story, bodies

FIRST = "All places are taken by running work. Yours is number 3 in the queue and starts by itself."


def waiting() -> Story:
    story = Story()
    story.opens()
    story.reads_issue()
    return story


def stands(story: Story, place: int) -> list[str]:
    return bodies(story.hear(PlaceInQueue(run=story.run, place=place)))


def turn(story: Story) -> Turn:
    """The turn that is under way."""
    found = live_turn(story.session)
    assert found is not None
    return found


def test_the_place_is_said_at_once_and_looked_up_again_after_five_minutes() -> None:
    story = waiting()
    followed = story.hear(PlaceInQueue(run=story.run, place=3))
    assert bodies(followed) == [FIRST]
    assert followed[-1] == Remind(event=PlaceDue(run=story.run), after_s=300.0)


def test_a_new_place_is_said_at_most_every_five_minutes() -> None:
    story = waiting()
    said = stands(story, 3)
    for _ in range(10):
        story.now += 60.0
        said += stands(story, 2 if story.now < turn(story).place_at + 300.0 else 1)
    assert said == [FIRST, "Still in the queue: number 1 now."]


def test_the_same_place_is_not_said_again_but_looked_up_again() -> None:
    story = waiting()
    stands(story, 3)
    story.now += 300.0
    followed = story.hear(PlaceInQueue(run=story.run, place=3))
    assert followed == (Remind(event=PlaceDue(run=story.run), after_s=300.0),)


def test_a_place_that_is_told_late_changes_nothing() -> None:
    story = waiting()
    story.starts()
    assert stands(story, 1) == []
    assert turn(story).waiting == ""  # it works


def test_waiting_in_our_own_queue_has_no_end_and_is_no_silence() -> None:
    story = waiting()
    stands(story, 3)
    story.now += 700.0
    said = bodies(story.hear(HeartbeatDue(run=story.run)))
    assert said == ["Still in the queue: all places are taken by running work (12 min so far)."]


def test_who_waits_again_after_a_try_is_told_again() -> None:
    story = waiting()
    stands(story, 3)
    story.starts()
    story.settles()
    story.writes("more")
    assert stands(story, 3) == [FIRST]
