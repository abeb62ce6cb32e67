"""Workspaces are saved while they are worked in, and removed, saved once more, when their session is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from dragoman import logs
from dragoman.core.effects import ClearWorkspace, SaveWork
from dragoman.core.session import Closed, Session, live_turn
from dragoman.errors import GitError, NotFound, OpenCodeDown, OpenCodeError, Refusal, Told
from dragoman.ids import SessionId
from dragoman.ledger import effects, find, hosts
from dragoman.ledger.effects import Claimed
from dragoman.ledger.tx import Tx
from dragoman.repositories.naming import checkpoint_ref
from dragoman.repositories.removal import saved_sessions, tidy
from dragoman.repositories.trusted import TrustedRepository
from dragoman.runtime.agent_host import ForgetfulHost
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from dragoman.runtime.performers.threads import delete_threads

DAY_S = 86_400.0
BATCH = 500  # sessions that are looked at in one transaction: everything else waits meanwhile
THREADS = 500  # sessions whose conversations OpenCode is asked to delete at one time; each costs it a moment
_log = logs.get("keeping")


class Keeping:
    """Performs SaveWork and ClearWorkspace."""

    def __init__(self, engine: Engine, desk: Desk, host: ForgetfulHost) -> None:
        self._engine = engine
        self._desk = desk
        self._host = host

    async def perform(self, claimed: Claimed) -> None:
        """Perform one effect. Raises GitError."""
        session = await self._engine.session(SessionId(claimed.session or ""))
        if session is None or session.workspace is None:
            return
        if isinstance(claimed.effect, ClearWorkspace):
            await self._clear(session, at_rest=claimed.effect.at_rest)
        elif isinstance(claimed.effect, SaveWork):
            await self._save(session)

    async def clear_idle(self, retention_days: float) -> int:
        """Have the workspaces removed that nobody has used for so long; how many were found. 0 days: never."""
        if not retention_days:
            return 0
        standing = await asyncio.to_thread(self._desk.workspaces)
        asked = 0
        for some in _in_batches(standing):
            asked += await self._engine.ledger.turn(_ask_to_clear, some, retention_days * DAY_S)
        return asked

    async def delete_conversations(self, retention_days: float) -> int:
        """Have OpenCode delete what was said in sessions that nobody has used for so long, as the ledger does.

        Who writes there again begins a new thread. Returns how many sessions were looked at. 0 days: never.
        """
        if not retention_days:
            return 0
        engine, idle_s, key = self._engine, retention_days * DAY_S, f"conversations:{self._engine.host}"
        at, _, n = (await engine.ledger.read(hosts.get_value, key) or "0 0").partition(" ")
        looked = 0
        for place, session in await engine.ledger.read(
            find.unused, engine.host, idle_s, after=(float(at), int(n)), limit=THREADS
        ):
            # Somebody may have written meanwhile; then its place comes again, later.
            still = [] if session is None else await engine.ledger.read(find.idle, [session.id], idle_s)
            try:
                for one in still:
                    await delete_threads(self._host, self._desk, one)
                    await self._dispose(one)
            except (OpenCodeDown, Told) as error:
                _log.info("conversations.kept", error=str(error))
                break
            except (OpenCodeError, Refusal) as error:  # one that cannot be deleted must not keep the others
                _log.warning("conversation.kept", session=still[0].id, error=str(error))
            await engine.ledger.turn(hosts.put_value, key, f"{place[0]!r} {place[1]}")
            looked += 1
        return looked

    async def tidy(self, retention_days: float) -> None:
        """Drop what was saved of sessions that nobody has used for twice as long, and have git pack our copies.

        Twice: for so long it lay on disk, or was not needed there, and for so long again it can be had back.
        """
        for trusted in self._desk.copies():
            try:
                dropped = await self._drop(trusted, 2 * retention_days * DAY_S) if retention_days else 0
                tidied = await tidy(trusted, all_of_it=dropped > 0)
            except (GitError, Refusal) as error:
                _log.warning("copy.untidied", repository=trusted.name, error=str(error))
            else:
                _log.info("copy.tidied" if tidied else "copy.in_use", repository=trusted.name, dropped=dropped)

    async def _drop(self, trusted: TrustedRepository, idle_s: float) -> int:
        unused: list[Session] = []
        for some in _in_batches(sorted(await saved_sessions(trusted))):
            unused += await self._engine.ledger.read(find.idle, some, idle_s)
        # A session that went elsewhere since has left what it saved here to itself.
        ours = [one for one in unused if one.workspace is not None and one.workspace.repository == trusted.name]
        return sum([await self._desk.drop_saved(one) for one in ours])

    async def _save(self, session: Session) -> None:
        commit = await self._desk.save(session)
        if commit is None or not self._desk.repository(session).checkpoint_push:
            return
        await self._desk.trusted(session).push_ref(checkpoint_ref(session.id))

    async def _clear(self, session: Session, *, at_rest: bool) -> None:
        wanted = live_turn(session) is not None or not (at_rest or isinstance(session.phase, Closed))
        if wanted:
            return  # somebody wrote meanwhile
        if at_rest:
            await self._delete_threads(session)
        await self._dispose(session)
        removed = await self._desk.remove(session)
        if removed is not None:
            _log.info("workspace.removed", session=session.id, ref=removed.ref, commit=removed.commit)

    async def _delete_threads(self, session: Session) -> None:
        """While the workspace stands, those that the session has left are found, too."""
        try:
            await delete_threads(self._host, self._desk, session)
        except (OpenCodeError, Told) as error:
            _log.info("conversation.kept", session=session.id, error=str(error))

    async def _dispose(self, session: Session) -> None:
        """OpenCode lets the directory go, and ends what still runs in it."""
        try:
            client = await self._host.client()
            await client.dispose(session.workspace.directory if session.workspace else "")
        except (OpenCodeError, NotFound, Told) as error:
            _log.debug("instance.kept", session=session.id, error=str(error))


def _ask_to_clear(tx: Tx, standing: Sequence[SessionId], idle_s: float) -> int:
    unused = [one for one in find.idle(tx, standing, idle_s) if not find.is_to_be_cleared(tx, one.id)]
    return sum(effects.insert(tx, one, [ClearWorkspace(at_rest=True)]) for one in unused)


def _in_batches(sessions: Sequence[SessionId]) -> Iterator[Sequence[SessionId]]:
    return (sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH))
