"""Keeps the projection current: one task that follows the ledger, and writes what changed.

Nothing waits for it. A turn wakes it; so does half a second, for turns of other processes and for a Redis that has
changed behind our back. It goes on from where the projection says it is, so it needs no memory of its own: after an
outage it catches up, and a Redis that came back empty is filled again. Once an hour it writes everything anew, a little at a
time, which mends what nobody can notice, such as keys that a full Redis has evicted.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from msgspec.structs import replace

from dragoman import logs
from dragoman.core.session import Session
from dragoman.errors import LedgerError, ProjectionError
from dragoman.ids import SessionId
from dragoman.ledger import changes, read
from dragoman.ledger.changes import Cursor, NumberedLine, Place, SessionCopy, Swept
from dragoman.ledger.cleanup import DAY_S
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.projection.layout import Entry, MessageRow, SessionRow, moment
from dragoman.projection.store import Change, Found, RedisStore

LOOK_S = 0.5  # so often it looks by itself
GATHER_S = 0.05  # turns come in bursts
STEP_ASIDE_S = 0.4  # for so long, while webhooks come in a flood
SIGN_S = 10.0  # so often it says that it is current, when nothing changes
SWEEP_S = 3_600.0
STEP_S = 30.0  # longer than any answer may take
LONGEST_PAUSE_S = 5.0  # between two attempts while Redis is away
TRIES = 100  # of one change, when others change the projection meanwhile
_log = logs.get("projector")


# Why the projection cannot be followed up: there is none, it is another ledger's, it is too far behind.
_Why = Literal["", "empty", "foreign", "far"]


class Projector:
    """Copies one ledger into one Redis.

    calm            set while nothing more urgent is under way
    retention_days  so long after its last change a session without a live turn leaves the projection; 0 = never
    """

    def __init__(
        self,
        ledger: SqliteLedger,
        store: RedisStore,
        *,
        calm: asyncio.Event | None = None,
        retention_days: float = 0,
        look_s: float = LOOK_S,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._calm = calm
        self.retention_days = retention_days
        self._look_s = look_s
        self._woken = asyncio.Event()
        self._name = ""
        self._now = asyncio.get_running_loop().time
        # What the last look at the projection said.
        self._why: _Why = ""
        self._more = False
        self._rebuilding = True
        # Under way, and when the next one is due.
        self._place: Place | None = None
        self._sweep_at = self._now() + SWEEP_S
        # For people.
        self._current_at = self._now()
        self._signed_at = float("-inf")
        self._trouble = ""

    # ── what /readyz and /metrics tell ───────────────────────────────────
    def age_s(self) -> float:
        """For how long it has not been known to equal the ledger; counted from the start when it never was."""
        return self._now() - self._current_at

    def state(self) -> str:
        """How it fares, in a few words."""
        if self._trouble:
            return f"behind for {self.age_s():.0f} s: {self._trouble}"
        return "rebuilding" if self._rebuilding else "current"

    def trouble(self) -> str:
        """Why it cannot be kept current at the moment; empty when it can."""
        return self._trouble

    # ── following ────────────────────────────────────────────────────────
    def told(self, _session: Session) -> None:
        """A turn was decided."""
        self._woken.set()

    def sweep_soon(self) -> None:
        """Write everything anew with the next step, a little at a time."""
        self._sweep_at = self._now()

    async def run(self) -> None:
        """Follow until cancelled. Nothing that Redis does ends it."""
        pause = self._look_s
        while True:
            self._woken.clear()
            try:
                async with asyncio.timeout(STEP_S):
                    await self._step()
            except (ProjectionError, LedgerError, TimeoutError) as error:
                self._failed(str(error) or f"no answer within {STEP_S:g} s")
            except Exception as error:  # noqa: BLE001  a border: whatever a server sends us, a copy ends no service
                _log.error("projection.broke", error=repr(error), exc_info=True)
                self._failed("something broke on our side; the log has the details")
            else:
                self._went_well()
                pause = self._look_s
            _heed_cancellation()
            if self._trouble:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            if self._place is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_s):
                        await self._woken.wait()
                await asyncio.sleep(GATHER_S)
            await self._step_aside()

    async def close(self, timeout_s: float) -> None:
        """Copy what is still missing, if that is quick, and let Redis go; after `run` has ended."""
        with suppress(ProjectionError, LedgerError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                if not self._trouble:
                    await self._follow()
        with suppress(ProjectionError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._store.close()

    async def rebuild(self) -> int:
        """Write everything anew, and return how many sessions there are. Readers miss nothing meanwhile.

        Raises  ProjectionError, LedgerError
        """
        self._place = Place()
        swept = False
        while not swept:
            await self._follow()
            swept = await self._sweep()
        await self._follow()
        return (await self._ledger.read(read.stats)).total

    async def _step(self) -> None:
        await self._follow()
        if self._place is None and (self._rebuilding or self._now() >= self._sweep_at):
            self._place = Place()
        if self._place is not None:
            await self._sweep()

    async def _step_aside(self) -> None:
        if self._calm is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STEP_ASIDE_S):
                    await self._calm.wait()

    async def _follow(self) -> None:
        """Bring the projection to where the ledger is now."""
        for _ in range(TRIES):
            written = await self._store.change(self._what_is_new)
            if self._why:
                await self._start_over()
            elif written is not False and not self._more:
                if not self._rebuilding:
                    self._current_at = self._now()
                return
            elif written:
                await self._step_aside()
        raise ProjectionError("others change the projection again and again")

    async def _what_is_new(self, found: Found | None) -> Change | None:
        name = await self._named()
        self._why = "empty" if found is None else "foreign" if found.ledger != name else ""
        if found is None or self._why:
            return None
        self._rebuilding = found.state == "rebuilding"
        cursor = Cursor.of(found.cursor)
        new = None if cursor is None else await self._ledger.read(changes.since, cursor)
        if new is None:
            self._why = "far"
            return None
        self._more = new.stats is None
        if new.cursor == cursor and self._now() - self._signed_at < SIGN_S:
            return None
        entries, expired = self._entries(new.copies, new.at)
        stats = new.stats
        if stats is not None:
            self._signed_at = self._now()
        return Change(
            about=Found(ledger=name, cursor=str(new.cursor), state=found.state),
            entries=entries,
            gone=(*new.gone, *expired),
            stats=None if stats is None else {each: getattr(stats, each) for each in stats.__struct_fields__},
            as_of="" if stats is None or self._rebuilding else moment(new.at),
        )

    async def _start_over(self) -> None:
        """Begin to write everything: onto nothing, or over what is there when that is ours."""
        name, why = await self._named(), self._why
        if why != "far":
            writer = await self._store.writer()
            if writer not in {None, name}:
                raise ProjectionError(
                    "another Dragoman copies its ledger into this database; give each its own number, "
                    "as in redis://localhost:6379/1"
                )
            await self._store.wipe()
        _log.info("projection.rebuilding", why=why)

        async def from_here(found: Found | None) -> Change | None:
            if found is not None and found.ledger != name:
                return None
            cursor = await self._ledger.read(changes.head)
            return Change(about=Found(ledger=name, cursor=str(cursor), state="rebuilding"))

        await self._store.change(from_here)
        self._place = Place()
        self._signed_at = float("-inf")  # what else stands there is to be written with the next look

    # ── sweeping ─────────────────────────────────────────────────────────
    async def _sweep(self) -> bool:
        """Write the next few sessions as they are; after the last, remove what the ledger does not know, and say so."""
        place, swept = self._place or Place(), Swept(copies=(), place=None, at=0.0)

        async def as_they_are(found: Found | None) -> Change | None:
            nonlocal swept
            if found is None or found.ledger != await self._named():
                return None  # the next look tells what that means
            swept = await self._ledger.read(changes.sweep, place)
            entries, expired = self._entries(swept.copies, swept.at)
            return Change(about=found, entries=entries, gone=expired)

        written = await self._store.change(as_they_are)
        if not written:
            return False
        self._place = swept.place
        if swept.place is None:
            await self._end_sweep()
        return swept.place is None

    async def _end_sweep(self) -> None:
        async for ids in self._store.indexed():

            async def without_strangers(found: Found | None, ids: list[SessionId] = ids) -> Change | None:
                gone = await self._ledger.read(changes.unknown, ids)
                return Change(about=found, gone=gone) if gone and found is not None else None

            await self._store.change(without_strangers)
        complete = False
        for _ in range(TRIES):
            if complete := await self._store.change(self._as_complete) is not False:
                break
        self._sweep_at = self._now() + SWEEP_S
        _log.info("projection.swept", complete=complete)

    async def _as_complete(self, found: Found | None) -> Change | None:
        if found is None or found.ledger != await self._named() or found.state == "complete":
            return None
        self._rebuilding = False
        return Change(about=replace(found, state="complete"))

    # ── from the ledger's words to readers' ──────────────────────────────
    def _entries(self, copies: Sequence[SessionCopy], at: float) -> tuple[tuple[Entry, ...], tuple[SessionId, ...]]:
        """What is written, and which sessions are too old for it."""
        entries: list[Entry] = []
        expired: list[SessionId] = []
        for copy in copies:
            kept = self.retention_days and not copy.live
            expires_at = copy.updated_at + self.retention_days * DAY_S if kept else None
            if expires_at is not None and expires_at <= at:
                expired.append(copy.id)
            else:
                entries.append(_entry(copy, expires_at))
        return tuple(entries), tuple(expired)

    async def _named(self) -> str:
        if not self._name:
            known = await self._ledger.read(changes.ledger_id)
            if known is None:
                known = await self._ledger.turn(changes.name_ledger, secrets.token_hex(8))
            self._name = known
        return self._name

    # ── telling ──────────────────────────────────────────────────────────
    def _failed(self, why: str) -> None:
        if not self._trouble:
            _log.warning("projection.behind", error=why, what="the ledger holds everything; the copy will catch up")
        self._trouble = logs.masked(why)

    def _went_well(self) -> None:
        if self._trouble:
            _log.info("projection.caught_up")
        self._trouble = ""


def _heed_cancellation() -> None:
    """End the task if that was asked for. The client's writes go through `wait_for`, which in Python 3.11 swallows a
    cancellation that comes just when the write is done: bugs.python.org/issue37658"""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _entry(copy: SessionCopy, expires_at: float | None) -> Entry:
    session = copy.session
    issue, creator, workspace = (session.issue, session.creator, session.workspace) if session else (None, None, None)
    row = SessionRow(
        id=copy.id,
        organization=copy.organization,
        host=copy.host,
        status=copy.status,
        status_at=copy.status_at,
        phase=copy.phase,
        live=copy.live,
        created_at=copy.created_at,
        updated_at=copy.updated_at,
        issue=copy.issue,
        issue_key=copy.issue_key,
        issue_title=logs.masked(issue.title) if issue and issue.title else None,
        team=issue.team_key if issue else None,
        creator=creator.name if creator else None,
        thread=session.thread if session else None,
        repository=workspace.repository if workspace else None,
        branch=workspace.branch if workspace else None,
        turns=session.turns if session else 0,
    )
    lines = tuple(_message(each) for each in copy.lines)
    return Entry(row=row, lines=lines, after=copy.after, upto=copy.upto, first=copy.first, expires_at=expires_at)


def _message(numbered: NumberedLine) -> MessageRow:
    line = numbered.line
    return MessageRow(
        n=numbered.n,
        turn=line.turn,
        at=moment(line.at),
        role=line.role,
        text=logs.masked(line.text),
        author=line.author,
        linear_id=line.linear_id,
        opencode_id=line.opencode_id,
        tokens=line.tokens,
        cost=line.cost,
    )
