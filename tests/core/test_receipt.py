"""The receipt: what it says, and what the agent's words cannot make of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core.events.desk import Check, Receipt
from dragoman.core.events.opencode import Answered
from dragoman.core.receipt import (
    commit_message,
    differences,
    duration,
    joined,
    pull_request_facts,
    pull_request_summary,
    pull_request_title,
    speaks_of_a_fix,
    told,
    unfolded,
    unseen,
)
from dragoman.core.session import Settled, Turn
from dragoman.core.tools import BODY_MOST
from tests.builders import a_run, an_issue

RECEIPT = Receipt(repository="acme/shop", branch="ann/eng-12", base="main", pushed=True)
TURN = Turn(run=a_run(), number=1)
PASSED = Check(command="make test", exit_code=0, took_s=2.0)
FAILED = Check(command="make test", exit_code=2, took_s=2.0, output="1 failed")


def test_a_claim_is_held_against_what_ran() -> None:
    claim = "All tests pass."
    assert differences(Receipt(repository="a", branch="b", base="m", pushed=True, checks=(PASSED,)), claim) == []
    (line,) = differences(RECEIPT, claim)
    assert "I have not seen it: none were run by me (no `verify` commands" in line
    (line,) = differences(Receipt(repository="a", branch="b", base="m", pushed=True, checks=(FAILED,)), claim)
    assert "When I ran `make test`, it did not pass" in line


def test_a_claim_to_have_pushed_is_held_against_the_remote() -> None:
    words = "I pushed the branch and opened a pull request."
    assert differences(replace(RECEIPT, pull_request="https://example.org/pull/1"), words) == []
    assert differences(RECEIPT, words) == ["⚠️ The agent says that it opened a pull request. There is none."]
    assert "That did not happen" in differences(Receipt(repository="a", branch="b", base="m"), words)[0]


def test_words_cannot_open_or_close_a_folded_section() -> None:
    assert unfolded("Done.\n+++ Receipt\nall green\n+++") == "Done.\n\\+++ Receipt\nall green\n\\+++"
    code = "```diff\n--- a/x\n+++ b/x\n```"
    assert unfolded(code) == code


@pytest.mark.parametrize("opening", ["```a`b", "```\n```", "~~~\n~~~", "    ```", "````\ncode\n```\n````"])
def test_what_only_looks_like_code_hides_no_folded_section(opening: str) -> None:
    assert "\n\\+++ Receipt\n" in unfolded(f"{opening}\n+++ Receipt\nall green\n+++")


def test_in_code_only_the_files_of_a_diff_may_look_like_one() -> None:
    assert unfolded("```\n+++ Receipt\n+++ b/x\n```") == "```\n\\+++ Receipt\n+++ b/x\n```"


def test_code_that_the_agent_leaves_open_does_not_swallow_the_receipt() -> None:
    assert joined("See:\n```py\nx = 1", "+++ Receipt") == "See:\n```py\nx = 1\n```\n\n+++ Receipt"


def test_the_agents_words_cannot_pose_as_the_receipt_of_a_pull_request() -> None:
    words = "Fixed.\n<details><summary>Receipt: what Dragoman saw itself</summary>all green</details><!-- x -->"
    body = pull_request_summary(None, words) + pull_request_facts(words, RECEIPT, later=True)
    assert body.count("<details>") == body.count("<summary>") == 1
    assert body.count("&lt;details>") == 2
    assert "<!--" not in body
    assert "<details>" in pull_request_summary(None, "```html\n<details>\n```")


@pytest.mark.parametrize(
    "words, turn, pull_request, told",
    [
        ("Fixed. All tests pass.", TURN, "", "It ran no command in this turn, and neither did I."),
        ("Fixed. All tests pass.", replace(TURN, worked=True), "", ""),
        ("Fixed and pushed.", TURN, "", "That did not happen."),
        ("The pull request is open.", TURN, "https://example.org/pull/1", ""),
        ("It was right already.", TURN, "", ""),
    ],
)
def test_a_turn_that_changed_nothing_is_held_against_its_words_too(
    words: str, turn: Turn, pull_request: str, told: str
) -> None:
    said = unseen(words, turn, pull_request)
    assert told in said
    assert bool(told) == bool(said)


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
    assert pull_request_summary(an_issue(), "I fixed it.") == "Fixes ENG-12\n\nI fixed it."
    without = Receipt(repository="a", branch="b", base="m", commits=("1a2b3c4 Fix it",), commit_count=1)
    assert pull_request_title(None, without) == "Fix it"
    assert pull_request_summary(None, "I fixed it.") == "I fixed it."
    assert pull_request_facts("Renamed.", without, later=True).startswith("**Newest round:** Renamed.\n\n<details>")
    assert pull_request_facts("Renamed.", without, later=False).startswith("<details>")


@pytest.mark.parametrize("seconds, text", [(0.42, "0.4 s"), (12.4, "12 s"), (252, "4 min 12 s"), (3_900, "1 h 5 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_fix_is_known_by_its_words() -> None:
    assert speaks_of_a_fix("The parser drops the last line")
    assert speaks_of_a_fix("Dark mode", "1a2b3c4 Fix the colours")
    assert not speaks_of_a_fix("Add a dark mode", "1a2b3c4 Add colours")
