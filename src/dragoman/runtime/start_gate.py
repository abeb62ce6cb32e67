"""The gate before runs: only as many starts are taken from the queue as may begin, and whoever has to wait is told.

Nothing polls here, however many wait: the pool looks when a commit wakes it (a run was queued, a place was left), when
OpenCode comes or goes, and now and then. While OpenCode is away nothing is taken at all: its server is looked at by
whoever tends it, once for everybody.
"""

from __future__ import annotations

from dragoman.core.events.runs import PlaceInQueue, RunWaiting
from dragoman.ledger import queue
from dragoman.ledger.tx import Tx
from dragoman.runtime.agent_host import AgentHost
from dragoman.runtime.engine import Engine, Heard
from dragoman.runtime.workers import Take, Taken

TOLD_AT_ONCE = 20  # of whom people are told in one transaction; the others follow in the next


class StartGate:
    """Decides which starts may be performed.

    places  most runs at a time; may be changed at any time, those under way go on
    """

    def __init__(self, engine: Engine, host: AgentHost, places: int) -> None:
        self._engine = engine
        self._host = host
        self.places = places

    def look(self) -> Take:
        """How things stand with OpenCode; what follows from that is decided with the ledger at hand."""
        away, places = self._host.away(), self.places if self._host.room() else 0

        def take(tx: Tx, limit: int, lease_s: float) -> Taken:
            host = self._engine.host
            left = queue.claim_left(tx, host, limit, lease_s)
            free = queue.free_places(tx, host, places)
            if away is not None:
                told = [*self._tell_away(tx, free, away), *self._tell_places(tx)] if away else []
                return Taken(claimed=left, told=told)
            wanted = min(free, limit - len(left))
            started = queue.claim_starts(tx, host, wanted, lease_s) if wanted else []
            if len(started) < free:  # who waits, waits for a worker or for the time of the next attempt
                return Taken(claimed=[*left, *started], due=queue.next_start(tx, host))
            return Taken(claimed=[*left, *started], told=self._tell_places(tx))

        return take

    def _tell_away(self, tx: Tx, free: int, why: str) -> list[Heard]:
        """Those whose turn it would be hear why they wait."""
        first = queue.first_in_queue(tx, self._engine.host, free)
        news = [one for one in first if one.told != "opencode"]
        heard = []
        for one in news[:TOLD_AT_ONCE]:
            queue.note_told(tx, one, "opencode")
            waiting = RunWaiting(run=one.run, cause="opencode", detail=why, why=self._host.cause)
            heard.append(self._engine.hear(tx, one.session, waiting))
        if len(news) > TOLD_AT_ONCE:
            tx.wake("start")
        return heard

    def _tell_places(self, tx: Tx) -> list[Heard]:
        """Those that have come since the last look hear where they stand."""
        heard = []
        for one, place in queue.untold(tx, self._engine.host, TOLD_AT_ONCE):
            queue.note_told(tx, one, "capacity")
            heard.append(self._engine.hear(tx, one.session, PlaceInQueue(run=one.run, place=place)))
        if len(heard) == TOLD_AT_ONCE:
            tx.wake("start")
        return heard
