"""The messages of one run as far as they are known, merged from events and snapshots. Pure.

Nothing goes backwards: a finished part does not run again and a completed message stays so, for an event may be older
than the snapshot that came before it, and the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from dragoman.opencode import wire

_RANK: Final = {"pending": 0, "running": 1, "completed": 2, "error": 2}


class Snapshot(Struct, frozen=True):
    """What REST says of a run at a moment.

    at           seconds since the epoch, when the reading began
    status       of the thread; idle when OpenCode lists none
    messages     of the thread, oldest first, from our first (or a later one that the view knows) on
    permissions  pending in the directory, and questions: of any thread
    children     sub-agents' threads with their status
    """

    at: float
    status: wire.Status
    messages: list[wire.Message] = []
    permissions: list[wire.Permission] = []
    questions: list[wire.QuestionRequest] = []
    children: dict[str, wire.Status] = {}


class _Row(Struct):
    """A part, and the mark of its content: what was told of it may then be let go."""

    part: wire.Part
    mark: int


class Picture:
    """Messages in the order of the thread, beginning with the first of ours."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.infos: dict[str, wire.MessageInfo] = {}
        self.changes = 0  # grows with every change, running output included
        self._rows: dict[str, dict[str, _Row]] = {}

    def parts(self, message: str) -> list[wire.Part]:
        """The parts of a message, in their order."""
        return [row.part for row in self._rows[message].values()]

    def messages(self) -> list[wire.Message]:
        """All of it, oldest first."""
        return [wire.Message(self.infos[known], self.parts(known)) for known in self.order]

    def newest_answer(self) -> str:
        """The id of the newest assistant message; "" when there is none."""
        return next((known for known in reversed(self.order) if self.infos[known].role == "assistant"), "")

    # ── merging ──────────────────────────────────────────────────────────
    def put_message(self, info: wire.MessageInfo) -> bool:
        """Merge what is said of a message; returns whether it is a new one."""
        known = self.infos.get(info.id)
        if known is None:
            self._rows.setdefault(info.id, {})
            if info.id not in self.order:
                self.order.insert(self._place_of(info), info.id)
        elif info.role == "user" or known == info or (known.time.completed is not None and info.time.completed is None):
            return False
        self.infos[info.id] = info
        self.changes += 1
        return known is None

    def _place_of(self, info: wire.MessageInfo) -> int:
        """Where a message stands that an event tells of: by its time, for the event may come late. Were it taken for the
        newest, the answer before it would no longer be the last word."""
        place = len(self.order)
        created = info.time.created
        while created is not None and place and (self.infos[self.order[place - 1]].time.created or 0) > created:
            place -= 1
        return place

    def put_part(self, part: wire.Part) -> bool:
        """Merge a part of a known message; returns whether it changed anything."""
        rows = self._rows.get(part.messageID)
        if rows is None:
            return False
        mark = _mark(part)
        known = rows.get(part.id)
        if known is not None and (known.mark == mark or _older(part, known.part)):
            return False
        if part.state is not None:
            # Raw points into the whole answer it was read from, which must not be kept for one tool's arguments.
            part = replace(part, state=replace(part.state, input=part.state.input.copy()))
        rows[part.id] = _Row(part, mark)
        self.changes += 1
        return True

    def reorder(self, ids: Sequence[str]) -> bool:
        """Take the order of a snapshot, which may begin in the middle; messages that it lacks come after it.

        returns  whether the order of what was known has changed
        """
        begin = self.order.index(ids[0]) if ids and ids[0] in self.order else 0
        listed = set(ids)
        before = [known for known in self.order[:begin] if known not in listed]
        after = [known for known in self.order[begin:] if known not in listed]
        order = [*before, *ids, *after]
        changed = order[: len(self.order)] != self.order
        self.order = order
        return changed

    def belongs(self, info: wire.MessageInfo, ours: Collection[str]) -> bool:
        """Whether a message that an event tells is part of the run; in doubt not: a snapshot will say."""
        if info.id in self.infos or info.id in ours:
            return True
        if info.role == "assistant":
            return info.parentID in self.infos
        first = self.infos.get(self.order[0]) if self.order else None
        return first is not None and (info.time.created or 0) >= (first.time.created or 0)

    def let_go(self, message: str, told: Collection[str]) -> None:
        """Forget arguments and results of a message's tools that were told (by part id)."""
        for row in self._rows[message].values():
            if row.part.state is not None and row.part.id in told:
                row.part = replace(row.part, state=replace(row.part.state, input=Raw(b"{}"), output=None))


def _mark(part: wire.Part) -> int:
    """A hash of what is told of a part, that does not depend on how the same JSON was written."""
    state = part.state
    ended = part.time.end if part.time is not None else None
    if state is None:
        return hash((part.text, ended))
    running = state.metadata.output if state.metadata is not None else None
    return hash((state.status, bytes(state.input), state.output, state.title, state.error, str(running)))


def _older(part: wire.Part, known: wire.Part) -> bool:
    """Whether `part` is a state of `known` that has passed."""
    if part.state is not None and known.state is not None:
        return _RANK.get(part.state.status, 0) < _RANK.get(known.state.status, 0)
    return known.time is not None and known.time.end is not None and (part.time is None or part.time.end is None)
