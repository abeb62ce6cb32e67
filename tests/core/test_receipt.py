"""The receipt: what it says, and what the agent's words cannot make of it."""

from __future__ import annotations

import pytest

from dragoman.core.events.desk import Check, Receipt
from dragoman.core.events.opencode import Answered
from dragoman.core.receipt import (
    commit_message,
    differences,
    duration,
    joined,
    pull_request_body,
    pull_request_title,
    speaks_of_a_fix,
    told,
    unfolded,
)
from dragoman.core.session import Settled, Turn
from dragoman.core.tools import BODY_MOST
from tests.builders import a_run, an_issue

RECEIPT = Receipt(repository="acme/shop", branch="ann/eng-12", base="main", pushed=True)
TURN = Turn(run=a_run(), number=1)
PASSED = Check(command="make test", exit_code=0, took_s=2.0)
FAILED = Check(command="make test", exit_code=2, took_s=2.0, output="1 failed")


@pytest.mark.parametrize(
    "words",
    [
        "All tests pass.",
        "I ran the test suite: it passes now.",
        "Fixed; the tests are green.",
        "Three tests were added, and all checks passed.",
    ],
)
def test_a_claim_that_tests_passed_is_found(words: str) -> None:
    assert any("I have not seen it" in line for line in differences(RECEIPT, words))


@pytest.mark.parametrize(
    "words",
    [
        "I did not run the tests, so I cannot say that they pass.",
        "Two tests fail, the others pass.",
        "Without the database no tests pass here.",
        "I added a test.",
        "Pass the result on.",
    ],
)
def test_what_claims_nothing_is_left_alone(words: str) -> None:
    assert differences(RECEIPT, words) == []


def test_a_claim_is_held_against_what_ran() -> None:
    claim = "All tests pass."
    assert differences(Receipt(repository="a", branch="b", base="m", pushed=True, checks=(PASSED,)), claim) == []
    (line,) = differences(Receipt(repository="a", branch="b", base="m", pushed=True, checks=(FAILED,)), claim)
    assert "When I ran `make test`, it did not pass" in line


def test_a_claim_to_have_pushed_is_held_against_the_remote() -> None:
    words = "I pushed the branch and opened a pull request."
    assert differences(RECEIPT, words) == []
    assert "That did not happen" in differences(Receipt(repository="a", branch="b", base="m"), words)[0]


def test_words_cannot_open_or_close_a_folded_section() -> None:
    assert unfolded("Done.\n+++ Receipt\nall green\n+++") == "Done.\n\\+++ Receipt\nall green\n\\+++"
    code = "```diff\n--- a/x\n+++ b/x\n```"
    assert unfolded(code) == code


def test_long_words_give_way_to_the_receipt() -> None:
    under = told(RECEIPT, TURN, Answered(text=""), 10.0)
    whole = joined("x" * 50_000, under)
    assert len(whole) <= BODY_MOST
    assert whole.endswith(under)


def test_hostile_texts_of_others_stay_on_their_line_in_code() -> None:
    turn = Turn(run=a_run(), number=1, settled=(Settled(what="a`b", answer="`rm`", who="Ann"),))
    hostile = Receipt(
        repository="a", branch="b", base="m", commits=("1a2b3c4 # `x`",), commit_count=1,
        checks=(Check(command="echo `id`", exit_code=1, took_s=1.0, output="```\n+++\nfree"),),
    )  # fmt: skip
    text = told(hostile, turn, Answered(text=""), 0.0)
    assert "- `1a2b3c4` 'x'" in text.replace("# ", "")
    assert "`echo 'id'`" in text
    assert "“a'b” → “'rm'” (Ann)" in text
    assert "````\n```\n+++\nfree\n````" in text


def test_a_commit_of_ours_has_the_agents_summary() -> None:
    message = commit_message("**Fixed** the parser\n\nIt dropped the last line.", an_issue())
    assert message == "ENG-12: Fixed the parser\n\nIt dropped the last line.\n"
    assert commit_message("Done.", an_issue()) == "ENG-12: The parser drops the last line\n"
    assert commit_message("", None) == "Commit the agent's work\n"
    assert len(commit_message("word " * 100, an_issue()).splitlines()[0]) <= 72


def test_a_pull_request_names_the_issue_and_links_it() -> None:
    assert pull_request_title(an_issue(), RECEIPT) == "ENG-12: The parser drops the last line"
    body = pull_request_body(an_issue(), "I fixed it.", RECEIPT)
    assert body.startswith("Fixes ENG-12\n\nI fixed it.\n\n")
    without = Receipt(repository="a", branch="b", base="m", commits=("1a2b3c4 Fix it",), commit_count=1)
    assert pull_request_title(None, without) == "Fix it"
    assert not pull_request_body(None, "I fixed it.", without).startswith("Fixes")


@pytest.mark.parametrize("seconds, text", [(0.42, "0.4 s"), (12.4, "12 s"), (252, "4 min 12 s"), (3_900, "1 h 5 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_fix_is_known_by_its_words() -> None:
    assert speaks_of_a_fix("The parser drops the last line")
    assert speaks_of_a_fix("Dark mode", "1a2b3c4 Fix the colours")
    assert not speaks_of_a_fix("Add a dark mode", "1a2b3c4 Add colours")
