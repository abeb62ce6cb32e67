"""The running service: the parts are joined here, started, and stopped without loss."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from dragoman import logs
from dragoman.config import Settings
from dragoman.core.effects import Remind
from dragoman.core.events import Event
from dragoman.core.events.runs import PlaceInQueue
from dragoman.core.events.timers import PlaceDue
from dragoman.errors import LedgerError, Refusal, Theirs
from dragoman.ids import session_of
from dragoman.ledger import effects, find, hosts, numbers, pools, queue
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.metrics import Metrics
from dragoman.projection.store import RedisStore
from dragoman.runtime import data_folder, parts
from dragoman.runtime.agent_host import TendedServer
from dragoman.runtime.confinement import confinement, verify_environment
from dragoman.runtime.desk import Desk
from dragoman.runtime.directory import Directory
from dragoman.runtime.engine import Engine
from dragoman.runtime.follower import Follower
from dragoman.runtime.gate import Gate
from dragoman.runtime.links import Links
from dragoman.runtime.live_settings import LiveSettings, Load
from dragoman.runtime.performers.agent import AgentWork
from dragoman.runtime.performers.attachments import Attachments
from dragoman.runtime.performers.delivery import Delivery
from dragoman.runtime.performers.forgetting import Forgetting
from dragoman.runtime.performers.housekeeping import Housekeeping
from dragoman.runtime.performers.keeping import Keeping
from dragoman.runtime.performers.outbox import Outbox
from dragoman.runtime.performers.people import People
from dragoman.runtime.performers.reviews import Reviews
from dragoman.runtime.projector import Projector
from dragoman.runtime.start_gate import StartGate
from dragoman.runtime.stopwatch import Stopwatch
from dragoman.runtime.tenant import Tenant
from dragoman.runtime.tracing import Tracing, open_exporter
from dragoman.runtime.workers import Perform, Workers

BEAT_S = 10.0
# What SIGTERM leaves us, ten seconds in all; the doors close meanwhile (web.asgi: 7 s at most).
STOP_S = 2.5  # for what is under way
OPENCODE_S = 3.5  # for OpenCode to end
PARTS_S = 0.5  # for our own parts to end
_SIZES: dict[Pool, int] = {
    "linear": 32,
    "issue": 8,
    "start": 8,
    "agent": 16,
    "abort": 16,
    "desk": 8,
    "ship": 4,
    "timers": 8,
    "system": 4,
}
PERSISTENCE_OFF = (
    "ENABLE_SESSION_PERSISTENCE=false: sessions are kept in memory alone, and everything is forgotten when this process "
    "ends"
)
_log = logs.get("service")


class Service:
    """One process of one host. `async with` starts and stops it; `fatal` is set when it must not go on.

    keep_opencode  leave a managed server running when runs are open at the end (a later process adopts it)
    load           reads the settings again, see `LiveSettings`; None = they stay as they are
    housekeeping   perform only what belongs to no session: nothing is begun, shown or ended
    """

    def __init__(
        self,
        settings: Settings,
        *,
        keep_opencode: bool = True,
        load: Load | None = None,
        housekeeping: bool = False,
    ) -> None:
        self.live = LiveSettings(settings, load)
        self._log_level = settings.log_level
        self._housekeeping = housekeeping
        self._keep_opencode = keep_opencode
        self.metrics = Metrics()
        self._open_at_end = False  # whether runs were under way when we stopped
        self._tasks: list[asyncio.Task[None]] = []
        self.fatal: asyncio.Future[BaseException] | None = None
        self.projector: Projector | None = None
        self._projection: RedisStore | None = None

    @property
    def settings(self) -> Settings:
        """Those that hold now."""
        return self.live.current

    async def start(self) -> None:
        """Open the ledger and begin to work. Raises Refusal, ConfigurationError."""
        settings = self.settings
        logs.keep_secret(settings.secrets())
        if not settings.enable_session_persistence:
            _log.warning("persistence.off", what=PERSISTENCE_OFF)
        for doubt in settings.doubts:
            _log.warning("setting.doubtful", what=doubt)
        data = settings.data_dir
        self.fatal = asyncio.get_running_loop().create_future()
        self.agent_host = parts.agent_host(settings, busy=self._busy, keep=self._keep_opencode)
        data_folder.make_folders(data)
        self._projection = RedisStore(settings.projection_url) if settings.projection_url else None
        exporter = open_exporter(settings.traces_url) if settings.traces_url else None
        self._lock = data_folder.lock(data / "dragoman.lock")
        try:
            await self._open_ledger()
        except BaseException:
            self._lock.close()
            raise
        self.engine = Engine(
            self.ledger,
            host=self.host,
            rules=settings.rules,
            crowd=settings.max_per_issue_hour,
            gate=Gate(settings.policy, settings.paces),
        )
        self.linear = parts.linear(settings)
        self.operator_key = settings.operator_key or data_folder.key(data / "operator.key")
        logs.keep_secret((self.operator_key,))
        self.links = Links(settings.public_url, data / "link.key")
        self.tenant = Tenant(self.linear, self.ledger)
        self.directory = Directory(self.linear)
        forge = parts.forge(settings)
        self.desk = Desk(
            self.ledger,
            settings.repositories,
            workspaces_dir=data / "workspaces",
            trusted_dir=data / "repositories",
            token_for=forge.token_for,
        )
        self.engine.listen(self.desk.told)
        self.engine.listen(self._stopwatch.told)
        self._tracing = Tracing(self.ledger, exporter) if exporter is not None else None
        if self._tracing is not None:
            self.engine.listen(self._tracing.told)
            self._spawn("tracing", self._tracing.run())
        self.projector = self._projector()
        self.follower = Follower(self.engine, self.agent_host)
        self._people = People(self.linear, self.ledger, self.links.to)
        confine = await confinement(
            data, parts.hidden(settings), off=settings.sandbox == "off", attached=bool(settings.opencode_url)
        )
        self.keeping = Keeping(self.engine, self.desk, self.agent_host)
        self._agent = AgentWork(
            self.engine,
            self.agent_host,
            self.desk,
            model=settings.opencode_model or None,
            agent=settings.opencode_agent,
            attachments=Attachments(self.linear),
            is_ours=self.tenant.is_ours,
            confine=confine,
            environment=verify_environment(),
        )
        self._start_gate = StartGate(self.engine, self.agent_host, settings.max_concurrent_sessions)
        forgetting = Forgetting(self.engine, self.agent_host, self.desk, self.projector)
        reviews = Reviews(self.engine, self.desk, forge, hooks=lambda: bool(self.settings.github_webhook_secrets))
        housekeeping = Housekeeping(self.engine, forgetting, self.keeping, reviews, lambda: self.settings)
        outbox = Outbox(self.engine, self.linear)
        delivery = Delivery(self.engine, self.desk, forge, outbox, confine=confine, environment=verify_environment())
        performers: dict[Pool, Perform] = {
            "linear": self._show,
            "issue": self._show,
            "start": self._agent.perform,
            "agent": self._agent.perform,
            "abort": self._agent.perform,
            "desk": delivery.perform,
            "ship": parts.by_kind(delivery.perform, self.keeping.perform, reviews.perform),
            "timers": self._timer,
            "system": housekeeping.perform,
        }
        pools_here: tuple[Pool, ...] = ("system",) if self._housekeeping else tuple(_SIZES)
        looks = {"start": self._start_gate.look}
        self._workers = [
            Workers(self.engine, pool, _SIZES[pool], performers[pool], look=looks.get(pool)) for pool in pools_here
        ]
        self.agent_host.changed = self._look_at_starts
        if self._housekeeping:
            self._open_at_end = bool(await self.ledger.read(find.open_runs, self.host))
        else:
            self._spawn("follower", self.follower.run())
            self._spawn("tenant", self.tenant.run())
        for workers in self._workers:
            self._spawn("workers", workers.run())
        self.live.apply_to(self._adapt)
        self._spawn("settings", self.live.watch())
        self._spawn("beat", self._beat())
        self._spawn("loop", self.metrics.watch_loop())
        self._spawn("opencode", self.agent_host.run())
        _log.info("service.started", **settings.shown())

    async def stop(self) -> None:
        """Stop within ten seconds; everything that is not done is on disk and goes on after the next start."""
        await self.wind_down()
        await self.close()

    async def wind_down(self) -> None:
        """Perform nothing more, and end OpenCode. What is heard while the doors close is still put on disk."""
        await asyncio.gather(*(workers.stop(STOP_S) for workers in self._workers))
        try:
            self._open_at_end = bool(await self.ledger.read(find.open_runs, self.host))
        except LedgerError as error:
            _log.warning("open_runs.unread", error=str(error))
            self._open_at_end = True  # in doubt nothing is cut
        await self.follower.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=PARTS_S)
        try:
            async with asyncio.timeout(OPENCODE_S):
                await self.agent_host.close()
        except (TimeoutError, Refusal) as error:
            _log.error("opencode.unended", error=str(error) or f"it did not end within {OPENCODE_S:g} s")

    async def close(self) -> None:
        """Let the ledger go, after `wind_down` and when the doors are closed."""
        await self.linear.close()
        if self._tracing is not None:
            await self._tracing.close()
        if self.projector is not None:
            await self.projector.close(PARTS_S)
        await self.ledger.close()
        self._lock.close()
        _log.info("service.stopped")

    # ── what /readyz tells ───────────────────────────────────────────────
    def opencode_state(self) -> str:
        """Whether OpenCode is there, in a word."""
        return self.agent_host.state

    def sandbox_state(self) -> str:
        """Whether the agent is held in by a sandbox."""
        if not isinstance(self.agent_host, TendedServer):
            return "not ours: OPENCODE_SESSION_API_URL names a server that somebody else runs"
        return self.agent_host.sandbox_state

    def troubles(self) -> list[str]:
        """What an operator should look at."""
        found = []
        if self.opencode_state() != "up":
            found.append(f"opencode: {self.opencode_state()}")
        if self.sandbox_state().startswith("none"):
            found.append(f"sandbox: {self.sandbox_state()}")
        if not self.settings.enable_session_persistence:
            found.append(f"storage: {PERSISTENCE_OFF}")
        found += (f"settings: {problem}" for problem in self.live.problems)
        if self.live.waiting:
            found.append(f"settings: a restart is needed for {', '.join(self.live.waiting)}")
        if self.tenant.organization is None or self.tenant.trouble:
            why = f": {self.tenant.trouble}" if self.tenant.trouble else ""
            found.append(f"linear: has not told yet who we are{why}")
        if self.projector is not None and (trouble := self.projector.trouble()):
            found.append(f"projection: {trouble}; the ledger holds everything, nothing is lost")
        return found

    def _adapt(self, settings: Settings) -> None:
        """Take over what may change while we run; `config.LIVE` names it."""
        if settings.log_level != self._log_level:  # at first it is whoever started us who decides
            self._log_level = settings.log_level
            logs.set_level(settings.log_level)
        self.engine.rules, self.engine.crowd = settings.rules, settings.max_per_issue_hour
        self.engine.gate = Gate(settings.policy, settings.paces)
        self.desk.serve(settings.repositories)
        self._start_gate.places = settings.max_concurrent_sessions
        self._look_at_starts()
        if self.projector is not None:
            self.projector.retention_days = settings.rules.retention_days

    def _look_at_starts(self) -> None:
        """Whether runs may begin now that could not before."""
        for workers in self._workers:
            if workers.pool == "start":
                workers.wake()

    def projection_state(self) -> str:
        """How the projection in Redis fares, in a few words."""
        return self.projector.state() if self.projector is not None else "none"

    # ── putting together ─────────────────────────────────────────────────
    async def _open_ledger(self) -> None:
        """Open it; what the process before us had under way falls due at once."""
        self.host = data_folder.host_id(self.settings.data_dir / "host")
        self.ledger = await SqliteLedger.open(self.settings.ledger_url, cache_size=self.settings.session_cache_size)
        cleanup_s = self.settings.session_cleanup_interval_minutes * 60.0
        try:
            await self.ledger.turn(effects.release_host, self.host)
            await self.ledger.turn(effects.insert_job, pools.Job(name=pools.CLEANUP), after_s=cleanup_s)
            await self.ledger.turn(
                effects.insert_job, pools.Job(name=pools.POLL), after_s=self.settings.rules.review_poll_s
            )
            self._stopwatch = Stopwatch(self.metrics, await self.ledger.read(numbers.live_turns))
        except BaseException:
            await self.ledger.close()
            raise

    def _projector(self) -> Projector | None:
        """What keeps a copy in Redis for other readers, started; None when nobody wants one."""
        settings = self.settings
        _log.info("storage.ledger", url=settings.ledger_url, what="holds and decides everything")
        if self._projection is None:
            return None
        _log.info(
            "storage.projection",
            url=logs.masked(settings.projection_url),
            what="a copy for other readers; decides nothing",
        )
        days = settings.rules.retention_days
        projector = Projector(self.ledger, self._projection, calm=self.engine.calm, retention_days=days)
        self.engine.listen(projector.told)
        self._spawn("projector", projector.run())
        return projector

    def _busy(self) -> bool:
        return self._open_at_end or self.follower.open_runs > 0

    # ── tending ──────────────────────────────────────────────────────────
    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself is broken: better to end and be started again than to go silent."""
        if task.cancelled() or self.fatal is None or self.fatal.done():
            return
        if (error := task.exception()) is not None:
            if not isinstance(error, Refusal):
                _log.error("part.broke", part_name=task.get_name(), error=repr(error), exc_info=error)
            self.fatal.set_result(error)

    async def _beat(self) -> None:
        while True:
            try:
                if back_s := await self.ledger.turn(hosts.beat, self.host):
                    _log.warning("clock.set_back", by_s=round(back_s, 1))
            except Theirs as error:
                _log.warning("beat.failed", error=str(error))
            await asyncio.sleep(BEAT_S)

    async def _show(self, claimed: Claimed) -> Event | None:
        event = await self._people.perform(claimed)
        self._stopwatch.shown(claimed.effect)
        return event

    async def _timer(self, claimed: Claimed) -> Event | None:
        """A timer is performed by telling what it was set for; where a run stands in the queue is looked up first."""
        event = claimed.effect.event if isinstance(claimed.effect, Remind) else None
        if not isinstance(event, PlaceDue):
            return event
        place = await self.ledger.read(queue.place_of, session_of(event.run), event.run)
        return PlaceInQueue(run=event.run, place=place) if place is not None else None
