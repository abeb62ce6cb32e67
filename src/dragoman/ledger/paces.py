"""How fast requests come, kept in the ledger: it survives a restart and is the same for every process."""

from __future__ import annotations

from typing import Literal

from dragoman.core.pace import WINDOW_S, Paces, admit
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx
from dragoman.record import Record

_SQL = queries.load("audit")


class TooFast(Record):
    """A bucket is empty. `silent`: the person was told so less than a window ago."""

    reason: Literal["person_pace", "organization_pace"]
    silent: bool


def take(tx: Tx, organization: str, person: str, paces: Paces) -> TooFast | None:
    """Take one request out of the person's bucket and the organization's; None when both had one left.

    person  '' stands for all that comes from nobody who is identified
    """
    if not (paces.person or paces.organization):
        return None
    keys = (f"o:{organization}", f"p:{organization}:{person}")
    known = {key: (full_at, told_at) for key, full_at, told_at in tx.execute(_SQL["paces"], keys).fetchall()}
    (common, common_told), (own, own_told) = (known.get(key, (0.0, 0.0)) for key in keys)
    own_then = admit(own, tx.now, paces.person) if paces.person else own
    common_then = admit(common, tx.now, paces.organization) if paces.organization else common
    if own_then is None or common_then is None:
        silent = abs(tx.now - own_told) < WINDOW_S  # later than now: the clock was set back
        if not silent:
            tx.execute(_SQL["set_pace"], (keys[1], own, tx.now))
        return TooFast(reason="person_pace" if own_then is None else "organization_pace", silent=silent)
    tx.executemany(_SQL["set_pace"], ((keys[0], common_then, common_told), (keys[1], own_then, own_told)))
    return None
