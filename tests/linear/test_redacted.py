"""Words that were refused are left out of the context that Linear sends along with a later request."""

from __future__ import annotations

import pytest

from dragoman.core.unheard import digest
from dragoman.linear.redacted import LEFT_OUT, without

CONTEXT = (
    '<issue identifier="ENG-1">\n<title>T</title>\n</issue>\n'
    '<primary-directive-thread comment-id="c"><comment author="Bob" created-at="2026-11-20 09:15:03">'
    '<user id="df3fc33e">opencode</user> Please implement *this*,\n  all of it</comment>\n'
    '<comment author="Alice" created-at="2026-11-20 09:16:03">and that</comment></primary-directive-thread>'
)


@pytest.mark.parametrize(
    "heard", ["@opencode Please implement *this*, all of it", "@opencode please implement this, all of it\n"]
)
def test_a_comment_is_known_again_however_it_is_written(heard: str) -> None:
    refused = {digest(heard)}
    clean = without(CONTEXT, lambda words: digest(words) in refused)
    assert "implement" not in clean
    assert clean.count(LEFT_OUT) == 1
    assert "and that" in clean
    assert clean.startswith('<issue identifier="ENG-1">')


def test_other_words_stay() -> None:
    refused = {digest("@opencode please implement this")}
    assert without(CONTEXT, lambda words: digest(words) in refused) == CONTEXT


def test_no_words_have_no_digest() -> None:
    assert digest("") == digest(" \n…") == ""
