"""The road in. Whoever hears something tells the engine; one transaction decides what follows, and then it is on disk.

Webhooks, OpenCode's facts, timers and the outcomes of effects all come through here. Afterwards listeners (the
follower) hear how the session stands, without a second look at the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from dragoman import logs
from dragoman.core import step as machine
from dragoman.core.access import Policy
from dragoman.core.events import Event
from dragoman.core.events.issues import IssueEvent
from dragoman.core.events.linear import SessionOpened, Withdrawn
from dragoman.core.events.opencode import AgentEvent
from dragoman.core.events.operators import SessionExpired
from dragoman.core.events.timers import BlockersDue
from dragoman.core.in_thread import as_heard
from dragoman.core.limits import Rules
from dragoman.core.pace import Paces
from dragoman.core.session import Session, Step, live_turn
from dragoman.core.telling import hearing
from dragoman.ids import HostId, IssueId, OrganizationId, SessionId, thread_of
from dragoman.ledger import control, effects, find, turns
from dragoman.ledger.control import Answer, Command
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Job
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.turns import Delivery, Outcome
from dragoman.ledger.tx import Tx
from dragoman.runtime.gate import Gate

HOUR_S = 3600.0
CALM_S = 0.05  # so long after the last of a flood
EXPIRED_AT_ONCE = 50  # sessions that time out in one transaction: other turns come in between
FLOOD = 8  # deliveries under way at a time; at 200 a second there are two or three
_log = logs.get("engine")


# What was heard inside a transaction, and what became of it; listeners are told once it is committed.
Heard = tuple[Event, Outcome]

# Wants to know how a session stands after each turn.
Listener = Callable[[Session], None]


class Engine:
    """Hears events on behalf of one host.

    host     new sessions belong to it
    rules    the operator's limits, passed to the machine; may be replaced at any time, as `crowd` may
    crowd    most sessions of one issue within an hour; 0 = no cap
    gate     whether people may do what they ask for; None lets everybody do everything
    """

    def __init__(
        self, ledger: SqliteLedger, *, host: HostId, rules: Rules, crowd: int, gate: Gate | None = None
    ) -> None:
        self.ledger = ledger
        self.host = host
        self.rules = rules
        self.crowd = crowd
        self.gate = gate or Gate(Policy(), Paces(person=0, organization=0))
        self._listeners: list[Listener] = []
        self._arriving = 0
        # Cleared while so many deliveries wait for their answer that other work should step aside for a moment.
        self.calm = asyncio.Event()
        self.calm.set()
        # Cleared while more waits to be said to people than can be said at a time; other work steps aside then, too.
        self.all_said = asyncio.Event()
        self.all_said.set()

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after each turn, in the event loop."""
        self._listeners.append(listener)

    async def receive(
        self,
        session: SessionId,
        organization: OrganizationId,
        event: Event,
        *,
        keys: Sequence[str] = (),
        delivery: Delivery | None = None,
        opens: bool = True,
    ) -> Outcome:
        """Hear something from Linear.

        opens   a session that nobody knows is made; otherwise nobody hears it
        Raises  LedgerError when it could not be put on disk: then it has not happened
        """

        def new() -> Session:
            return Session(id=session, organization=organization, host=self.host)

        self._arriving += 1
        if self._arriving >= FLOOD:
            self.calm.clear()
        try:
            outcome = await self.ledger.turn(
                turns.receive,
                session,
                event,
                keys=keys,
                new=new if opens else None,
                gather=self._gather,
                delivery=delivery,
                turn_of=self._step,
            )
        finally:
            self._arriving -= 1
            if self._arriving < FLOOD and not self.calm.is_set():
                # Deliveries are answered a group at a time: the gap between two groups is no calm.
                asyncio.get_running_loop().call_later(CALM_S, self._calm_down)
        return self._told(event, outcome)

    def _calm_down(self) -> None:
        if self._arriving < FLOOD:
            self.calm.set()

    async def tell(self, session: SessionId, event: Event, *, keys: Sequence[str] = ()) -> Outcome:
        """Hear something of a session that must be known already."""
        outcome = await self.ledger.turn(turns.receive, session, event, keys=keys, turn_of=self._step)
        return self._told(event, outcome)

    async def ask(self, session: SessionId, command: Command, *, reason: str = "") -> Answer | None:
        """Hear what an operator asks of a session by HTTP; None when nobody knows it."""
        answer = await self.ledger.turn(control.ask, session, command, source="http", turn_of=self._step, reason=reason)
        if answer is not None and answer.event is not None and answer.outcome is not None:
            self._told(answer.event, answer.outcome)
        return answer

    async def tell_all(self, session: SessionId, facts: Sequence[tuple[str, AgentEvent]]) -> None:
        """Hear several facts of a run, each with its dedupe key, in one transaction."""

        def hear(tx: Tx) -> list[Outcome]:
            return [turns.receive(tx, session, fact, keys=(key,), turn_of=self._step) for key, fact in facts]

        for (_, fact), outcome in zip(facts, await self.ledger.turn(hear), strict=True):
            self._told(fact, outcome)

    def hear(self, tx: Tx, session: SessionId, event: Event) -> Heard:
        """Hear something inside a transaction that decides more than that; `announce` it afterwards."""
        return event, turns.receive(tx, session, event, turn_of=self._step)

    def announce(self, heard: Sequence[Heard]) -> None:
        """Tell the listeners what was heard in a transaction that is committed."""
        for event, outcome in heard:
            self._told(event, outcome)

    async def look_again(self, organization: OrganizationId, issue: IssueId) -> None:
        """An issue has changed: whatever waits for it to be done looks whether it is."""
        for session in await self.ledger.read(find.blocked_by, organization, issue):
            if (turn := live_turn(session)) is not None:
                await self.tell(session.id, BlockersDue(run=turn.run))

    async def concerned(self, issue: IssueId, event: Withdrawn | IssueEvent) -> list[SessionId]:
        """The sessions of an issue that are to hear what happened to it."""
        if isinstance(event, Withdrawn):
            return await self.ledger.read(find.concerned_by_issue, issue)
        if not self.rules.tell_edits:
            return []
        return hearing(event, await self.ledger.read(find.around_live, issue))

    async def expire(self) -> int:
        """Tell every session whose time is over, some in each transaction; how many timed out."""
        timed_out = 0
        while outcomes := await self.ledger.turn(turns.expire, EXPIRED_AT_ONCE, turn_of=self._step):
            timed_out += len(outcomes)
            for outcome in outcomes:
                self._told(SessionExpired(), outcome)
        return timed_out

    async def finish(self, claimed: Claimed, event: Event | None) -> bool:
        """End an effect, together with what it brought; False when somebody else holds it by now."""
        if event is None:
            return await self.ledger.turn(effects.finish, claimed)
        outcome = await self.ledger.turn(turns.finish_with, claimed, event, turn_of=self._step)
        if outcome is None:
            return False
        self._told(event, outcome)
        return True

    async def drop(self, claimed: Claimed) -> bool:
        """End an effect that has lost its point, undone; False when somebody else holds it by now."""
        return await self.ledger.turn(effects.drop, claimed)

    async def finish_and_repeat(self, claimed: Claimed, after_s: float) -> bool:
        """End a job and queue it anew; False when somebody else holds it by now."""
        job = claimed.effect
        if not isinstance(job, Job):
            raise TypeError(f"only jobs recur: {job!r}")

        def again(tx: Tx) -> bool:
            return effects.finish(tx, claimed) and effects.insert_job(tx, job, after_s=after_s)

        return await self.ledger.turn(again)

    async def park(self, claimed: Claimed, error: str, event: Event | None = None) -> bool:
        """Give an effect up for good, together with what that means for the session."""
        if event is None:
            return await self.ledger.turn(effects.park, claimed, error)
        outcome = await self.ledger.turn(turns.finish_with, claimed, event, error=error, turn_of=self._step)
        if outcome is None:
            return False
        self._told(event, outcome)
        return True

    async def postpone(self, claimed: Claimed, after_s: float, error: str, event: Event | None = None) -> None:
        """Try an effect again later; `event` tells the session why it waits."""

        def put_off(tx: Tx) -> Outcome | None:
            if not effects.retry(tx, claimed, after_s, error) or event is None or claimed.session is None:
                return None
            return turns.receive(tx, claimed.session, event, turn_of=self._step)

        outcome = await self.ledger.turn(put_off)
        if outcome is not None and event is not None:
            self._told(event, outcome)

    async def session(self, session: SessionId) -> Session | None:
        """The session as it stands on disk."""
        return await self.ledger.read(turns.load, session)

    def _step(self, session: Session, event: Event, now: float) -> Step:
        return machine.step(session, event, now, self.rules)

    def _gather(self, tx: Tx, session: Session, event: Event) -> Event:
        """Ask whether it may be, and add what only the ledger knows: how crowded the issue is, what a number means."""
        if thread_of(session.id) is not None:
            event = as_heard(session, event)
        event = self.gate(tx, session, event)
        if not isinstance(event, SessionOpened) or event.issue is None or not self.crowd:
            return event
        crowd = find.count_sessions(tx, event.issue.id, tx.now - HOUR_S) + 1
        return replace(event, crowd=crowd, limit=self.crowd)

    def _told(self, event: Event, outcome: Outcome) -> Outcome:
        if outcome.session is not None:
            session = outcome.session
            _log.info(
                "event.heard",
                event_kind=type(event).__name__,
                session=session.id,
                phase=type(session.phase).__name__,
                turn=session.turns,
                effects=outcome.effects,
            )
            for listener in self._listeners:
                listener(session)
        return outcome
