"""The road out. A pool claims what is due, performs it and tells the outcome through the road in.

A pool sleeps until a commit wakes it or the next effect falls due; it never polls. What it performs may be performed
again after a crash: performers know that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dragoman import logs
from dragoman.core.effects import when_parked
from dragoman.core.events import Event
from dragoman.core.retry import TOO_OLD_S, backoff, slow_backoff
from dragoman.errors import ForgeError, LedgerError, Theirs
from dragoman.ledger import effects
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import RECURRING, Job, Pool
from dragoman.ledger.tx import Tx
from dragoman.runtime.engine import Engine, Heard

LEASE_S = 30.0
LET_GO_S = 0.5  # for what was told to stop to do so; whatever does not is left behind
LONGEST_NAP_S = 5.0  # another process may have inserted something: look again now and then
LEDGER_DOWN_NAP_S = 0.5
STEP_ASIDE_S = 0.5
SPEAKING: Pool = "linear"  # what people read
PROMPT_POOLS: frozenset[Pool] = frozenset({"abort", "timers"})
BROKEN_ATTEMPTS = 5  # how often an effect that makes us fail is tried before it is parked

_log = logs.get("workers")

# Performs one effect; the event that tells its outcome, or None when nobody needs to hear of it.
Perform = Callable[[Claimed], Awaitable[Event | None]]


class Postponed(Exception):
    """Not now. `event` tells the session why; `after_s` None = the usual backoff."""

    def __init__(self, why: str, *, event: Event | None = None, after_s: float | None = None) -> None:
        super().__init__(why)
        self.event = event
        self.after_s = after_s


class GivenUp(Exception):
    """Never. The effect is parked and `event`, if any, tells the session what that means."""

    def __init__(self, why: str, *, event: Event | None = None) -> None:
        super().__init__(why)
        self.event = event


class Pointless(Exception):
    """Not done, and later it would be of no use: a fleeting activity that has to stand back."""


class Recurs(Exception):
    """Done, and to be done again `after_s` from now. Only for jobs."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"again in {after_s:g} s")
        self.after_s = after_s


@dataclass(frozen=True)
class Taken:
    """What was taken from a pool.

    due   when something else may be taken, by the database's clock; None when only a commit can bring that about
    told  what sessions heard on the way
    """

    claimed: Sequence[Claimed]
    due: float | None = None
    told: Sequence[Heard] = ()


# Takes up to so many effects, each for so many seconds.
Take = Callable[[Tx, int, float], Taken]


class Workers:
    """One pool: up to `size` effects under way at a time.

    look     what decides which effects are taken, asked anew each time; None = those that are due, longest waiting first
    lease_s  how long a claim lasts; it is renewed three times as often
    """

    def __init__(
        self,
        engine: Engine,
        pool: Pool,
        size: int,
        perform: Perform,
        *,
        look: Callable[[], Take] | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._look = look or (lambda: self._take_due)
        self._engine = engine
        self.pool = pool
        self._size = size
        self._perform = perform
        self._lease_s = lease_s
        self._woken = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._stopping = asyncio.Event()
        self._looking = asyncio.Lock()
        self._took_at = 0.0
        engine.ledger.on_commit(self._woken_by)

    async def run(self) -> None:
        """Work until stopped."""
        renewing = asyncio.create_task(self._renew())
        try:
            while not self._stopping.is_set():
                await self._step_aside()
                self._woken.clear()
                try:
                    async with self._looking:
                        nap = 0.0 if self._stopping.is_set() else await self._take()
                except LedgerError as error:
                    _log.warning("claim.failed", pool=self.pool, error=str(error))
                    nap = LEDGER_DOWN_NAP_S
                if nap > 0:
                    await self._nap(nap)
        finally:
            renewing.cancel()

    async def stop(self, within_s: float) -> None:
        """Claim nothing more; let what is under way end within the time, then let go of it: it falls due again."""
        self._stopping.set()
        self._woken.set()
        self._engine.all_said.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._looking:
                pass  # a look that was under way has told its sessions what it had to tell them
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_s)
        for task in list(self._under_way):
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LET_GO_S)
        for claimed in self._under_way.values():
            _log.error("worker.stuck", pool=self.pool, effect=type(claimed.effect).__name__, n=claimed.n)

    async def _step_aside(self) -> None:
        """In a flood of deliveries their answers come first: Linear waits for them five seconds, and for a first thought
        ten; so what people read comes next. What they are waiting to see ended (aborts, timers) is not held up, and the
        rest for half a second only."""
        if self.pool in PROMPT_POOLS:
            return
        engine = self._engine
        for free in (engine.calm,) if self.pool == SPEAKING else (engine.calm, engine.all_said):
            left_s = self._took_at + STEP_ASIDE_S - time.monotonic()
            if not free.is_set() and left_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(free.wait(), left_s)

    async def _take(self) -> float:
        """Claim what there is room for; how long to sleep then."""
        self._took_at = time.monotonic()
        room = self._size - len(self._under_way)
        if room <= 0:
            return LONGEST_NAP_S

        look = self._look()

        def take(tx: Tx) -> tuple[Taken, float]:
            return look(tx, room, self._lease_s), tx.now

        taken, now = await self._engine.ledger.turn(take)
        self._engine.announce(taken.told)
        if self.pool == SPEAKING and len(taken.claimed) == room:
            self._engine.all_said.clear()
        elif self.pool == SPEAKING:
            self._engine.all_said.set()
        if self._stopping.is_set():
            return 0.0  # told to stop meanwhile: these fall due again
        for one in taken.claimed:
            before = next((task for task, known in self._under_way.items() if known.n == one.n), None)
            task = asyncio.create_task(self._do(one, before))
            self._under_way[task] = one
            task.add_done_callback(self._done)
        if len(taken.claimed) == room or taken.due is None:
            return LONGEST_NAP_S
        return min(LONGEST_NAP_S, max(0.0, taken.due - now))

    def _take_due(self, tx: Tx, limit: int, lease_s: float) -> Taken:
        claimed = effects.claim(tx, self.pool, host=self._engine.host, limit=limit, lease_s=lease_s)
        due = effects.next_due(tx, self.pool, self._engine.host) if len(claimed) < limit else None
        return Taken(claimed=claimed, due=due)

    async def _do(self, claimed: Claimed, before: asyncio.Task[None] | None) -> None:
        """Perform it and tell the outcome.

        before  an attempt of ours that is still under way though its claim has ended: the machine slept. Two at a time
                could make the same thing twice, so it is ended first
        """
        kind = type(claimed.effect).__name__
        if before is not None:
            _log.warning("claim.outlived", effect=kind, session=claimed.session, n=claimed.n)
            before.cancel()
            await asyncio.wait({before})
        try:
            await self._attempt(claimed, kind)
        except LedgerError as error:
            _log.warning("outcome.lost", effect=kind, n=claimed.n, error=str(error))
            await self._give_back(claimed, str(error))

    async def _give_back(self, claimed: Claimed, why: str) -> None:
        """What was not told is performed again, as soon as the ledger can be written; else when the claim ends by itself."""
        until = time.monotonic() + self._lease_s
        while time.monotonic() < until and not self._stopping.is_set():
            await asyncio.sleep(LEDGER_DOWN_NAP_S)
            with contextlib.suppress(LedgerError):
                await self._engine.postpone(claimed, backoff(claimed.attempts), why)
                return

    async def _attempt(self, claimed: Claimed, kind: str) -> None:
        engine = self._engine
        try:
            event = await self._perform(claimed)
            await engine.finish(claimed, event)
            _log.debug("effect.done", effect=kind, session=claimed.session, n=claimed.n, attempts=claimed.attempts)
        except Pointless as why:
            await engine.drop(claimed)
            _log.debug("effect.dropped", effect=kind, session=claimed.session, n=claimed.n, why=str(why))
        except Recurs as done:
            await engine.finish_and_repeat(claimed, done.after_s)
        except Postponed as put_off:
            wait_s = backoff(claimed.attempts) if put_off.after_s is None else put_off.after_s
            await engine.postpone(claimed, wait_s, str(put_off), put_off.event)
        except GivenUp as never:
            _log.warning("effect.parked", effect=kind, session=claimed.session, n=claimed.n, error=str(never))
            await engine.park(claimed, str(never), never.event or _what_now(claimed))
        except LedgerError:
            raise
        except Theirs as error:
            await self._after_refusal(claimed, kind, error)
        except Exception as error:  # noqa: BLE001  a bug of ours must not take the pool down; it is tried again, with care
            _log.error("effect.broke", effect=kind, session=claimed.session, n=claimed.n, exc_info=True)
            what = logs.masked(repr(error))
            if _recurs(claimed):
                await engine.postpone(claimed, slow_backoff(claimed.attempts), what)
            elif claimed.attempts >= BROKEN_ATTEMPTS:
                await engine.park(claimed, what, _what_now(claimed))
            else:
                await engine.postpone(claimed, backoff(claimed.attempts), what)

    async def _after_refusal(self, claimed: Claimed, kind: str, error: Theirs) -> None:
        too_old = claimed.until - self._lease_s - claimed.created_at > TOO_OLD_S
        if (not error.retryable or too_old) and not _recurs(claimed):
            _log.warning("effect.parked", effect=kind, session=claimed.session, n=claimed.n, error=str(error))
            await self._engine.park(claimed, str(error), _what_now(claimed))
            return
        pause = slow_backoff if isinstance(error, ForgeError) or _recurs(claimed) else backoff
        wait_s = pause(claimed.attempts, error.retry_after_s)
        _log.info(
            "effect.postponed", effect=kind, session=claimed.session, n=claimed.n, wait_s=wait_s, error=str(error)
        )
        await self._engine.postpone(claimed, wait_s, str(error))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("worker.broke", pool=self.pool, error=repr(error))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            mine = list(self._under_way.values())
            if mine:
                try:
                    await self._engine.ledger.turn(_renew_all, mine, self._lease_s)
                except LedgerError as error:
                    _log.warning("renewal.failed", pool=self.pool, error=str(error))

    async def _nap(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return

    def wake(self) -> None:
        """Look again now: something has changed that the ledger does not know."""
        self._woken.set()

    def _woken_by(self, pools: frozenset[Pool]) -> None:
        if self.pool in pools:
            self._woken.set()


def _recurs(claimed: Claimed) -> bool:
    """Whether nothing would begin it anew once it is given up."""
    return isinstance(claimed.effect, Job) and claimed.effect.name in RECURRING


def _what_now(claimed: Claimed) -> Event | None:
    """What a parked effect means for its session: nobody may wait for ever for something that will not happen."""
    return None if isinstance(claimed.effect, Job) else when_parked(claimed.effect)


def _renew_all(tx: Tx, mine: list[Claimed], lease_s: float) -> None:
    for claimed in mine:
        effects.renew(tx, claimed, lease_s)
