"""What keeping costs those who wait for the ledger meanwhile; what it does is told in tests/stories/test_keeping.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dragoman.ids import SessionId
from dragoman.ledger import turns
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.runtime.performers import keeping
from dragoman.runtime.performers.keeping import Keeping
from tests.builders import a_post, a_session, a_step_to, a_tick
from tests.ledger_clock import HeldClock


class Listening:
    """A transaction that notes what is asked in it."""

    def __init__(self, tx: Tx, heard: list[str]) -> None:
        self._tx = tx
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        self._heard.append(sql)
        return self._tx.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        self._heard.append(sql)
        return self._tx.executemany(sql, parameters)


class Overheard:
    """A ledger of which each transaction's statements are kept."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self.turns: list[list[str]] = []

    async def turn(self, run: Callable[..., Any], *args: Any) -> Any:
        heard: list[str] = []
        self.turns.append(heard)
        return await self._ledger.turn(lambda tx: run(cast(Tx, Listening(tx, heard)), *args))


async def test_a_look_for_unused_workspaces_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 10, raising=False)
    clock = HeldClock()
    ledger = await SqliteLedger.open("memory://", clock=clock)
    sessions = [SessionId(f"session-{number}") for number in range(25)]
    try:
        for one in sessions:
            new = partial(a_session, one)
            await ledger.turn(turns.receive, one, a_tick(one), new=new, turn_of=a_step_to(a_post(f"of {one}")))
        overheard = Overheard(ledger)
        desk = SimpleNamespace(workspaces=lambda: sessions)
        keeps = Keeping(cast(Any, SimpleNamespace(ledger=overheard)), cast(Any, desk), cast(Any, None))
        assert await keeps.clear_idle(1) == 0
        # People write as many lines as they like; a look at all of them for each workspace held the ledger for seconds.
        assert [len(heard) for heard in overheard.turns] == [10, 10, 5]

        clock.now += 2 * keeping.DAY_S
        assert await keeps.clear_idle(1) == 25
        assert not [sql for heard in overheard.turns for sql in heard if "journal" in sql or "messages" in sql]
        assert await keeps.clear_idle(1) == 0  # they are to be removed already
    finally:
        await ledger.close()
