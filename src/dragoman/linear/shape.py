"""A webhook's payload as it may stand in a log: its shape, ids, kinds and times, and nothing that anybody wrote.

What is kept is listed, so that a field which Linear adds one day is left out until somebody has looked at it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from dragoman.record import without_halves

MOST_ITEMS: Final = 10  # of a list
DEEPEST: Final = 12

_PLAIN: Final = re.compile(
    r"[\w.:+\-]{0,64}", re.ASCII
)  # ids, kinds and times look like this; sentences and URLs do not
_NAME: Final = re.compile(r"\w{1,64}", re.ASCII)
_KEPT: Final = frozenset({"action", "identifier", "key", "signal", "status", "type"})
_KEPT_ENDS: Final = ("Id", "Ids", "At", "Timestamp")


def shape_of(body: bytes) -> Any:
    """What may be logged of a body; a word instead when it is no JSON."""
    try:
        return _of(msgspec.json.decode(without_halves(body)), "", DEEPEST)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"[{len(body)} bytes that are no JSON]"


def _of(value: Any, key: str, depth: int) -> Any:
    match value:
        case dict() | list() if not depth:
            return "[deeper]"
        case dict():
            return {
                name if _NAME.fullmatch(name) else "[name]": _of(each, name, depth - 1) for name, each in value.items()
            }
        case list():
            shown = [_of(each, key, depth - 1) for each in value[:MOST_ITEMS]]
            return [*shown, f"[{len(value) - MOST_ITEMS} more]"] if len(value) > MOST_ITEMS else shown
        case str():
            kept = key == "id" or key in _KEPT or key.endswith(_KEPT_ENDS)
            return value if kept and _PLAIN.fullmatch(value) else f"[text, {len(value)} characters]"
        case _:
            return value
