"""What the agent put out for people, brought to Linear before the answer that shows it.

Nothing here keeps an answer back: what cannot be brought is told in a sentence beside it. The session hears of each file
as soon as it is there, so whoever performs this again after a crash brings only what is missing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from dragoman import logs
from dragoman.core.events.desk import FileShared
from dragoman.core.outbox import FOLDER, OutboxFile
from dragoman.core.session import Session, Shipping
from dragoman.core.wording import outbox as wording
from dragoman.errors import LinearError
from dragoman.ids import RunId
from dragoman.linear.client import Linear
from dragoman.linear.uploads import IMAGES, kind_to_upload
from dragoman.repositories.outbox import Found, find_files, read_file
from dragoman.repositories.reading import Changed, NotPlain, TooLarge
from dragoman.runtime.engine import Engine

WITHIN_S = 90.0  # for all files of a turn
MB = 1_000_000
_log = logs.get("outbox")


class _NotWanted(Exception):
    """The session has left the turn."""


class Outbox:
    """Brings files from a workspace to Linear."""

    def __init__(self, engine: Engine, linear: Linear) -> None:
        self._engine = engine
        self._linear = linear

    async def share(self, session: Session, run: RunId, phase: Shipping) -> None:
        """Bring what the session's people have not seen yet, the newest first. Raises LedgerError alone."""
        rules = self._engine.rules
        if session.workspace is None or not rules.outbox_files:
            return
        sharing = _Sharing(self._engine, self._linear, session, run, phase)
        try:
            async with asyncio.timeout(WITHIN_S):
                await sharing.share(Path(session.workspace.directory), rules.outbox_files, rules.outbox_mb)
        except TimeoutError:
            await sharing.tell(OutboxFile(name="", problem=wording.out_of_time()))
        except _NotWanted:
            return


class _Sharing:
    def __init__(self, engine: Engine, linear: Linear, session: Session, run: RunId, phase: Shipping) -> None:
        self._engine = engine
        self._linear = linear
        self._session = session.id
        self._run = run
        heard = (mark for file in phase.turn.files for mark in file.marks)
        self._known = {*session.outbox, *heard}
        self._away = False  # Linear did not answer: the other files of the turn need not ask again

    async def share(self, workspace: Path, most: int, most_mb: float) -> None:
        try:
            found = await asyncio.to_thread(find_files, workspace, FOLDER)
        except OSError as error:
            _log.warning("outbox.unreadable", run=self._run, error=error.strerror)
            return
        new = [file for file in found if file.mark not in self._known]
        told = 0
        for number, file in enumerate(new):
            if told == most:
                await self.tell(OutboxFile(name="", problem=wording.left_out(len(new) - number, most)))
                break
            shared = await self._bring(workspace, file, most_mb)
            await self.tell(shared)
            told += bool(shared.url or shared.problem)

    async def tell(self, file: OutboxFile) -> None:
        """Have the session know what became of a file. Raises _NotWanted when it does not want to any more."""
        _log.info("file.shared", run=self._run, url=file.url, problem=file.problem)
        outcome = await self._engine.tell(self._session, FileShared(run=self._run, file=file))
        self._known.update(file.marks)
        phase = outcome.session.phase if outcome.session is not None else None
        if not isinstance(phase, Shipping) or phase.turn.run != self._run:
            raise _NotWanted

    async def _bring(self, workspace: Path, file: Found, most_mb: float) -> OutboxFile:
        """What became of a file; neither address nor problem when its content was shown before."""
        stamp = (file.mark,)
        most = int(most_mb * MB)
        if file.size is None:
            return OutboxFile(name=file.name, marks=stamp, problem=wording.no_plain_file(file.name))
        try:
            content, mark = await asyncio.to_thread(read_file, workspace, file.path, most)
        except NotPlain:
            return OutboxFile(name=file.name, marks=stamp, problem=wording.no_plain_file(file.name))
        except TooLarge:
            return OutboxFile(name=file.name, marks=stamp, problem=wording.too_large(file.name, most_mb))
        except Changed:
            return OutboxFile(name=file.name, problem=wording.changing(file.name))
        except OSError:
            return OutboxFile(name=file.name, marks=stamp, problem=wording.unreadable(file.name))
        marks = (*stamp, mark)
        if mark in self._known:
            return OutboxFile(name=file.name, marks=marks)
        mime = kind_to_upload(file.name, content)
        if mime is None:
            return OutboxFile(name=file.name, marks=marks, problem=wording.of_no_known_kind(file.name))
        if self._away:
            return OutboxFile(name=file.name, problem=wording.not_uploaded(file.name, later=True))
        try:
            url = await self._linear.upload(file.name, mime, content)
        except LinearError as error:
            _log.warning("file.refused", run=self._run, error=str(error))
            self._away = error.retryable
            told = wording.not_uploaded(file.name, later=error.retryable)
            return OutboxFile(name=file.name, marks=() if error.retryable else marks, problem=told)
        return OutboxFile(name=file.name, marks=marks, url=url, image=mime in IMAGES)
