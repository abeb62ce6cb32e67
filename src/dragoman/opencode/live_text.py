"""What an agent says, as it says it: each character once and in order, whatever happens to the stream. Pure.

Pieces come only over the stream, which has no replay, and OpenCode itself knows a text only when it has ended. So a text
whose pieces may have a gap is not read along any further: the rest of it is told when it is whole.
"""

from __future__ import annotations

from msgspec import Struct

from dragoman.opencode import wire


class _Text(Struct):
    """One text that is being written. `gapless`: every piece since `told` was heard."""

    told: str = ""
    gapless: bool = False
    whole: bool = False


class LiveText:
    """The texts of one run."""

    def __init__(self) -> None:
        self._texts: dict[str, _Text] = {}

    def lost(self) -> None:
        """The stream had a gap: pieces of what is being written may be missing."""
        for text in self._texts.values():
            text.gapless = False

    def piece(self, part: str, piece: str) -> str:
        """What a piece of a part adds to what was told; nothing when the part is none of ours."""
        text = self._texts.get(part)
        if text is None or text.whole or not text.gapless:
            return ""
        text.told += piece
        return piece

    def part(self, part: wire.Part, *, heard: bool) -> str:
        """What a state of a part adds to what was told.

        heard  it came over the stream (and is a text's beginning when it is empty); else it was read over REST
        """
        if part.type != "text" or part.synthetic or part.ignored:
            return ""
        text = self._texts.setdefault(part.id, _Text())
        if text.whole:
            return ""
        # OpenCode trims a text when it ends: then nothing is added.
        added = part.text[len(text.told) :] if part.text.startswith(text.told) else ""
        if part.time is not None and part.time.end is not None:
            text.told, text.whole = "", True
            return added
        text.told += added
        if heard and not part.text and not text.told:
            text.gapless = True
        return added
