"""What belongs to no session: forgetting an issue, looking at pull requests, cleaning up and tidying now and then."""

from __future__ import annotations

from collections.abc import Callable

from dragoman import logs
from dragoman.config import Settings
from dragoman.core.events import Event
from dragoman.ledger import cleanup, effects, forgetting
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import POLL, Job
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.forgetting import Forgetting
from dragoman.runtime.performers.keeping import Keeping
from dragoman.runtime.performers.reviews import LOOK, Reviews
from dragoman.runtime.workers import Recurs

TIDY = "tidy"
TIDY_EVERY_S = 6 * 3600.0
_log = logs.get("service")


class Housekeeping:
    """Performs jobs. `settings` gives those that hold now."""

    def __init__(
        self,
        engine: Engine,
        forgetting_: Forgetting,
        keeping: Keeping,
        reviews: Reviews,
        settings: Callable[[], Settings],
    ) -> None:
        self._engine = engine
        self._forgetting = forgetting_
        self._keeping = keeping
        self._reviews = reviews
        self._settings = settings

    async def perform(self, claimed: Claimed) -> Event | None:
        """Do one job. Raises Recurs for what is to be done again."""
        job = claimed.effect
        if isinstance(job, Job) and job.name.startswith(forgetting.NAME):
            await self._forgetting.perform(claimed, job)
            return None
        if isinstance(job, Job) and job.name.startswith((LOOK, POLL)):
            if (again_s := await self._reviews.job(job, claimed.attempts)) is not None:
                raise Recurs(again_s)
            return None
        if isinstance(job, Job) and job.name == TIDY:
            days = self._settings().rules.retention_days
            await self._keeping.delete_conversations(days)
            await self._keeping.tidy(days)
            raise Recurs(TIDY_EVERY_S)
        await self._clean_up()
        raise Recurs(self._settings().session_cleanup_interval_minutes * 60.0)

    async def _clean_up(self) -> None:
        """Sessions time out, and the ledger forgets what is old, batch by batch."""
        timed_out = await self._engine.expire()
        days = self._settings().rules.retention_days
        await self._keeping.clear_idle(days)
        # A job of its own: git may take minutes, and sessions time out meanwhile. It waits already most of the time.
        await self._engine.ledger.turn(effects.insert_job, Job(name=TIDY), after_s=TIDY_EVERY_S)
        removed = 0
        while batch := await self._engine.ledger.turn(cleanup.cleanup, days):
            removed += batch
        _log.info("cleanup.done", timed_out=timed_out, removed=removed)
