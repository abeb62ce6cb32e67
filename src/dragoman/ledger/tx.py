"""The one thing that functions over the ledger are given: a transaction.

They are plain functions, never coroutines: nothing can wait for anything inside a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from dragoman.ledger.pools import Pool
from dragoman.ledger.session_cache import SessionCache

Value = str | int | float | None


class Rows(Protocol):
    """What a statement gave. `rowcount` counts the rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Tx(Protocol):
    """A transaction under way.

    now    the database's clock when the transaction began; seconds since the epoch
    cache  sessions that were decoded before
    """

    @property
    def now(self) -> float: ...

    @property
    def cache(self) -> SessionCache: ...

    def execute(self, sql: str, parameters: Sequence[Value] = (), /) -> Rows:
        """Run one statement with `?` for each parameter. The rows of the one before are gone."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Value]], /) -> Rows:
        """Run one statement for each set of parameters; `rowcount` is their sum."""
        ...

    def wake(self, pool: Pool) -> None:
        """Tell the workers of `pool`, once this is committed, that there is something new to claim or to wait for."""
        ...
