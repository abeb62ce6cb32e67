"""Dragoman stands between Linear, where people ask, and OpenCode, where an agent works.

For programs: `SessionManager` keeps sessions, `OpenCodeClient` talks with an OpenCode server, `read_context` reads a
Linear webhook, `read_trouble` an error; see docs/how-to/library.md. They are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.config import LibrarySettings
    from dragoman.config import load_library as load_library_settings
    from dragoman.core.context import LinearContext
    from dragoman.core.trouble import Trouble, read_trouble
    from dragoman.core.wording.trouble import fallback
    from dragoman.errors import LedgerError, NoAnswer, NotFound, OpenCodeDown, OpenCodeError, Refusal
    from dragoman.ledger.read import Stats
    from dragoman.linear.comment_context import read_context
    from dragoman.managed import (
        IllegalStatusChange,
        ManagedSession,
        MessageMetadata,
        SessionMessage,
        SessionOptions,
        UnknownSession,
    )
    from dragoman.manager import SessionManager
    from dragoman.opencode.conversations import Completion, OpenCodeClient, OpenCodeSession, Reply, SessionState
    from dragoman.opencode.listening import Chunk

__version__ = "0.1.0"
__all__ = [
    "Chunk",
    "Completion",
    "IllegalStatusChange",
    "LedgerError",
    "LibrarySettings",
    "LinearContext",
    "ManagedSession",
    "MessageMetadata",
    "NoAnswer",
    "NotFound",
    "OpenCodeClient",
    "OpenCodeDown",
    "OpenCodeError",
    "OpenCodeSession",
    "Refusal",
    "Reply",
    "SessionManager",
    "SessionMessage",
    "SessionOptions",
    "SessionState",
    "Stats",
    "Trouble",
    "UnknownSession",
    "__version__",
    "fallback",
    "load_library_settings",
    "read_context",
    "read_trouble",
]

# Where each name is, and its name there when that is another.
_MANAGED, _CONVERSATIONS = "managed", "opencode.conversations"
_PLACES = {
    "Refusal": "errors",
    "OpenCodeError": "errors",
    "OpenCodeDown": "errors",
    "NotFound": "errors",
    "NoAnswer": "errors",
    "LedgerError": "errors",
    "Chunk": "opencode.listening",
    "Completion": _CONVERSATIONS,
    "IllegalStatusChange": _MANAGED,
    "LibrarySettings": "config",
    "LinearContext": "core.context",
    "ManagedSession": _MANAGED,
    "MessageMetadata": _MANAGED,
    "OpenCodeClient": _CONVERSATIONS,
    "OpenCodeSession": _CONVERSATIONS,
    "Reply": _CONVERSATIONS,
    "SessionManager": "manager",
    "SessionMessage": _MANAGED,
    "SessionOptions": _MANAGED,
    "SessionState": _CONVERSATIONS,
    "Stats": "ledger.read",
    "Trouble": "core.trouble",
    "UnknownSession": _MANAGED,
    "fallback": "core.wording.trouble",
    "load_library_settings": "config:load_library",
    "read_context": "linear.comment_context",
    "read_trouble": "core.trouble",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
    place, _, there = _PLACES[name].partition(":")
    return getattr(importlib.import_module(f"dragoman.{place}"), there or name)
