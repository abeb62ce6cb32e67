"""Whether an operator's regex may run away: on some texts it would take for ever, and everything would wait for it.

What repeats without a bound inside of what repeats without a bound, `(a+)+`, has more ways to fit than it has letters
to look at. Python's `re` tries them all, cannot be interrupted, and lets no other thread run meanwhile. Doubt. Other
patterns are slow, too (`.*.*.*x`, `(a|a)*`); how much text is looked at is bounded for their sake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# Python's own parser: a table of our own would misread escapes, classes and flags. It has no public name (`sre_parse`,
# which was one, is deprecated since 3.11); where a newer Python has another tree, the tests of this module say so.
_parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001
_GREEDY, _LAZY = _parser.MAX_REPEAT, _parser.MIN_REPEAT  # possessive ones never go back


def runs_away(pattern: str) -> bool:
    """Whether something unbounded repeats within something unbounded. Raises re.error"""
    return any(depth > 1 for depth in _depths(_parser.parse(pattern), 0))


def _depths(parsed: Any, depth: int) -> Iterator[int]:
    """How many unbounded repeats stand around each part."""
    for op, arguments in parsed:
        within = depth
        if op in {_GREEDY, _LAZY} and arguments[1] == _parser.MAXREPEAT:
            within += 1
            yield within
        for part in _parts(arguments):
            yield from _depths(part, within)


def _parts(arguments: Any) -> Iterator[Any]:
    """The patterns inside of a piece of a pattern."""
    if isinstance(arguments, _parser.SubPattern):
        yield arguments
    elif isinstance(arguments, list | tuple):
        for argument in arguments:
            yield from _parts(argument)
