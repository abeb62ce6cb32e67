"""How long turns take, and how long people wait for a first word: durations of turns that began in this process."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dragoman.core.effects import Effect, Post
from dragoman.core.session import Session, live_turn
from dragoman.ids import ActivityId, SessionId, activity_id
from dragoman.ledger.pools import Job
from dragoman.metrics import Metrics

AWAITED_MOST = 10_000  # first activities; those that are never shown must not pile up


class Stopwatch:
    """Listens to the engine, and is told what Linear has taken.

    before  the turns that were under way when this process came: when they began is not known here
    """

    def __init__(self, metrics: Metrics, before: Mapping[SessionId, int]) -> None:
        self._metrics = metrics
        self._before = dict(before)
        self._running: dict[SessionId, tuple[int, float]] = {}  # number of the turn, when it began
        self._awaited: dict[ActivityId, float] = {}

    def told(self, session: Session) -> None:
        """Hear how a session stands now."""
        turn, now = live_turn(session), time.monotonic()
        number = turn.number if turn is not None else None
        running = self._running.get(session.id)
        if running is not None and running[0] != number:
            del self._running[session.id]
            self._metrics.turn.observe(now - running[1])
        if number is None or session.id in self._running or self._before.get(session.id) == number:
            return
        self._before.pop(session.id, None)
        self._running[session.id] = (number, now)
        self._awaited[activity_id(session.id, number, "begin")] = now
        if len(self._awaited) > AWAITED_MOST:
            del self._awaited[next(iter(self._awaited))]

    def shown(self, effect: Effect | Job) -> None:
        """Hear that Linear has taken an effect."""
        if isinstance(effect, Post) and (began := self._awaited.pop(effect.id, None)) is not None:
            self._metrics.first_thought.observe(time.monotonic() - began)
