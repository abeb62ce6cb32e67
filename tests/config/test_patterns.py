"""Which of an operator's patterns are refused, because some texts would make them run for ever."""

from __future__ import annotations

import pytest

from dragoman.config.patterns import runs_away


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a*)*", "([a-z]+ ?)*x", "(?:a+|b)+", "(?=(a+)+)", "x{2,}(y{3,})*", "(a+?)+", "((a+)b)*"]
)
def test_what_repeats_what_repeats_runs_away(pattern: str) -> None:
    assert runs_away(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["", "crash(es|ed)?", r"\bv\d+\.\d+\b", "a+b+", r"(\d{1,3}\.)+x", "[+*]+", r"\(a\+\)\+", "(a++)+", "(a+)?"],
)
def test_what_is_usual_does_not(pattern: str) -> None:
    assert not runs_away(pattern)
