"""SessionManager: sessions for programs of your own, over the ledger and the machine of the service.

It decides nothing itself. What is asked of it becomes an event, the machine answers, and the ledger has it on disk before
the call returns. So a program may work beside a running service, on the same SQLite file: each sees what the other did.
A session that Linear made can be looked at and completed from here, too; what that takes (an abort, a last word to
people) the service performs.
"""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal, Self

from dragoman import logs
from dragoman.config import LibrarySettings, Settings
from dragoman.core import step as machine
from dragoman.core.context import LinearContext
from dragoman.core.events import Event
from dragoman.core.events.operators import (
    CompletionRequested,
    ErrorCounted,
    LibraryEvent,
    MessageAdded,
    OperatorEvent,
    ReactivationRequested,
    SessionMade,
    StatusRequested,
    ThreadLinked,
)
from dragoman.core.session import Resting, Session, Step, live_turn
from dragoman.core.status import STATUSES, Status, may_change, status
from dragoman.errors import Refusal, Theirs
from dragoman.ids import AgentThread, HostId, OrganizationId, SessionId, library_session_id
from dragoman.ledger import control, forgetting, kept, turns
from dragoman.ledger.audit import ALLOWED
from dragoman.ledger.control import UNFIT
from dragoman.ledger.kept import Kept
from dragoman.ledger.read import Stats, stats
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.managed import (
    IllegalStatusChange,
    ManagedSession,
    MessageMetadata,
    Role,
    SessionOptions,
    UnknownSession,
    message_of,
    metadata_of,
    one_of,
    sound,
)
from dragoman.record import whole

NOBODY: Final = OrganizationId("library")  # sessions of a program belong to no organization of Linear
HERE: Final = HostId("library")  # and to no host: nothing runs for them
SOURCE: Final = "library"  # in the audit trail
EXPIRED_AT_ONCE: Final = 200
_CHANCE: Final = string.digits + string.ascii_lowercase
_log = logs.get("manager")


class SessionManager:
    """Creates, keeps, limits and ends sessions. Open it with `async with SessionManager.open(settings) as manager`.

    Every method raises LedgerError when the ledger cannot be read or written; nothing has happened then.
    """

    def __init__(self, ledger: SqliteLedger, settings: LibrarySettings, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._now = now
        self._rules = settings.rules

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings | LibrarySettings, *, clock: Callable[[], float] | None = None
    ) -> AsyncIterator[Self]:
        """Open the ledger, and look for sessions whose time is over now and then until it is closed.

        settings  `dragoman.load_library_settings()` reads the environment and `.env`
        clock     seconds since the epoch, for tests; None = the database's own
        Raises    ConfigurationError, or Refusal when the ledger cannot be used, with what to do
        """
        logs.hand_over()
        plain = settings if isinstance(settings, LibrarySettings) else LibrarySettings.of(settings)
        ledger = await SqliteLedger.open(plain.ledger_url, clock=clock)
        manager = cls(ledger, plain, clock or time.time)
        tending = asyncio.create_task(manager._tend(), name="session-manager")
        try:
            yield manager
        finally:
            tending.cancel()
            await asyncio.wait([tending])
            await ledger.close()

    # ── sessions ─────────────────────────────────────────────────────────
    async def create_session(
        self, linear_context: LinearContext, options: SessionOptions | None = None
    ) -> ManagedSession:
        """Make a session; each call makes another one.

        Raises  Refusal when the context is none or lacks something, an option is none, or sessions are switched off
        """
        options = SessionOptions() if options is None else options
        for given, wanted in ((linear_context, LinearContext), (options, SessionOptions)):
            if not isinstance(given, wanted):
                raise Refusal(f"A session is made from a {wanted.__name__}, not from a {type(given).__name__}.")
        linear_context, options = sound(linear_context), sound(options)
        if not self._settings.enabled:
            raise Refusal("Sessions are switched off: set ENABLE_SESSIONS=true.")
        if missing := linear_context.missing():
            raise Refusal(f"The context of the session says nothing in: {', '.join(missing)}.")
        for name, value in (("timeout_minutes", options.timeout_minutes), ("max_messages", options.max_messages)):
            if value is not None and value <= 0:
                raise Refusal(f"{name} must be greater than 0, not {value:g}.")
        chance = "".join(secrets.choice(_CHANCE) for _ in range(6))
        id_ = library_session_id(linear_context.issue_id, linear_context.user_id, self._now(), chance)
        event = SessionMade(
            context=linear_context,
            issue_key=options.issue_key,
            timeout_s=(options.timeout_minutes or 0.0) * 60.0,
            max_messages=options.max_messages or 0,
        )
        new = Session(id=id_, organization=NOBODY, host=HERE)

        def make(tx: Tx) -> Kept:
            turns.receive(tx, id_, event, new=lambda: new, turn_of=self._step)
            known = _known(tx, id_)
            control.note(tx, known.session, "create", SOURCE)
            return known

        return self._shown(await self._ledger.turn(make), "session.created")

    async def get_session(self, session_id: str) -> ManagedSession | None:
        """A session with its messages; None for an unknown id."""
        found = await self._ledger.read(kept.session, SessionId(whole(session_id)))
        return None if found is None else self._shown(found)

    async def get_session_by_issue(self, issue_id: str, user_id: str) -> ManagedSession | None:
        """The session of a person on an issue that goes on: an active one, else the newest that is over."""
        found = await self._ledger.read(kept.sessions_of, whole(issue_id), whole(user_id))
        best = min(found, key=lambda each: not self._is_active(each), default=None)
        return None if best is None else self._shown(best)

    async def get_active_sessions(self) -> list[ManagedSession]:
        """Sessions that are being created or active, newest first."""
        return [self._shown(each) for each in await self._ledger.read(kept.active)]

    async def get_stats(self) -> Stats:
        """How many sessions there are: total, active (those being created, too), completed, error, timeout."""
        return await self._ledger.read(stats)

    async def delete_session(self, session_id: str) -> bool:
        """Remove a session and all that was said in it; False for an unknown id.

        Raises  Refusal while work is under way in it
        """
        id_ = SessionId(whole(session_id))

        def delete(tx: Tx) -> Literal["unknown", "live", "gone"]:
            session = turns.load(tx, id_)
            if session is None:
                return "unknown"
            gone = forgetting.erase_rows(tx, id_)
            control.note(tx, session, "delete", SOURCE, ALLOWED if gone else UNFIT)
            return "gone" if gone else "live"

        became = await self._ledger.turn(delete)
        if became == "live":
            raise Refusal(f"Work is under way in {session_id}: complete the session first, and delete it then.")
        if became == "gone":
            _log.info("session.deleted", session=session_id)
        return became == "gone"

    # ── their life ───────────────────────────────────────────────────────
    async def update_session_status(self, session_id: str, status: Status, reason: str = "") -> ManagedSession:
        """Set a status; one that it has already changes nothing.

        A session that Linear made ends the work under way first, and has the status once that has ended.

        Raises  IllegalStatusChange, UnknownSession; Refusal for what is no status
        """
        if status not in STATUSES:
            raise Refusal(f"{status!r} is no status of a session: it is {one_of(STATUSES)}.")
        # Nothing begins a second time; the machine knows no such wish.
        event = StatusRequested(status="active" if status == "creating" else status, reason=reason)
        return await self._command(session_id, event, status, "session.status_changed", f"set_{status}")

    async def complete_session(self, session_id: str, reason: str = "") -> ManagedSession:
        """End a session; its messages get the line `Session completed: <reason>`.

        Raises  IllegalStatusChange (not from timeout or error: those may be completed, too), UnknownSession
        """
        event = CompletionRequested(reason=reason)
        return await self._command(session_id, event, "completed", "session.completed", "complete")

    async def reactivate_session(self, session_id: str) -> ManagedSession:
        """Have a session that is over go on. Raises IllegalStatusChange, UnknownSession."""
        return await self._command(session_id, ReactivationRequested(), "active", "session.reactivated", "reactivate")

    async def add_message(
        self,
        session_id: str,
        role: Role,
        text: str,
        metadata: MessageMetadata | Mapping[str, object] | None = None,
    ) -> ManagedSession:
        """Keep a message. It begins no work; that is what OpenCodeClient is for.

        metadata  a MessageMetadata, or a mapping with its names
        text      half of a character in it, as a cut in the middle of an emoji leaves it, becomes U+FFFD
        Raises    UnknownSession; Refusal for another role, a text that is none, or unknown metadata
        """
        if role not in {"user", "assistant", "system"}:
            raise Refusal(f"{role!r} is no role of a message: it is user, assistant or system.")
        about = metadata if isinstance(metadata, MessageMetadata) else metadata_of(metadata or {})
        event = MessageAdded(
            role=role,
            text=text,
            author=about.author,
            linear_id=about.linear_comment_id,
            opencode_id=about.opencode_message_id,
            tokens=about.tokens,
            cost=about.cost,
        )
        return await self._hear(session_id, event, "message.added")

    async def link_opencode_session(self, session_id: str, opencode_session_id: str) -> ManagedSession:
        """Say which session of OpenCode it is worked on in; that makes it active.

        Raises  UnknownSession; Refusal for a session that is over or has work under way
        """
        event = ThreadLinked(thread=AgentThread(opencode_session_id))
        return await self._hear(session_id, event, "session.linked", at_rest=True)

    async def increment_error_count(self, session_id: str, reason: str = "") -> ManagedSession:
        """Count a failed attempt; the third in a row makes the status "error".

        Raises  UnknownSession; Refusal for a session that is over or has work under way
        """
        return await self._hear(session_id, ErrorCounted(reason=reason), "session.error_counted", at_rest=True)

    async def cleanup(self) -> int:
        """End the sessions whose time is over, and say how many those were. Happens by itself now and then, too."""
        ended = 0
        while over := await self._ledger.turn(turns.expire, EXPIRED_AT_ONCE, turn_of=self._step):
            ended += len(over)
            for outcome in over:
                _log.info("session.timed_out", session=outcome.session.id if outcome.session else "")
        return ended

    # ── how ──────────────────────────────────────────────────────────────
    async def _command(
        self, session_id: str, event: OperatorEvent, wanted: Status, told: str, action: str
    ) -> ManagedSession:
        """What an operator may ask, too, so it stands in the audit trail as theirs does, refusals included."""
        id_, sound_event = SessionId(whole(session_id)), sound(event)

        def hear(tx: Tx) -> Kept | IllegalStatusChange:
            before = _known(tx, id_).session
            stands = status(before)
            legal = may_change(stands, wanted)
            if stands != wanted:
                control.note(tx, before, action, SOURCE, ALLOWED if legal else UNFIT)
            if not legal:
                return IllegalStatusChange(session_id, stands, wanted)
            if stands != wanted:
                turns.receive(tx, id_, sound_event, turn_of=self._step)
            return _known(tx, id_)

        found = await self._ledger.turn(hear)
        if isinstance(found, IllegalStatusChange):
            raise found
        return self._shown(found, told)

    async def _hear(
        self, session_id: str, event: OperatorEvent | LibraryEvent, told: str, *, at_rest: bool = False
    ) -> ManagedSession:
        """What only programs say of a session; `at_rest`: where no work is under way."""
        id_, sound_event = SessionId(whole(session_id)), sound(event)

        def hear(tx: Tx) -> Kept:
            session = _known(tx, id_).session
            if at_rest and not isinstance(session.phase, Resting):
                stands = "has work under way" if live_turn(session) else f"is {status(session)}; reactivate it first"
                raise Refusal(f"The session {session_id} {stands}.")
            turns.receive(tx, id_, sound_event, turn_of=self._step)
            return _known(tx, id_)

        return self._shown(await self._ledger.turn(hear), told)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(self._settings.cleanup_interval_minutes * 60.0)
            try:
                await self.cleanup()
            except Theirs as error:
                _log.warning("cleanup.failed", error=str(error))

    def _step(self, session: Session, event: Event, now: float) -> Step:
        return machine.step(session, event, now, self._rules)

    def _is_active(self, each: Kept) -> bool:
        return status(each.session) in {"creating", "active"}

    def _shown(self, found: Kept, told: str = "") -> ManagedSession:
        session = found.session
        if told:
            _log.info(told, session=session.id, status=status(session), messages=session.messages)
        return ManagedSession(
            id=session.id,
            status=status(session),
            context=session.context,
            issue_id=session.issue.id if session.issue else "",
            user_id=session.creator.id if session.creator else "",
            opencode_session_id=session.thread,
            timeout_minutes=(session.timeout_s or self._rules.timeout_s) / 60.0,
            max_messages=session.max_messages or self._rules.max_messages,
            message_count=session.messages,
            error_count=session.failures,
            created_at=found.created_at,
            last_activity_at=found.updated_at,
            messages=tuple(message_of(line) for line in found.messages),
            changes=found.changes,
        )


def _known(tx: Tx, id_: SessionId) -> Kept:
    found = kept.session(tx, id_)
    if found is None:
        raise UnknownSession(f"There is no session {id_!r}.")
    return found
