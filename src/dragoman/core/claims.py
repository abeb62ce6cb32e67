"""What the agent's words claim of tests and of the forge, so that it can be held against what we saw ourselves.

A claim is looked for sentence by sentence, in the words that agents use. What denies, hopes or asks claims nothing:
only what stands before the claim's verb can take it back ("did not run the tests"), not what follows ("tests pass, no
regressions"). It is a help for readers: it misses some phrasings, and whatever it finds stands beside the receipt,
which says what ran in any case.
"""

from __future__ import annotations

import re

_TESTS = (
    r"(tests?|test ?suite|suite|specs?|checks?|ci|pytest|unittest|jest|vitest|rspec|tox|"
    r"(go|cargo|npm|yarn|pnpm|make|mvn|gradle|dotnet|bun) (run )?test)"
)
_PASSES = r"pass(es|ed|ing)?(?! (the|an?|its?|on)\b)"
_GOOD = rf"({_PASSES}|green|succeed(s|ed|ing)?|successful(ly)?|ok|clean|fine|✅|✔️?|☑️?)"
_NO_FAILURE = (
    r"\b(no|zero|0|without( any)?) ([\w-]+ )?(failures?|failed|failing)\b|\bnothing (fails|is failing|failed)\b"
)
_TESTED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_TESTS}\b[^\n]{{0,60}}?(?<!\w){_GOOD}(?!\w)",  # "the tests of the parser now pass", "CI: ✅"
        rf"(✅|✔|☑)[^\n]{{0,40}}?\b{_TESTS}\b",
        rf"\b(passing|green|successful|clean) ([\w-]+ ){{0,2}}{_TESTS}\b",
        rf"\b(\d+|all|everything|they)( of them| \d+)?( (now|still|also))* ({_PASSES}|(is|are) (\w+ )?(green|passing))(?!\w)",
        r"\ball green\b",
        r"\b\d+ ?/ ?\d+\b[^\n]{0,20}\b(pass(ed|ing)?|green)\b",
        _NO_FAILURE,
        rf"\b(ran|run|executed|re-?ran)\b[^\n]{{0,40}}?\b{_TESTS}\b[^\n]{{0,30}}\b(success|no (errors?|problems?|issues?))\b",
        r"\b(tested|verified|confirmed|validated)\b[^\n]{0,40}\b(works?|correct(ly)?|as expected|passing)\b",
    )
)
# "no failures" takes nothing back
_GOOD_NEWS = re.compile(rf"{_NO_FAILURE}|\b(no|zero|without( any)?) (errors?|problems?|issues?)\b", re.IGNORECASE)
_PUSHED = re.compile(
    r"\b(i|i've|i have|and|then|also|was|were|been|is|are) pushed\b|^\W*pushed\b|"
    r"\bmerged ([\w ]{1,60} )?into `?(main|master|trunk|develop)\b",
    re.IGNORECASE,
)
_OFFERED = re.compile(
    r"\b(opened|created|raised|submitted|made|filed) (a|an|the|this|my)?( new| draft)? ?(pull request|merge request|pr|mr)\b|"
    r"\b(pull request|merge request|pr|mr)\b( #?\d+)? (is|has been|was) (now )?(open(ed)?|up|created|submitted|ready|merged)\b",
    re.IGNORECASE,
)
# What is not so, not known, or only wanted.
_TAKES_BACK = re.compile(
    r"\b(not|no|never|none|nothing|nor|neither|cannot|without|fail(s|ed|ing|ure|ures)?|unable|unverified|untested|unknown|unclear|"
    r"should|would|could|might|may|must|will|hope(fully)?|expect|if|whether|once|until|unless|please|make sure|ensure|"
    r"to (make|get|see|let|have|be))\b|n't\b|\bn[’']t\b",
    re.IGNORECASE,
)
_PARTS = re.compile(r"(?<=[.!?;])\s+|\n|,? but |,? however,? |[—–]")
_MARKUP = re.compile(r"[*_`]+")


def says_tested(words: str) -> bool:
    """Whether they claim that tests, or checks like them, have passed."""
    return any(_claims(pattern, part) for part in _parts(words) for pattern in _TESTED)


def says_pushed(words: str) -> bool:
    """Whether they claim that something was pushed."""
    return any(_claims(_PUSHED, part) for part in _parts(words))


def says_offered(words: str) -> bool:
    """Whether they claim that a pull request was opened."""
    return any(_claims(_OFFERED, part) for part in _parts(words))


def _parts(words: str) -> list[str]:
    return [part for part in _PARTS.split(_MARKUP.sub("", words)) if not part.rstrip().endswith("?")]


def _claims(pattern: re.Pattern[str], part: str) -> bool:
    found = pattern.search(part)
    if found is None:
        return False
    return not _TAKES_BACK.search(_GOOD_NEWS.sub("", part[: found.end()]))
