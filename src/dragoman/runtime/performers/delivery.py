"""The end of a turn's work: looked at, committed, saved, pushed, verified, offered as a pull request.

    workspace ──commit (sandbox)──→ trusted repository ──push (token)──→ remote ──REST (token)──→ pull request
                                          └──clean clone──→ verify (sandbox)

Each step looks first whether it was done, so that a crash between any two of them ends with one commit, one push and
one pull request. The token is in the environment of the one git that pushes, and in the header of our own requests;
neither is anywhere that an agent, its files or its commands could look.

Two refs in the trusted repository say how far it came: `refs/dragoman/pushed/…` what the remote took from us, which
alone may be overwritten there, and `refs/dragoman/shipped/…` what was delivered to the end.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from dragoman import logs
from dragoman.core import wording
from dragoman.core.effects import InspectWork, ShipLater, ShipWork
from dragoman.core.events import Event
from dragoman.core.events.desk import Delivered, ShipFailed, Shipped, Undelivered, WorkFound
from dragoman.core.session import Session, Shipping, Workspace
from dragoman.errors import ForgeError, GitError, Told
from dragoman.ids import RunId, session_of
from dragoman.ledger.effects import Claimed
from dragoman.repositories.forge import Forge
from dragoman.repositories.hostile import read_tips
from dragoman.repositories.leftovers import Confine, Left, look
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.hand_in import HandIn, shipped_so_far
from dragoman.runtime.performers.outbox import Outbox
from dragoman.runtime.workers import Postponed

NEARLY_ALL = 0.9  # of the time; the rest is for telling
LATER_S = 60.0  # when a later attempt is kept from beginning by a turn that delivers
_log = logs.get("delivery")


class _NotWanted(Exception):
    """The session has left the turn: whatever is not done yet is not wanted any more."""


class Delivery:
    """Performs what brings work to the forge.

    outbox       brings what the agent put out for people to Linear
    confine      holds commands of ours in an agent's files; None where nothing can: then uncommitted work is not seen
    environment  what verify commands get
    """

    def __init__(
        self,
        engine: Engine,
        desk: Desk,
        forge: Forge,
        outbox: Outbox,
        *,
        confine: Confine | None,
        environment: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._desk = desk
        self._forge = forge
        self._outbox = outbox
        self._confine = confine
        self._environment = environment
        self._branches: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def perform(self, claimed: Claimed) -> Event | None:
        """Perform one effect. Raises Postponed, ForgeError."""
        effect = claimed.effect
        match effect:
            case InspectWork(run=run):
                return await self._inspect(run)
            case ShipWork():
                return await self._ship(effect)
            case ShipLater():
                return await self._ship_later(effect)
            case _:
                raise TypeError(f"not for the desk: {effect!r}")

    # ── looking ──────────────────────────────────────────────────────────
    async def _inspect(self, run: RunId) -> Event | None:
        session = await self._shipping(run)
        if session is None or session.workspace is None:
            return None
        if isinstance(session.phase, Shipping):
            await self._outbox.share(session, run, session.phase)
        place, trusted = session.workspace, self._desk.trusted(session)
        try:
            left = await self._look(place)
            tips = await asyncio.to_thread(read_tips, Path(place.directory), place.branch)
            since = await shipped_so_far(trusted, session.id)
        except GitError as error:
            _log.warning("workspace.unreadable", run=run, error=str(error))
            return ShipFailed(run=run, reason=wording.shipping.unreadable(str(error)))
        changed = bool(left.count) or bool({tips.branch, tips.head} - {since, None})
        return WorkFound(run=run, changed=changed, left=() if left.underway else left.paths)

    async def _look(self, place: Workspace) -> Left:
        return Left() if self._confine is None else await look(Path(place.directory), self._confine)

    # ── delivering ───────────────────────────────────────────────────────
    async def _ship(self, effect: ShipWork) -> Event | None:
        session = await self._shipping(effect.run)
        if session is None or session.workspace is None:
            return None
        place = session.workspace
        async with self._branches[(place.repository, place.branch)]:
            try:
                task = self._hand_in(session, place, effect.words)
                return await self._perform_parts(effect, task)
            except (GitError, Told) as error:
                _log.warning("work.unsaved", run=effect.run, error=str(error))
                return ShipFailed(run=effect.run, reason=wording.shipping.unreadable(str(error)))

    async def _perform_parts(self, effect: ShipWork, task: HandIn) -> Event | None:
        try:
            async with asyncio.timeout(effect.seconds * NEARLY_ALL):
                for part in (task.save, task.push, task.verify, task.offer):
                    await self._wanted(effect.run)
                    await part()
        except _NotWanted:
            url = task.receipt.pull_request
            return Delivered(pull_request=url) if url else None
        except TimeoutError:
            task.out_of_time()
        receipt = task.receipt
        _log.info(
            "work.shipped",
            run=effect.run,
            pushed=receipt.pushed,
            pull_request=receipt.pull_request,
            trouble=bool(receipt.trouble),
        )
        return Shipped(run=effect.run, receipt=receipt)

    async def _ship_later(self, effect: ShipLater) -> Event | None:
        """Push and offer what was saved; a later turn may have done it, or be about to."""
        session = await self._engine.session(session_of(effect.run))
        if session is None or session.workspace is None:
            return None
        place = session.workspace
        if isinstance(session.phase, Shipping):
            raise Postponed("a later turn delivers the same branch", after_s=LATER_S)
        async with self._branches[(place.repository, place.branch)]:
            task = self._hand_in(session, place, effect.words)
            if not await task.saved_before():
                return None
            try:
                await task.push_once()
                await task.offer_once()
            except ForgeError as error:
                if error.retryable:
                    raise
                _log.warning("work.undelivered", run=effect.run, kind=error.kind, error=str(error))
                return Undelivered(reason=wording.shipping.late(task.refused(error)))
            return Delivered(pull_request=task.receipt.pull_request)

    def _hand_in(self, session: Session, place: Workspace, words: str) -> HandIn:
        return HandIn(
            session,
            place,
            words,
            repository=self._desk.repository(session),
            trusted=self._desk.trusted(session),
            forge=self._forge,
            confine=self._confine,
            environment=self._environment,
        )

    async def _shipping(self, run: RunId) -> Session | None:
        """The session, if it still waits for this turn's work to be delivered."""
        session = await self._engine.session(session_of(run))
        if session is None or not isinstance(session.phase, Shipping) or session.phase.turn.run != run:
            return None
        return session

    async def _wanted(self, run: RunId) -> None:
        """Raises _NotWanted when a person has stopped the turn meanwhile."""
        if await self._shipping(run) is None:
            raise _NotWanted
