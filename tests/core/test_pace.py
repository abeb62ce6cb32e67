"""A bucket of so many messages a minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.pace import WINDOW_S, admit

T0 = 1_800_000_000.0


@given(most=st.integers(1, 5_000))
def test_a_full_bucket_gives_as_many_as_it_holds_at_once(most: int) -> None:
    full_at, taken = 0.0, 0
    while (then := admit(full_at, T0, most)) is not None:
        full_at, taken = then, taken + 1
    assert taken == most
    assert admit(full_at, T0 + WINDOW_S, most) is not None


@given(most=st.integers(1, 60), back_s=st.floats(3 * WINDOW_S, 1e6))
def test_nobody_waits_for_a_moment_from_before_the_clock_was_set_back(most: int, back_s: float) -> None:
    full_at = 0.0
    while (then := admit(full_at, T0, most)) is not None:
        full_at = then
    assert admit(full_at, T0 - back_s, most) is not None


@given(most=st.integers(1, 60), gaps=st.lists(st.floats(0, 90), max_size=80))
def test_no_stretch_of_time_lets_more_through_than_a_burst_and_what_dripped_in(most: int, gaps: list[float]) -> None:
    full_at, now, taken = 0.0, T0, []
    for gap in gaps:
        now += gap
        if (then := admit(full_at, now, most)) is not None:
            full_at = then
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span = taken[last] - taken[first]
            assert last - first + 1 <= most + span * most / WINDOW_S + 1


def test_it_fills_up_again_little_by_little() -> None:
    full_at = 0.0
    for _ in range(2):
        full_at = admit(full_at, T0, 2) or 0.0
    assert admit(full_at, T0 + 10, 2) is None
    assert admit(full_at, T0 + 30, 2) is not None
