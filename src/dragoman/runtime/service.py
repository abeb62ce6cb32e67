"""The running service: settings are unpacked here, the parts are put together, started, and stopped without loss."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import IO, Any

from dragoman import logs
from dragoman.config import Settings
from dragoman.core.effects import ClearWorkspace, Remind, SaveWork
from dragoman.core.events import Event, PlaceDue, PlaceInQueue
from dragoman.errors import LedgerError, Refusal, Theirs
from dragoman.ids import HostId, session_of
from dragoman.ledger import cleanup, effects, forgetting, hosts, numbers, pools, queue, read
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import Linear, open_linear
from dragoman.metrics import Metrics
from dragoman.opencode.sandbox import database_places, folder_places
from dragoman.opencode.server import ManagedServer
from dragoman.opencode.settings import read_operator_configuration
from dragoman.projection.store import RedisStore
from dragoman.repositories.forge import Forge
from dragoman.repositories.github_token import AppToken, GivenToken
from dragoman.runtime.agent_host import AttachedServer, TendedServer
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
from dragoman.runtime.performers.keeping import Keeping
from dragoman.runtime.performers.people import People
from dragoman.runtime.projector import Projector
from dragoman.runtime.start_gate import StartGate
from dragoman.runtime.stopwatch import Stopwatch
from dragoman.runtime.tenant import Tenant
from dragoman.runtime.tracing import Tracing, open_exporter
from dragoman.runtime.workers import Perform, Recurs, Workers

BEAT_S = 10.0
# What SIGTERM leaves us, ten seconds in all; the doors close meanwhile (web.asgi: 7 s at most).
STOP_S = 2.5  # for what is under way
OPENCODE_S = 3.5  # for OpenCode to end
PARTS_S = 0.5  # for our own parts to end
_SIZES: dict[Pool, int] = {
    "linear": 32,
    "start": 8,
    "agent": 16,
    "abort": 16,
    "desk": 8,
    "ship": 4,
    "timers": 8,
    "system": 1,
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
        self.agent_host = self._agent_host()
        _make_folders(data)
        self._projection = RedisStore(settings.projection_url) if settings.projection_url else None
        exporter = open_exporter(settings.traces_url) if settings.traces_url else None
        self._lock = _lock(data / "dragoman.lock")
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
        self.linear: Linear = open_linear(
            settings.linear_api_url,
            access_token=settings.linear_access_token,
            client_id=settings.linear_client_id,
            client_secret=settings.linear_client_secret,
        )
        self.links = Links(settings.public_url, data / "link.key")
        self.tenant = Tenant(self.linear, self.ledger)
        self.directory = Directory(self.linear)
        forge = _forge(settings)
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
        self._forgetting = Forgetting(self.engine, self.agent_host, self.desk, self.projector)
        self._people = People(self.linear, self.ledger, self.links.to)
        confine = await confinement(
            data, _hidden(settings), off=settings.sandbox == "off", attached=bool(settings.opencode_url)
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
        delivery = Delivery(self.engine, self.desk, forge, confine=confine, environment=verify_environment())
        performers: dict[Pool, Perform] = {
            "linear": self._show,
            "start": self._agent.perform,
            "agent": self._agent.perform,
            "abort": self._agent.perform,
            "desk": delivery.perform,
            "ship": _by_kind(delivery.perform, self.keeping.perform),
            "timers": self._timer,
            "system": self._job,
        }
        pools_here: tuple[Pool, ...] = ("system",) if self._housekeeping else tuple(_SIZES)
        looks = {"start": self._start_gate.look}
        self._workers = [
            Workers(self.engine, pool, _SIZES[pool], performers[pool], look=looks.get(pool)) for pool in pools_here
        ]
        self.agent_host.changed = self._look_at_starts
        if self._housekeeping:
            self._open_at_end = bool(await self.ledger.read(read.open_runs, self.host))
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
            self._open_at_end = bool(await self.ledger.read(read.open_runs, self.host))
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
        if self.tenant.organization is None:
            found.append("linear: has not told yet who we are")
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

    @property
    def _cleanup_s(self) -> float:
        return self.settings.session_cleanup_interval_minutes * 60.0

    def projection_state(self) -> str:
        """How the projection in Redis fares, in a few words."""
        return self.projector.state() if self.projector is not None else "none"

    # ── putting together ─────────────────────────────────────────────────
    async def _open_ledger(self) -> None:
        """Open it; what the process before us had under way falls due at once."""
        self.host = _host_id(self.settings.data_dir / "host")
        self.ledger = await SqliteLedger.open(self.settings.ledger_url, cache_size=self.settings.session_cache_size)
        try:
            await self.ledger.turn(effects.release_host, self.host)
            await self.ledger.turn(effects.insert_job, pools.Job(name="cleanup"), after_s=self._cleanup_s)
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

    def _agent_host(self) -> AttachedServer | TendedServer:
        settings = self.settings
        workspaces = settings.data_dir / "workspaces"
        if settings.opencode_url:
            return AttachedServer(settings.opencode_url, settings.opencode_token or None, workspaces)
        binary = settings.opencode_bin or shutil.which("opencode")
        if not binary or not Path(binary).is_file():
            raise Refusal(
                f"OpenCode was not found ({binary or 'no `opencode` on PATH'}). Install it (npm install -g opencode-ai), "
                "set OPENCODE_BIN to the program, or OPENCODE_SESSION_API_URL to a running server."
            )
        config = read_operator_configuration(Path(settings.opencode_config) if settings.opencode_config else None)
        server = ManagedServer(
            Path(binary),
            settings.data_dir,
            workspaces,
            config=config,
            model=settings.opencode_model or None,
            pass_on=settings.pass_env,
            hidden=_hidden(settings),
            sandboxing="off" if settings.sandbox == "off" else "auto",
        )
        return TendedServer(server, self._busy, keep=self._keep_opencode)

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
                await self.ledger.turn(hosts.beat, self.host)
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

    async def _job(self, claimed: Claimed) -> Event | None:
        """What belongs to no session."""
        job = claimed.effect
        if isinstance(job, pools.Job) and job.name.startswith(forgetting.NAME):
            await self._forgetting.perform(claimed, job)
            return None
        return await self._clean_up()

    async def _clean_up(self) -> Event | None:
        """Sessions time out, and the ledger forgets what is old, batch by batch."""
        timed_out = await self.engine.expire()
        await self.keeping.clear_idle(self.settings.rules.retention_days)
        removed = 0
        while batch := await self.ledger.turn(cleanup.cleanup, self.settings.rules.retention_days):
            removed += batch
        _log.info("cleanup.done", timed_out=timed_out, removed=removed)
        raise Recurs(self._cleanup_s)


def _by_kind(ship: Perform, keep: Callable[[Claimed], Awaitable[None]]) -> Perform:
    """What takes long about work: bringing it to the forge, and keeping it here."""

    async def perform(claimed: Claimed) -> Event | None:
        if isinstance(claimed.effect, SaveWork | ClearWorkspace):
            await keep(claimed)
            return None
        return await ship(claimed)

    return perform


def _hidden(settings: Settings) -> tuple[Path, ...]:
    """What no agent may see beside the data folder."""
    ledger = settings.ledger_url.partition(":///")[2]
    return (
        *settings.private_files,
        *(place for folder in settings.secret_folders for place in folder_places(folder)),
        *(database_places(Path(ledger).absolute()) if ledger else ()),
    )


def _forge(settings: Settings) -> Forge:
    """What opens GitHub, if anything is set that does."""
    api_url, given = settings.github_api_url, settings.github_token
    if given:
        return Forge(api_url, GivenToken(given).token)
    if settings.github_app_id:
        return Forge(api_url, AppToken(api_url, settings.github_app_id, Path(settings.github_app_key_file)).token)
    return Forge(api_url)


def _make_folders(data: Path) -> None:
    """Our folders, for nobody else to read. Raises Refusal."""
    try:
        for folder in (data, data / "workspaces", data / "repositories"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
    except OSError as error:
        raise Refusal(
            f"The data folder {data} cannot be used: {error.strerror or error}. Set DRAGOMAN_DATA_DIR to one of our own."
        ) from error


def _lock(path: Path) -> IO[str]:
    """One process of a data folder at a time."""
    handle = path.open("a+", encoding="ascii")
    path.chmod(0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        pid = handle.read().strip() or "unknown"
        handle.close()
        raise Refusal(
            f"Another dragoman (pid {pid}) uses the data folder {path.parent}. Stop it, or set DRAGOMAN_DATA_DIR to another."
        ) from None
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _host_id(path: Path) -> HostId:
    """The name of this data folder, made once."""
    if not path.is_file():
        path.write_text(f"{os.uname().nodename}-{os.urandom(4).hex()}", encoding="utf-8")
        path.chmod(0o600)
    return HostId(path.read_text(encoding="utf-8").strip())
