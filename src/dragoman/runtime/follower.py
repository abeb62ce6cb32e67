"""Follows the runs of this host: reads what OpenCode does and tells it to the machine, each fact once.

Events are hints and REST is the truth. One stream for all runs; after each gap, when a thread falls idle, and every
now and then each run is read over REST. A run's own task does the telling, so that its facts keep their order.
A run that is followed twice for a moment (two processes) does no harm: facts have keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from dragoman import logs
from dragoman.core import wording
from dragoman.core.events.opencode import RunInterrupted, RunStalled
from dragoman.core.events.runs import RunFailed, RunStarted, RunWaiting
from dragoman.core.retry import backoff
from dragoman.core.session import Session, Working, Workspace
from dragoman.errors import LedgerError, NotFound, OpenCodeDown, OpenCodeError, Told
from dragoman.ids import AgentThread, AskId, RunId, SessionId
from dragoman.ledger import find
from dragoman.opencode.client import OpenCode
from dragoman.opencode.inbound import RunView, Verdict
from dragoman.opencode.stream import Connected, EventStream, Heard, Lost, Streamed
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.engine import Engine

RESYNC_S = 20.0
LOOK_AGAIN_S = 0.5  # after a failed read
SAID_DOWN_AFTER_S = 4.0  # a restart of the server takes about as long: nobody need hear of it
STALL_S = 1_200.0
ADOPT_S = 30.0  # how often the ledger is asked for runs that nobody told us of
BROKEN_LOOKS = 5  # after so many failures of our own in a row the run is given up

_log = logs.get("follower")


class _Followed:
    """One run under watch."""

    def __init__(self, session: Session, phase: Working, thread: AgentThread, place: Workspace) -> None:
        turn = phase.turn
        self.session = session.id
        self.place = place
        self.run: RunId = turn.run
        self.view = RunView(
            turn.run,
            thread,
            place.directory,
            turn.messages,
            attempts=turn.attempts,
            asks=asks_of(phase),
        )
        self.asks = asks_of(phase)  # that the session thinks open
        self.resuming = turn.resuming  # OpenCode was not told yet to go on: it looks cut, and that is known
        self.broke = 0  # how often in a row a bug of ours kept us from following
        self.news = asyncio.Event()  # something was applied to the view
        self.resync = asyncio.Event()  # REST should be read
        self.task: asyncio.Task[None] | None = None
        self.down_since: float | None = None
        self.said_down = False  # once an outage is enough
        self.changed = (0, 0, time.monotonic())  # fingerprint, pieces of text, when they last changed


class Follower:
    """Follows every run of a host; hears from the engine which those are."""

    def __init__(self, engine: Engine, host: AgentHost) -> None:
        self._engine = engine
        self._host = host
        self._followed: dict[SessionId, _Followed] = {}
        self._by_thread: dict[str, _Followed] = {}
        self._stream: EventStream | None = None
        self._client: OpenCode | None = None
        self._some = asyncio.Event()
        self._closed = False
        engine.listen(self.note)

    @property
    def open_runs(self) -> int:
        """How many runs are under watch."""
        return len(self._followed)

    def note(self, session: Session) -> None:
        """A session has moved: follow its run, or let it go."""
        phase, thread, place = session.phase, session.thread, session.workspace
        known = self._followed.get(session.id)
        if not isinstance(phase, Working) or thread is None or place is None:
            if known is not None:
                self._let_go(known)
            return
        if known is not None and known.run != phase.turn.run:
            self._let_go(known)
            known = None
        if known is None:
            if self._closed:
                return
            known = _Followed(session, phase, thread, place)
            self._followed[session.id] = known
            self._by_thread[thread] = known
            if self._stream is not None:
                self._stream.follow(thread)
            known.resync.set()
            known.task = asyncio.create_task(self._tend(known))
            self._some.set()
            return
        known.asks, known.resuming = asks_of(phase), phase.turn.resuming
        for message in phase.turn.messages:
            if message not in known.view.messages:
                known.view.add_message(message)
                known.resync.set()
        if known.view.attempts != phase.turn.attempts:
            known.view.resumed(phase.turn.attempts)

    async def run(self) -> None:
        """Follow until closed."""
        adopting = asyncio.create_task(self._adopt())
        try:
            while not self._closed:
                await self._some.wait()
                try:
                    self._client = await self._host.client()
                except (OpenCodeError, Told) as error:
                    _log.debug("server.away", error=str(error))
                    await asyncio.sleep(LOOK_AGAIN_S)
                    continue
                await self._read_stream(self._client)
        finally:
            adopting.cancel()

    async def close(self) -> None:
        """Stop following; the runs go on and are followed again after the next start."""
        self._closed = True
        self._some.set()
        if self._stream is not None:
            self._stream.close()
        tasks = [one.task for one in self._followed.values() if one.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _adopt(self) -> None:
        """Runs that were open before this process began, or that another process of the host started."""
        while True:
            before = dict(self._followed)
            try:
                working = await self._engine.ledger.read(find.working_runs, self._engine.host)
                for session in working:
                    self.note(session)
                # One that ended while the ledger was being read the time before may have been taken up again.
                for id_ in before.keys() - {session.id for session in working}:
                    if self._followed.get(id_) is before[id_]:
                        self._let_go(before[id_])
            except LedgerError as error:
                _log.warning("open_runs.unread", error=str(error))
            await asyncio.sleep(ADOPT_S)

    async def _read_stream(self, client: OpenCode) -> None:
        stream = self._stream = EventStream(client)
        self._follow_all(stream)
        async with contextlib.aclosing(stream.signals()) as signals:
            async for signal in signals:
                match signal:
                    case Heard():
                        self._heard(signal)
                    case Streamed():
                        pass  # people read whole texts; nothing here follows one as it comes
                    case Connected():
                        self._resync_all()
                    case Lost(reason=reason):
                        _log.info("stream.lost", reason=reason)
                        self._resync_all()
                        if await self._moved(client):
                            stream.close()
                            break
        self._stream = None

    def _follow_all(self, stream: EventStream) -> None:
        for one in self._followed.values():
            stream.follow(one.view.thread)
            for child in one.view.children:
                stream.follow(child)

    def _resync_all(self) -> None:
        for one in self._followed.values():
            one.resync.set()

    async def _moved(self, client: OpenCode) -> bool:
        """Whether the server was started anew elsewhere."""
        try:
            return await self._host.client() is not client
        except (OpenCodeError, Told):
            return True

    def _heard(self, heard: Heard) -> None:
        if not heard.thread:
            for one in self._followed.values():
                if one.view.directory == heard.directory:
                    one.resync.set()
            return
        owner = self._by_thread.get(heard.thread) or next(
            (each for each in self._followed.values() if each.view.owns(heard.thread)), None
        )
        if owner is None:
            for each in self._followed.values():  # a sub-agent that just began is known to its parent's view only
                each.view.apply_event(heard.event, time.time())
                each.news.set()
            return
        owner.view.apply_event(heard.event, time.time())
        owner.news.set()
        if owner.view.idle:
            owner.resync.set()

    # ── one run ──────────────────────────────────────────────────────────
    async def _tend(self, one: _Followed) -> None:
        verdict: Verdict | None = None
        read_at = 0.0
        while True:
            wait_s = max(0.0, read_at + RESYNC_S - time.monotonic())
            if verdict is not None:
                wait_s = min(wait_s, max(0.05, verdict.wait_s))
            await _either(one.news, one.resync, wait_s)
            asked = one.resync.is_set() or verdict is not None or time.monotonic() >= read_at + RESYNC_S
            one.news.clear()
            one.resync.clear()
            try:
                if asked and await self._look(one):
                    read_at = time.monotonic()
                    verdict = one.view.settled(verdict)
                if verdict is not None and one.resuming and isinstance(verdict.event, RunInterrupted):
                    verdict = None
                await self._tell(one)
                if verdict is not None and verdict.confirmed:
                    key = f"{one.run}:{verdict.key}"
                    await self._engine.tell(one.session, verdict.event, keys=(key,))
                    verdict = None
                await self._watch(one)
                one.broke = 0
            except LedgerError as error:
                _log.warning("facts.untold", run=one.run, error=str(error))
                self._start_over(one)
                await asyncio.sleep(LOOK_AGAIN_S)
            except Exception:  # noqa: BLE001  a border: a bug of ours must not leave the run without anybody who follows it
                one.broke += 1
                _log.error("follower.broke", run=one.run, times=one.broke, exc_info=True)
                self._start_over(one)
                await asyncio.sleep(backoff(one.broke))
                if one.broke >= BROKEN_LOOKS:  # each time, by its key heard once: the ledger may be away at the first
                    failed = RunFailed(run=one.run, reason=wording.trouble.broke_on_our_side(one.run))
                    with contextlib.suppress(LedgerError):
                        await self._engine.tell(one.session, failed, keys=(f"{one.run}:broke",))

    async def _look(self, one: _Followed) -> bool:
        """Read the run over REST; False when that was not possible."""
        view = one.view
        try:
            client = await self._host.client()
            view.apply_snapshot(await client.snapshot(view.thread, view.directory, view.resync_from()))
        except NotFound:
            reason = (
                "OpenCode no longer knows this conversation. Write to me again and I begin a new one from our history."
            )
            await self._engine.tell(one.session, RunFailed(run=one.run, reason=reason))
            return False
        except (OpenCodeDown, OpenCodeError, Told) as error:
            now = time.monotonic()
            one.down_since = one.down_since or now
            if now - one.down_since >= SAID_DOWN_AFTER_S and not one.said_down:
                one.said_down = True
                why = error.cause if isinstance(error, OpenCodeError) else ""
                waiting = RunWaiting(run=one.run, cause="opencode", detail=str(error), why=why)
                await self._engine.tell(one.session, waiting)
            await asyncio.sleep(LOOK_AGAIN_S)
            one.resync.set()
            return False
        if one.said_down:  # nothing else may be heard for long, and the session would run out of patience
            await self._engine.tell(
                one.session,
                RunStarted(
                    run=one.run,
                    thread=view.thread,
                    repository=one.place.repository,
                    directory=one.place.directory,
                    branch=one.place.branch,
                ),
            )
        one.down_since, one.said_down = None, False
        if self._stream is not None:
            for child in view.children:  # one that began before the stream was read: its asks must be heard at once
                self._stream.follow(child)
        return True

    async def _tell(self, one: _Followed) -> None:
        facts = [(f"{one.run}:{key}", fact) for key, fact in one.view.facts()]
        if facts:
            await self._engine.tell_all(one.session, facts)

    async def _watch(self, one: _Followed) -> None:
        """The stall watchdog: busy, nothing asked, and no sign of life."""
        pieces = self._stream.deltas(one.view.thread) if self._stream else 0
        fingerprint, seen, since = one.changed
        now = time.monotonic()
        if (fingerprint, seen) != (one.view.fingerprint(), pieces) or one.view.waiting or one.down_since:
            one.changed = (one.view.fingerprint(), pieces, now)
        elif now - since > STALL_S:
            one.changed = (fingerprint, seen, now)
            await self._engine.tell(one.session, RunStalled(run=one.run, minutes=round((now - since) / 60)))

    def _start_over(self, one: _Followed) -> None:
        """What was handed out but not put on disk must be handed out again: a new view knows nothing of it."""
        old = one.view
        one.view = RunView(old.run, old.thread, old.directory, old.messages, attempts=old.attempts, asks=one.asks)
        one.resync.set()

    def _let_go(self, one: _Followed) -> None:
        self._followed.pop(one.session, None)
        self._by_thread.pop(one.view.thread, None)
        if self._stream is not None:
            self._stream.unfollow(one.view.thread)
            for child in one.view.children:
                self._stream.unfollow(child)
        # A cancelled task holds where it was cancelled, and by that all it knew: the run with its conversation. Were it held
        # by the run in turn, both would stay until the collector comes by, and that counts objects, not what they weigh.
        task, one.task = one.task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        elif task is not None:
            # Told by its own task: it ends at its next wait.
            asyncio.get_running_loop().call_soon(task.cancel)
        if not self._followed:
            self._some.clear()


def asks_of(phase: Working) -> tuple[AskId, ...]:
    """The asks that a session thinks open."""
    return tuple(open_ask.ask.ask for open_ask in phase.asks)


async def _either(first: asyncio.Event, second: asyncio.Event, within_s: float) -> None:
    """Wait until one of two events is set, or the time is over."""
    if first.is_set() or second.is_set():
        return
    waits = [asyncio.ensure_future(first.wait()), asyncio.ensure_future(second.wait())]
    try:
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
