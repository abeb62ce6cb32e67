"""The audit trail: who did what, and whether they might. Append-only; each row holds the hash of the row before.

    hash = sha256(previous + "\\n" + row), in lower-case hex
    row  = JSON array of texts: n, at (seconds, six decimals), source, organization, session, team, person, name,
           action, verdict; UTF-8, no spaces, nothing escaped but what JSON wants escaped

One chain for the whole ledger. Appending reads one row and writes one, inside the turn that acts on the decision; the
ledger has one writer at a time, so the chain cannot fork, and many turns share a commit as before.

What it shows: a row that was changed, removed or moved. What no chain shows by itself: that its end was cut off, or that
somebody who may write the file made all of it anew. Against both, keep its head elsewhere now and then (`head`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from dragoman.ledger import queries
from dragoman.ledger.tx import Tx
from dragoman.record import Record

Source = Literal["linear", "http", "cli", "library"]

BEGINNING = "0" * 64  # stands for the hash before the first row
ALLOWED = "allowed"
BATCH = 2_000  # rows read at a time

_SQL = queries.load("audit")


class Decision(Record):
    """Somebody wanted to do something; every field of the table is told in 0007_access.sql."""

    source: Source
    organization: str
    session: str
    team: str
    person: str
    name: str
    action: str
    verdict: str


class Row(Record, omit_defaults=False):
    """A decision in its place. `at` is seconds since the epoch."""

    n: int
    at: float
    source: str
    organization: str
    session: str
    team: str
    person: str
    name: str
    action: str
    verdict: str
    previous: str
    hash: str


class Head(Record, omit_defaults=False):
    """The end of the chain: how many rows, the hash of the last, and when that was written. No rows: 0."""

    n: int = 0
    hash: str = BEGINNING
    at: float = 0.0


class Flaw(Record, omit_defaults=False):
    """The first place at which the chain does not hold; `n` is the row, `what` a sentence."""

    n: int
    what: str


def append(tx: Tx, decision: Decision) -> None:
    """Add a decision to the end of the chain."""
    last = head(tx)
    said = (tx.now, *(getattr(decision, name) for name in Decision.__struct_fields__))
    n = last.n + 1
    tx.execute(_SQL["append"], (n, *said, last.hash, hash_of(last.hash, (n, *said))))


def head(tx: Tx) -> Head:
    """The end of the chain, to be kept elsewhere."""
    row = tx.execute(_SQL["head"]).fetchone()
    return Head() if row is None else Head(n=row[0], hash=row[1], at=row[2])


def newest(tx: Tx, *, since: float = 0.0, refused: bool = False, limit: int = 50) -> list[Row]:
    """The newest rows first. `since` in seconds since the epoch; `refused`: only refusals."""
    return _rows(tx, "newest_refused" if refused else "newest", (since, limit))


def verify(tx: Tx, known: Head | None = None) -> Flaw | None:
    """The first place at which the chain does not hold, from its beginning; None when all of it holds.

    known  a head that was kept elsewhere: it must still be part of the chain
    """
    last = Head()
    for row in _all(tx):
        if (what := _flaw(tx, last, row)) is not None:
            return Flaw(n=row.n, what=what)
        last = Head(n=row.n, hash=row.hash, at=row.at)
        if known is not None and known.n == row.n and known.hash != row.hash:
            return Flaw(
                n=row.n, what=f"row {row.n} is not the one whose hash was kept: it, or one before it, was made anew"
            )
    if known is not None and last.n < known.n:
        return Flaw(n=last.n, what=f"the end was cut off: there are {last.n} rows, and there were {known.n}")
    return None


def _flaw(tx: Tx, last: Head, row: Row) -> str | None:
    if row.n != last.n + 1:
        gone = f"row {last.n + 1} is" if row.n == last.n + 2 else f"rows {last.n + 1} to {row.n - 1} are"
        return f"{gone} missing"
    said = tuple(getattr(row, name) for name in Row.__struct_fields__[1:-2])
    if row.previous == last.hash:
        return None if hash_of(last.hash, (row.n, *said)) == row.hash else f"row {row.n} was changed"
    before = tx.execute(_SQL["with_hash"], (row.previous,)).fetchone()
    if before is not None or row.previous == BEGINNING:
        after = f"row {before[0]}" if before is not None else "the beginning"
        return f"row {row.n} was moved: it was written after {after}"
    return f"row {row.n} does not follow row {last.n}: one between them was removed, or one of the two was made anew"


def hash_of(previous: str, said: Sequence[Any]) -> str:
    """The hash of a row: all its fields from `n` to `verdict`, behind the hash of the one before."""
    n, at, *texts = said
    row = msgspec.json.encode([str(n), f"{at:.6f}", *texts])
    return hashlib.sha256(previous.encode() + b"\n" + row).hexdigest()


def _all(tx: Tx) -> Iterator[Row]:
    n = 0
    while rows := _rows(tx, "after", (n, BATCH)):
        yield from rows
        n = rows[-1].n


def _rows(tx: Tx, name: str, parameters: tuple[float, ...]) -> list[Row]:
    names = Row.__struct_fields__
    return [Row(**dict(zip(names, row, strict=True))) for row in tx.execute(_SQL[name], parameters).fetchall()]
