"""Text on its way to Linear: cleaned of what cannot or must not be sent, and cut to a bound."""

from __future__ import annotations

import re

from dragoman import logs
from dragoman.linear.identity import Viewer

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours of a terminal
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_CUT_BACK = 80  # characters; how far back the end of a word is looked for


def clean(text: str, own: Viewer | None = None) -> str:
    """Drop what JSON or Linear cannot hold (lone surrogates, control characters), secrets, and mentions of ourselves.

    Our own name with "@" or our profile's URL could open a session of ours: both become the bare name. An agent may have
    read OpenCode's password or the provider's key; the people of an organization should not.
    """
    text = logs.without_secrets(sound(text))
    return _without_own_mention(text, own) if own is not None else text


def sound(text: str) -> str:
    """Drop what JSON or Linear cannot hold, and nothing else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def shorten(text: str, limit: int, *, link: str | None = None) -> str:
    """Return at most `limit` characters, cut at a word, with a note that says how many there were and where they are.

    A code block that the cut left open is closed.
    """
    if len(text) <= limit:
        return text
    where = f": {link}" if link else ""
    note = f"\n\n… (shortened; {len(text)} characters in all{where})"
    closing = "\n" + "`" * 3
    if limit <= len(note) + len(closing) + _CUT_BACK:
        return clip(text, limit)
    kept = _at_word(text, limit - len(note) - len(closing))
    fence = _open_fence(kept)
    return kept + (f"\n{fence}" if fence else "") + note


def clip(text: str, limit: int) -> str:
    """Return one line of at most `limit` characters; what was cut is an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _at_word(text: str, limit: int) -> str:
    head = text[:limit]
    if text[limit].isspace():
        return head.rstrip()
    for end in range(limit - 1, max(limit - _CUT_BACK, 0), -1):
        if head[end].isspace():
            return head[:end].rstrip()
    return head


def _open_fence(text: str) -> str:
    """The three signs that close a code block which `text` leaves open; empty when none is."""
    opened = ""
    for fence in _FENCE.findall(text):
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return opened[:3]


def _without_own_mention(text: str, own: Viewer) -> str:
    if own.url:
        text = re.sub(re.escape(own.url.rstrip("/")) + r"/?(?![\w-])", own.name, text, flags=re.IGNORECASE)
    text = re.sub(rf'<user id="{re.escape(own.id)}">(.*?)</user>', r"\1", text, flags=re.DOTALL)
    names = sorted({name for name in (own.name, own.name.replace(" ", ""), own.display_name) if name}, key=len)
    for name in reversed(names):
        text = re.sub(rf"(?<![\w@])@({re.escape(name)})(?![\w-])", r"\1", text, flags=re.IGNORECASE)
    return text
