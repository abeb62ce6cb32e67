"""The base of every value that is stored, queued or compared, and JSON of others that values are read from."""

from __future__ import annotations

import re
from typing import dataclass_transform

from msgspec import Struct


# Type checkers do not inherit `frozen` from a Struct base: this says it once for all subclasses.
@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """An immutable value, tagged with its class name, so that unions of records decode by themselves.

    Defaults are left out when encoded: stored sessions stay small, and a field added later decodes from an old row.
    """


def whole(text: str) -> str:
    """The text with U+FFFD for each half of a character (a lone surrogate): nothing can store or send those.

    Two halves that belong together become the character that they are.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


# A whole pair, half of one, or any other escape, so that the text behind an escaped backslash is not taken for one.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def without_halves(body: bytes) -> bytes:
    """JSON with U+FFFD for each half of a character (a lone surrogate), which no JSON reader of ours takes.

    Programs in JavaScript write such halves whenever they cut a text in the middle of an emoji.
    """
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], body)
