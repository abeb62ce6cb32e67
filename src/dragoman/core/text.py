"""Text that has to fit."""

from __future__ import annotations


def one_line(text: str, most: int) -> str:
    """The text on one line, at most `most` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"
