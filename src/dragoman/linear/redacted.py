"""Linear's promptContext without some of its comments. It is prose with tags, not XML: text is not escaped in it.

Source  linear.app/developers/agent-interaction
"""

from __future__ import annotations

import re
from collections.abc import Callable

_COMMENT = re.compile(r"(<comment\b[^>]*>)(.*?)(</comment>)", re.DOTALL)
LEFT_OUT = "(left out: its author may not give work to the agent)"


def without(context: str, is_unheard: Callable[[str], bool]) -> str:
    """The context with each comment left out whose words `is_unheard`."""
    return _COMMENT.sub(
        lambda comment: comment[1] + (LEFT_OUT if is_unheard(comment[2]) else comment[2]) + comment[3], context
    )
