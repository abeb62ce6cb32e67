"""Durations of turns: only of those that were seen to begin."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core.effects import Post
from dragoman.core.session import Resting, Session, Starting, Turn
from dragoman.ids import activity_id
from dragoman.metrics import Metrics
from dragoman.runtime import stopwatch
from dragoman.runtime.stopwatch import Stopwatch
from tests.builders import SESSION, a_post, a_run, a_session


def in_turn(number: int) -> Session:
    return replace(a_session(), phase=Starting(turn=Turn(run=a_run(turn=number), number=number)), turns=number)


REST = replace(a_session(), phase=Resting(after="answered"))


def first_post(number: int = 1) -> Post:
    return replace(a_post("begin"), id=activity_id(SESSION, number, "begin"))


def counted(metrics: Metrics) -> tuple[float, float]:
    """How many turns, how many first words."""
    turns, first = (
        metrics.registry.get_sample_value(f"dragoman_{name}_seconds_count") for name in ("turn", "first_activity")
    )
    assert turns is not None
    assert first is not None
    return turns, first


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_turn_and_its_first_word_are_measured_once(metrics: Metrics) -> None:
    watch = Stopwatch(metrics, {})
    for session in (in_turn(1), in_turn(1)):
        watch.told(session)
    watch.shown(first_post())
    watch.shown(first_post())
    watch.shown(a_post("other"))
    assert counted(metrics) == (0, 1)
    watch.told(REST)
    watch.told(REST)
    assert counted(metrics) == (1, 1)


def test_a_turn_that_follows_at_once_ends_the_one_before(metrics: Metrics) -> None:
    watch = Stopwatch(metrics, {})
    watch.told(in_turn(1))
    watch.told(in_turn(2))
    assert counted(metrics) == (1, 0)
    watch.shown(first_post(2))
    watch.told(REST)
    assert counted(metrics) == (2, 1)


def test_a_turn_that_an_earlier_process_began_is_not_measured_but_the_next_one_is(metrics: Metrics) -> None:
    watch = Stopwatch(metrics, {SESSION: 3})
    watch.told(in_turn(3))
    watch.shown(first_post(3))
    watch.told(REST)
    assert counted(metrics) == (0, 0)
    watch.told(in_turn(4))
    watch.told(REST)
    assert counted(metrics) == (1, 0)


def test_first_words_that_are_never_shown_do_not_pile_up(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch, "AWAITED_MOST", 2)
    watch = Stopwatch(metrics, {})
    for number in (1, 2, 3):
        watch.told(in_turn(number))
    for number in (1, 2, 3):
        watch.shown(first_post(number))
    assert counted(metrics) == (2, 2)
