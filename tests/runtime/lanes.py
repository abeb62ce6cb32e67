"""Effects in a ledger, as tests of workers queue them, look at them and wait for them."""

from __future__ import annotations

from collections.abc import Callable

from dragoman.core.effects import Effect, Post
from dragoman.core.events import Event
from dragoman.core.events.linear import SessionOpened
from dragoman.core.session import Session
from dragoman.ledger import effects, turns
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.runtime.engine import Engine
from tests.builders import ORGANIZATION, a_prompt, a_session, a_tick
from tests.ledger_clock import HeldClock
from tests.runtime.conftest import HOST
from tests.runtime.waiting import until


class Row:
    """An effect as it lies in the ledger."""

    def __init__(self, row: tuple[float, int, str | None, str | None, str | None]) -> None:
        self.due_at, self.attempts, self.claim, self.outcome, self.error = row

    @property
    def waits(self) -> bool:
        return self.claim is None and self.outcome is None


async def row(ledger: SqliteLedger, n: int = 1) -> Row:
    sql = "SELECT due_at, attempts, claim, outcome, error FROM effects WHERE n = ?"
    return Row(await ledger.read(lambda tx: tx.execute(sql, (n,)).fetchone()))


async def queue(ledger: SqliteLedger, *wanted: Effect, session: Session | None = None) -> None:
    await ledger.turn(effects.insert, session or a_session(), wanted)


async def move(ledger: SqliteLedger, clock: HeldClock, seconds: float, pool: Pool = "linear") -> None:
    """Let time pass, and have the workers look."""
    clock.now += seconds
    await ledger.turn(lambda tx: tx.wake(pool))


class Performed:
    """Performs posts by noting what they say; `trouble` is raised instead as long as it gives something."""

    def __init__(self, trouble: Callable[[str, int], Exception | None] = lambda _, __: None) -> None:
        self.said: list[str] = []
        self._trouble = trouble

    async def __call__(self, claimed: Claimed) -> Event | None:
        words = words_of(claimed)
        self.said.append(words)
        if error := self._trouble(words, claimed.attempts):
            raise error
        return None


def words_of(claimed: Claimed) -> str:
    effect = claimed.effect
    return str(getattr(effect.activity, "body", "")) if isinstance(effect, Post) else type(effect).__name__


async def until_outcome(ledger: SqliteLedger, outcome: str, n: int) -> None:
    async def ended() -> bool:
        return (await row(ledger, n)).outcome == outcome

    await until(ended)


async def until_attempt(ledger: SqliteLedger, attempt: int, n: int = 1) -> None:
    """Wait until it was tried so often and waits again."""

    async def waits() -> bool:
        now = await row(ledger, n)
        return now.attempts == attempt and now.waits

    await until(waits)


async def known(ledger: SqliteLedger) -> None:
    """The session is there, at rest, with nothing in its journal."""

    def open_(tx: Tx) -> None:
        turns.receive(tx, a_session().id, a_tick(), new=a_session)
        tx.execute("DELETE FROM journal")

    await ledger.turn(open_)


async def begun(engine: Engine) -> Session:
    """A session whose run is about to be started."""
    opened = SessionOpened(issue=None, prompt=a_prompt())
    outcome = await engine.receive(a_session().id, ORGANIZATION, opened)
    assert outcome.session is not None
    return outcome.session


async def numbers(ledger: SqliteLedger, kind: str) -> list[int]:
    rows = await ledger.read(lambda tx: tx.execute("SELECT n FROM effects WHERE kind = ?", (kind,)).fetchall())
    return [int(n) for (n,) in rows]


async def journal(ledger: SqliteLedger) -> list[str]:
    rows = await ledger.read(lambda tx: tx.execute("SELECT kind FROM journal ORDER BY n").fetchall())
    return [str(kind) for (kind,) in rows]


async def take_over(ledger: SqliteLedger) -> list[Claimed]:
    """As another process does when a claim has ended: in one transaction, so that no look of ours comes between."""

    def other(tx: Tx) -> list[Claimed]:
        tx.execute("UPDATE effects SET due_at = ? WHERE claim IS NOT NULL", (tx.now,))
        return effects.claim(tx, "linear", host=HOST, limit=1, lease_s=30.0)

    return await ledger.turn(other)
