"""Dragoman stands between Linear, where people ask, and OpenCode, where an agent works.

For programs: `OpenCodeClient` talks with an OpenCode server, `read_context` reads a Linear webhook,
`read_trouble` an error; see their docstrings. They are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.core.context import LinearContext
    from dragoman.core.trouble import Trouble, read_trouble
    from dragoman.core.wording import fallback
    from dragoman.linear.context import read_context
    from dragoman.opencode.conversations import Completion, OpenCodeClient, OpenCodeSession, Reply, SessionState
    from dragoman.opencode.listening import Chunk

__version__ = "0.1.0"
__all__ = [
    "Chunk",
    "Completion",
    "LinearContext",
    "OpenCodeClient",
    "OpenCodeSession",
    "Reply",
    "SessionState",
    "Trouble",
    "__version__",
    "fallback",
    "read_context",
    "read_trouble",
]

_PLACES = {
    "Chunk": "opencode.listening",
    "Completion": "opencode.conversations",
    "LinearContext": "core.context",
    "OpenCodeClient": "opencode.conversations",
    "OpenCodeSession": "opencode.conversations",
    "Reply": "opencode.conversations",
    "SessionState": "opencode.conversations",
    "Trouble": "core.trouble",
    "fallback": "core.wording",
    "read_context": "linear.context",
    "read_trouble": "core.trouble",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dragoman.{_PLACES[name]}"), name)
