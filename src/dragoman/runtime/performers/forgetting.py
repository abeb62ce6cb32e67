"""Forgetting an issue, step by step from the outside in: OpenCode's threads, workspaces, rows; the sessions' rows go last.

Each step may be repeated, and what it goes by stands in rows that are still there: so it goes on after a crash at any
point. A turn that begins meanwhile is not cut: the wish waits for its end (with `stop`) or is refused.
"""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from dragoman import logs
from dragoman.core.events.linear import StopRequested
from dragoman.errors import GitError, LedgerError, OpenCodeError, Told
from dragoman.ledger import forgetting
from dragoman.ledger.effects import Claimed
from dragoman.ledger.forgetting import Known, Report, Wish
from dragoman.ledger.pools import Job
from dragoman.ledger.tx import Tx
from dragoman.runtime.agent_host import ForgetfulHost
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.threads import delete_threads
from dragoman.runtime.projector import Projector
from dragoman.runtime.workers import Postponed

AGAIN_S = 1.0
SHOWN_ATTEMPTS = 30  # so long people's last words are waited for
ATTEMPTS = 300
PROJECTED_S = 10.0  # so long the projection is waited for
LIVE = "a turn is under way; wait for its end, or use --stop"
_log = logs.get("forgetting")


class Forgetting:
    """Performs wishes to forget, for the sessions of one host.

    projector  follows by itself what leaves the ledger; None when there is no projection
    """

    def __init__(self, engine: Engine, host: ForgetfulHost, desk: Desk, projector: Projector | None = None) -> None:
        self._projector = projector
        self._engine = engine
        self._ledger = engine.ledger
        self._host = host
        self._desk = desk

    async def perform(self, claimed: Claimed, job: Job) -> None:
        """Do it, or say why not; the report stands in the ledger then. Raises Postponed, LedgerError."""
        wish = forgetting.wish_of(job)
        known = await self._ledger.read(forgetting.sessions, wish.issue)
        if any(one.live for one in known):
            await self._stop(claimed, wish, known)
            return
        await self._until_shown(claimed, known)
        report = await self._ledger.read(forgetting.begun, claimed.n)
        for one in known:
            if one.host == self._engine.host:
                report = await self._session(claimed, one, report)
        if (left := await self._host.wipe()) and claimed.attempts < ATTEMPTS:
            raise Postponed(left, after_s=AGAIN_S)
        still = [*([left] if left else []), *await self._desk.collect()]
        if behind := await self._projected():
            still.append(behind)
        if not await self._wiped():
            still.append("the ledger's log is being read at this moment; what was removed leaves it later")
        await self._end(claimed, replace(report, left=(*report.left, *_elsewhere(known, self._engine.host), *still)))
        _log.info("issue.forgotten", sessions=report.sessions, rows=report.rows, left=len(report.left))

    async def _stop(self, claimed: Claimed, wish: Wish, known: list[Known]) -> None:
        if not wish.stop or claimed.attempts >= ATTEMPTS:
            await self._end(claimed, Report(refused=LIVE if not wish.stop else "a turn does not end"))
            return
        for one in known:
            if one.live:
                key = f"forget:{claimed.n}:{one.id}"  # told once: a turn that begins later is somebody's new wish
                await self._engine.tell(one.id, StopRequested(sent_at=time.time()), keys=[key])
        raise Postponed("a turn is being stopped", after_s=AGAIN_S)

    async def _until_shown(self, claimed: Claimed, known: list[Known]) -> None:
        """What people are still to read comes first, unless Linear is away for long."""
        if claimed.attempts > SHOWN_ATTEMPTS:
            return
        for one in known:
            if await self._ledger.read(forgetting.on_their_way, one.id):
                raise Postponed("people are still to read something", after_s=AGAIN_S)

    async def _session(self, claimed: Claimed, one: Known, report: Report) -> Report:
        """Remove one session, its rows last; the report with it. Raises Postponed."""
        threads, workspaces, left = 0, 0, report.left
        if one.session is not None:
            try:
                threads = await delete_threads(self._host, self._desk, one.session)
                workspaces = int(await self._desk.forget(one.session))
            except (OpenCodeError, GitError, Told) as error:
                if claimed.attempts < ATTEMPTS:
                    raise Postponed(str(error), after_s=AGAIN_S * min(claimed.attempts, 30)) from error
                left = (*left, str(error))
        rows = 0
        while batch := await self._ledger.turn(forgetting.erase_words, one.id):
            rows += batch
        report = Report(
            sessions=report.sessions + 1,
            rows=report.rows + rows,
            threads=report.threads + threads,
            workspaces=report.workspaces + workspaces,
            left=left,
        )
        if not await self._ledger.turn(forgetting.erase_session, one.id, claimed.n, report):
            raise Postponed("a turn has begun", after_s=AGAIN_S)
        return report

    async def _projected(self) -> str:
        """Wait a moment until the projection equals the ledger as it is now; why it does not."""
        if self._projector is None:
            return ""
        now = asyncio.get_running_loop().time
        began = now()
        while now() - began < PROJECTED_S:
            if self._projector.age_s() < now() - began:
                return ""
            await asyncio.sleep(AGAIN_S / 5)
        return f"the projection is {self._projector.state()}; it follows by itself"

    async def _wiped(self) -> bool:
        for _ in range(5):
            try:
                if await self._ledger.wipe():
                    return True
            except LedgerError as error:
                _log.warning("ledger.unwiped", error=str(error))
            await asyncio.sleep(AGAIN_S / 5)
        return False

    async def _end(self, claimed: Claimed, report: Report) -> None:
        def end(tx: Tx) -> None:
            forgetting.put_report(tx, claimed.n, replace(report, ended=True))

        await self._ledger.turn(end)


def _elsewhere(known: list[Known], host: str) -> tuple[str, ...]:
    others = sorted({one.host for one in known if one.host != host})
    return tuple(f"sessions of the host {other}: run `dragoman forget` there, too" for other in others)
