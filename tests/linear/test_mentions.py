"""When a comment is addressed to us, and what is left of it without our name."""

from __future__ import annotations

import pytest

from dragoman.linear.mentions import is_addressed, without_address

NAME = "Open Code"


@pytest.mark.parametrize(
    "body",
    [
        "@Open Code fix it", "@OPENCODE", "please, @opencode, fix it", "(@open-code)", "@open\\_code:", "hi @Open.Code!",
        "https://linear.app/acme/profiles/opencode fix it", '<user id="u1">open code</user> fix it', "it`s @opencode",
        "`code` and @opencode", "> he said\n\n@opencode go",
    ],
)  # fmt: skip
def test_the_whole_name_in_any_spelling_addresses_us(body: str) -> None:
    assert is_addressed(body, NAME)


@pytest.mark.parametrize(
    "body",
    [
        "", "open code", "opencode", "@opencoder", "@open", "@opencode-bot", "@opencode.dev", "me@opencode", "@@opencode",
        "`@opencode`", "``a ` @opencode``", "```\n@opencode\n```", "```\n@opencode", "> @opencode", "x\n  > @opencode go",
        "https://linear.app/acme/profiles/opencoder", "https://example.com/@opencode",
    ],
)  # fmt: skip
def test_nothing_else_does(body: str) -> None:
    assert not is_addressed(body, NAME)


@pytest.mark.parametrize(
    "body,words",
    [
        ("@opencode, fix it", "fix it"),
        ("@Open Code: fix @opencode's name", "fix @opencode's name"),
        ("fix it, @opencode", "fix it"),
        ("@opencode\n- one\n- two", "- one\n- two"),
        ("  @opencode  ", "@opencode"),
        ("tell @opencode that", "tell @opencode that"),
    ],
)
def test_a_mention_at_the_beginning_or_end_is_no_part_of_the_words(body: str, words: str) -> None:
    assert without_address(body, NAME) == words


def test_a_name_is_no_pattern() -> None:
    assert is_addressed("@C++ (v2) go", "C++ (v2)")
    assert not is_addressed("@CC v2 go", "C++ (v2)")
