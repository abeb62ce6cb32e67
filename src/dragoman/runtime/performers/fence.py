"""The fence: an effect of the agent's lane is for one run, and nothing of that run goes on once the session has left it.

Whoever performs such an effect looks at the session before and after (`session_in`), and stops what was left
(`stop_left`). The lane is held meanwhile, so what is stopped there can never be a later run: that one's start waits
behind in the same lane. This is also why a stop that could not be verified is tried again in the lane only while a
later run waits, and a few times only; otherwise it goes on as an abort of its own, which holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dragoman import logs
from dragoman.core import wording
from dragoman.core.effects import AbortRun
from dragoman.core.events.runs import RunFailed, RunStarted, RunWaiting
from dragoman.core.session import Session, Starting, Working, live_turn
from dragoman.errors import OpenCodeError, Told
from dragoman.ids import AgentThread, RunId, session_of
from dragoman.ledger import effects
from dragoman.opencode.client import OpenCode
from dragoman.opencode.stopping import stop_run
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.engine import Engine
from dragoman.runtime.workers import GivenUp, Postponed

ABORT_S = 3.5  # a stop is confirmed within 5 s, come what may
LEFT_ATTEMPTS = 3  # to see a left run end while a later one waits for its thread
_log = logs.get("fence")


class Fence:
    """What all that is performed for a run has in common."""

    def __init__(self, engine: Engine, host: AgentHost) -> None:
        self._engine = engine
        self._host = host

    async def session_in(self, run: RunId) -> Session | None:
        """The session, if it is still in this run and wants it to go on."""
        session = await self._engine.session(session_of(run))
        if session is None or not isinstance(session.phase, Starting | Working) or session.phase.turn.run != run:
            return None
        return session

    async def client(self, run: RunId) -> OpenCode:
        """A client of the server that is up. Raises Postponed, GivenUp."""
        try:
            with refusals_end(run):
                return await self._host.client()
        except Told as error:
            raise GivenUp(str(error), event=RunFailed(run=run, reason=str(error))) from error

    async def stop_left(self, client: OpenCode, run: RunId, thread: AgentThread, directory: str) -> None:
        """Stop a run that the session has left. Only for effects of the agent's lane."""
        detail = ""
        for _ in range(LEFT_ATTEMPTS):
            verified, detail = await stop_run(client, thread, directory, ABORT_S)
            if verified:
                return
            session = await self._engine.session(session_of(run))
            turn = live_turn(session) if session is not None else None
            if session is not None and (turn is None or turn.run == run):
                _log.warning("left_run.unstopped", run=run, detail=detail)
                abort = AbortRun(run=run, thread=thread, directory=directory)
                await self._engine.ledger.turn(effects.insert, session, [abort])
                return
        # The next run begins in this thread and is followed there, so whatever goes on is seen.
        _log.error("left_run.unstopped", run=run, detail=detail)


def goes_on(session: Session, attempt: int = 0) -> RunStarted | None:
    """What ends a wait for OpenCode: it has answered. None when the session does not wait.

    attempt  of a run that was set going again
    """
    phase, thread, place = session.phase, session.thread, session.workspace
    if not isinstance(phase, Starting | Working) or thread is None or place is None:
        return None
    if not (attempt or phase.turn.waiting):
        return None
    return RunStarted(
        run=phase.turn.run,
        thread=thread,
        repository=place.repository,
        directory=place.directory,
        branch=place.branch,
        base=place.base,
        attempt=attempt,
    )


def _waiting(run: RunId, error: OpenCodeError) -> RunWaiting:
    return RunWaiting(run=run, cause="opencode", detail=str(error), why=error.cause)


@contextmanager
def refusals_end(run: RunId) -> Iterator[None]:
    """While OpenCode does not answer or fails, the run waits and people hear of it; what it refuses for good ends it."""
    try:
        yield
    except OpenCodeError as error:
        if error.retryable:
            raise Postponed(str(error), event=_waiting(run, error)) from error
        reason = wording.trouble.opencode_refused(error.cause, str(error))
        raise GivenUp(str(error), event=RunFailed(run=run, reason=reason)) from error
