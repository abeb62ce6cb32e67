"""Which words of an agent claim that tests passed or that something is on the forge, in the phrasings that agents use."""

from __future__ import annotations

import time

import pytest

from dragoman.core.claims import says_offered, says_pushed, says_tested

TESTED = (
    "All tests pass.",
    "All unit tests pass.",
    "I ran the test suite: it passes now.",
    "Fixed; the tests are green.",
    "Three tests were added, and all checks passed.",
    "Everything passes.",
    "All 12 pass.",
    "`pytest` is green.",
    "**All tests pass**, no regressions.",
    "All tests pass without errors.",
    "12 passed, 0 failed.",
    "CI is green.",
    "- [x] Tests pass",
    "✅ Tests",
    "Tests: ✅",
    "12/12 tests passing",
    "I ran the tests and there were no failures.",
    "Ran `npm test`: no errors.",
    "The suite succeeds.",
    "pytest tests/test_a.py passes",
    "I could not run the linter, but all unit tests pass.",
    "Verified with the tests that it works.",
    "I tested it and it works as expected.",
    "With passing tests.",
    "All tests are passing now",
    "tests OK",
    "Nothing fails.",
    "I made the tests pass.",
    "The new test passes, and so do the old ones.",
    "All three tests pass.",
    "I added a test for that; all three tests pass.",
    "All green!",
    "Unit tests: 5 passed",
    "The changes are in place and the tests still pass.",
    "We now have a green test suite.",
    "I confirmed that the fix works.",
)
NOT_TESTED = (
    "I did not run the tests, so I cannot say that they pass.",
    "Two tests fail, the others pass.",
    "Without the database no tests pass here.",
    "I added a test.",
    "Pass the result on.",
    "The tests should pass now.",
    "Please run the tests to see whether they pass.",
    "If the tests pass, merge it.",
    "I changed the parser so that CI will pass.",
    "Do the tests pass?",
    "I haven't checked whether the tests pass.",
    "No tests were run.",
    "Tests were not run; they might pass.",
    "It passes the value to the next function.",
    "I was unable to make the tests pass.",
    "The test passes the wrong argument",
    "One of the checks failed.",
    "Make sure the tests pass before you merge.",
    "Fixed the off-by-one in average().",
    "They passed a list to it.",
    "There are no problems with that.",
    "It compiles without errors.",
    "Items pass through the queue.",
)
DELIVERED = (
    "I pushed the branch and opened a pull request.",
    "Pushed.",
    "The PR is open.",
    "PR #12 is up.",
    "I've opened a PR.",
    "Created a draft pull request.",
    "The branch has been pushed.",
    "Changes were pushed to origin.",
    "Merged the fix into main.",
    "The pull request was created.",
)
NOT_DELIVERED = (
    "I did not push.",
    "Items are not pushed twice.",
    "Push the branch to open a pull request.",
    "I merged main into the branch.",
    "A pull request should be opened.",
    "Nothing was pushed.",
    "Dragoman will open the pull request.",
    "You can open a PR now.",
)


@pytest.mark.parametrize("words", TESTED)
def test_a_claim_that_tests_passed_is_found(words: str) -> None:
    assert says_tested(words)


@pytest.mark.parametrize("words", NOT_TESTED)
def test_what_is_denied_wanted_or_about_something_else_is_no_claim_of_tests(words: str) -> None:
    assert not says_tested(words)


@pytest.mark.parametrize("words", DELIVERED)
def test_a_claim_that_something_is_on_the_forge_is_found(words: str) -> None:
    assert says_pushed(words) or says_offered(words)


@pytest.mark.parametrize("words", NOT_DELIVERED)
def test_what_is_denied_wanted_or_about_something_else_is_no_claim_of_the_forge(words: str) -> None:
    assert not says_pushed(words)
    assert not says_offered(words)


@pytest.mark.parametrize("word", ["merged ", "passing ", "tests ", "all 1 ", "x", "no ", "opened a ", "✅"])
def test_long_words_take_no_long_time(word: str) -> None:
    began = time.process_time()
    assert not says_pushed(word * (20_000 // len(word)))
    says_tested(word * (20_000 // len(word)))
    assert time.process_time() - began < 5.0
