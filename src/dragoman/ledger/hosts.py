"""Hosts and their heartbeat, and the few single values that must outlive a restart."""

from __future__ import annotations

from dragoman.ids import HostId
from dragoman.ledger import effects, queries
from dragoman.ledger.tx import Tx
from dragoman.record import Record

_SQL = queries.load("hosts")


class Host(Record):
    """A host as it was last heard of.

    silent_s  seconds since its heartbeat, by the database's clock
    info      JSON text that the host wrote about itself
    """

    id: HostId
    silent_s: float
    info: str


def beat(tx: Tx, host: HostId, info: str = "{}") -> float:
    """Say that a process of `host` is alive.

    Returns  by how many seconds the clock was found set back, else 0; what waits was brought forward by as much
    """
    # The newest heartbeat of any host tells it, also when nobody was there to see it happen, and only once.
    latest = tx.execute(_SQL["latest"]).fetchone()[0]
    back_s = 0.0 if latest is None else max(0.0, float(latest) - tx.now)
    if back_s:
        effects.bring_forward(tx, back_s)
        tx.execute(_SQL["set_back"], (tx.now, tx.now))
    tx.execute(_SQL["beat"], (host, tx.now, info))
    return back_s


def hosts(tx: Tx) -> list[Host]:
    """All hosts that were ever heard of, by name."""
    rows = tx.execute(_SQL["hosts"]).fetchall()
    return [Host(id=id_, silent_s=max(0.0, tx.now - at), info=info) for id_, at, info in rows]


def get_value(tx: Tx, key: str) -> str | None:
    """A single value that was put under `key`."""
    row = tx.execute(_SQL["get_value"], (key,)).fetchone()
    return None if row is None else str(row[0])


def put_value(tx: Tx, key: str, value: str) -> None:
    """Keep a single value, in place of the one before."""
    tx.execute(_SQL["put_value"], (key, value))
