"""The queue of runs that wait to be started: by priority, then in the order of coming, never more than there are places.

Places are counted in the ledger: sessions that OpenCode works for, and starts that are being performed. So they are
right after a restart and with several processes of a host. A start whose session has left its run needs no place; it
goes before all others, since it keeps the session's next run from being queued.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from dragoman.core.effects import StartRun
from dragoman.core.session import MEDIUM, Session, Starting, Stopping, Working, live_turn, urgency
from dragoman.errors import LedgerError
from dragoman.ids import HostId, RunId, SessionId
from dragoman.ledger import queries
from dragoman.ledger.codec import decode_effect
from dragoman.ledger.effects import Claimed, claim_with
from dragoman.ledger.tx import Tx
from dragoman.record import Record

LEFT = 0  # the priority of a start that needs no place

_SQL = queries.load("queue")
_PRIORITISE = _SQL["prioritise"]


class Waiting(Record):
    """A start that waits in the queue.

    told  what people were told that it waits for; empty when nothing
    """

    n: int
    session: SessionId
    run: RunId
    told: str = ""


def moved(tx: Tx, before: Session, after: Session) -> None:
    """A session goes on: a place may be free, and a start that it has left must not stand in anybody's way."""
    phase = before.phase
    if isinstance(phase, Working | Stopping):
        if not isinstance(after.phase, Working | Stopping):
            tx.wake("start")
    elif isinstance(phase, Starting):
        turn = live_turn(after)
        if turn is None or turn.run != phase.turn.run or isinstance(after.phase, Stopping):
            tx.execute(_PRIORITISE, (LEFT, after.id))
            tx.wake("start")


def prioritise(tx: Tx, session: Session) -> None:
    """Put the starts of a session that were queued just now where they belong."""
    if (wanted := urgency(session)) != MEDIUM:
        tx.execute(_PRIORITISE, (wanted, session.id))


def free_places(tx: Tx, host: HostId, places: int) -> int:
    """How many more runs may begin on a host; never negative."""
    working = tx.execute(_SQL["working"], (host,)).fetchone()[0]
    beginning = tx.execute(_SQL["beginning"], (host, tx.now)).fetchone()[0]
    return max(0, places - int(working) - int(beginning))


def claim_left(tx: Tx, host: HostId, limit: int, lease_s: float) -> list[Claimed]:
    """Take starts that need no place."""
    return claim_with(tx, _SQL["claim_left"], (host, tx.now), host=host, limit=limit, lease_s=lease_s)


def claim_starts(tx: Tx, host: HostId, limit: int, lease_s: float) -> list[Claimed]:
    """Take the first `limit` of the queue that are due."""
    return claim_with(tx, _SQL["claim_starts"], (host, tx.now), host=host, limit=limit, lease_s=lease_s)


def next_start(tx: Tx, host: HostId) -> float | None:
    """When a start that was put off may be tried again; None when there is none."""
    at = tx.execute(_SQL["next_start"], (host, tx.now)).fetchone()[0]
    return None if at is None else float(at)


def first_in_queue(tx: Tx, host: HostId, limit: int) -> list[Waiting]:
    """Those whose turn comes first."""
    rows = tx.execute(_SQL["first_in_queue"], (host, tx.now, limit)).fetchall()
    return _waiting((n, session, told, body) for n, session, told, body in rows)


def untold(tx: Tx, host: HostId, limit: int) -> list[tuple[Waiting, int]]:
    """The first of the queue of whom people know nothing yet, each with its place in the queue, from 1."""
    rows = tx.execute(_SQL["untold"], (host, tx.now, limit)).fetchall()
    priorities = {n: priority for n, _, priority, _ in rows}
    known = _waiting((n, session, None, body) for n, session, _, body in rows)
    return [(one, _place(tx, host, priorities[one.n], one.n)) for one in known]


def note_told(tx: Tx, waiting: Waiting, cause: str) -> None:
    """Note what people were told that it waits for."""
    tx.execute(_SQL["tell"], (cause, waiting.n))


def place_of(tx: Tx, session: SessionId, run: RunId) -> int | None:
    """The place in the queue of a run that waits to be started, from 1; None when it does not wait."""
    row = tx.execute(_SQL["standing"], (session,)).fetchone()
    if row is None:
        return None
    n, host, priority, body = row
    if [one.run for one in _waiting([(n, session, None, body)])] != [run]:
        return None
    return _place(tx, host, priority, n)


def _place(tx: Tx, host: HostId, priority: int, n: int) -> int:
    return int(tx.execute(_SQL["ahead"], (host, priority, n)).fetchone()[0]) + 1


def _waiting(rows: Iterable[tuple[int, str, str | None, str]]) -> list[Waiting]:
    """What can be read of rows; one that cannot is parked when it is claimed."""
    found = []
    for n, session, told, body in rows:
        with suppress(LedgerError):
            effect = decode_effect(body)
            if isinstance(effect, StartRun):
                found.append(Waiting(n=n, session=SessionId(session), run=effect.run, told=told or ""))
    return found
