"""A new workspace is made ready: the operator's files, then the `setup` commands, shown to people one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.events.runs import SetupRan
from dragoman.core.session import Session, profile
from dragoman.errors import GitError
from dragoman.ids import RunId
from dragoman.repositories.configured import Repository
from dragoman.repositories.leftovers import Confine
from dragoman.repositories.preparing import Preparation
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.fence import Fence

LOOK_S = 1.0  # how often it is looked whether somebody has pressed Stop meanwhile
NO_SANDBOX = "its `setup` was not run: nothing would hold those commands in. What they make may be missing."
_log = logs.get("preparing")


class Preparing:
    """Makes workspaces ready.

    confine      holds commands in an agent's files; None where nothing can
    environment  all that they get
    """

    def __init__(
        self, engine: Engine, desk: Desk, fence: Fence, *, confine: Confine | None, environment: Mapping[str, str]
    ) -> None:
        self._engine = engine
        self._desk = desk
        self._fence = fence
        self._confine = confine
        self._environment = environment

    async def ready(self, run: RunId, session: Session) -> tuple[str, ...]:
        """Make the session's workspace ready, once; notes for the agent. A run that is left is not prepared to the end."""
        repository = self._desk.repository(session)
        if profile(session) == "answer" or not (repository.setup or repository.copy):
            return ()
        preparation = self._desk.preparation(session)
        if preparation.done:
            return ()
        try:
            notes = list(await preparation.bring(Path(repository.copy_from), repository.copy))
        except (OSError, GitError) as error:
            _log.warning("files.unbrought", run=run, error=str(error))
            notes = [f"the operator's files could not be brought along: {error}"]
        failed = await self._unless_left(run, self._set_up(run, session, repository, preparation))
        if failed is None:
            return ()
        preparation.finish()
        return (*notes, *failed)

    async def _set_up(
        self, run: RunId, session: Session, repository: Repository, preparation: Preparation
    ) -> Sequence[str]:
        if not repository.setup:
            return ()
        if self._confine is None:
            return (NO_SANDBOX,)
        number = 0
        notes = []
        ran_all = preparation.commands(repository.setup, self._confine, self._environment, repository.setup_s)
        async for ran in ran_all:
            number += 1
            told = SetupRan(
                run=run,
                number=number,
                command=ran.command,
                exit_code=ran.exit_code,
                took_s=ran.took_s,
                output=ran.output,
            )
            await self._engine.tell(session.id, told, keys=[f"setup:{run}:{number}"])
            if ran.exit_code != 0:
                notes.append(prompts.setup_failed(ran.command, ran.exit_code, ran.output))
        return notes

    async def _unless_left(self, run: RunId, work: Coroutine[Any, Any, Sequence[str]]) -> Sequence[str] | None:
        """What came of it; None when the session has left the run, and then it was ended."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                if await self._fence.session_in(run) is None:
                    return None
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
