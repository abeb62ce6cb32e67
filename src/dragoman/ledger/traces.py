"""How a turn went, piece by piece, from rows that are there anyway. Ids, names and times; nothing that anybody said."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.ids import ActivityId, SessionId, activity_id
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx
from dragoman.record import Record

MOST = 2_000  # pieces of a turn
LONGEST_DELIVERY_S = 8 * 3_600.0  # a clock that is off must not make a webhook of years

_SQL = queries.load("traces")


class Piece(Record):
    """A part of a turn. Times in seconds since the epoch; `attempts` 0 where nothing is counted.

    name  "webhook", "first", "final", "tool <name>", or the kind of the effect
    """

    name: str
    begun_at: float
    ended_at: float
    failed: bool = False
    attempts: int = 0


class TracedTurn(Record):
    """A turn that ended; see 0002_numbers.sql and 0005_turn_choices.sql."""

    session: SessionId
    number: int
    begun_at: float
    ended_at: float
    outcome: str
    asks: int
    tokens: int
    cost: float
    model: str
    template: str
    pieces: tuple[Piece, ...] = ()


def untold(tx: Tx, since: float, limit: int) -> list[TracedTurn]:
    """Turns that ended since a moment, whose end people have read and that were not told yet, oldest first."""
    found = []
    for row in tx.execute(_SQL["untold"], (since, limit)).fetchall():
        session, number, begun_at, ended_at, outcome, first_post, asks, tokens, cost, model, template = row
        found.append(
            TracedTurn(
                session=session,
                number=number,
                begun_at=begun_at,
                ended_at=ended_at,
                outcome=outcome or "unknown",
                asks=asks,
                tokens=tokens,
                cost=cost,
                model=model,
                template=template,
                pieces=tuple(_pieces(tx, session, number, begun_at, ended_at, first_post)),
            )
        )
    return found


def told(tx: Tx, turns: Sequence[TracedTurn]) -> None:
    """Note that these were told."""
    tx.executemany(_SQL["told"], [(turn.session, turn.number) for turn in turns])


def _pieces(
    tx: Tx, session: SessionId, number: int, begun_at: float, ended_at: float, first_post: ActivityId | None
) -> list[Piece]:
    pieces = []
    prompted = tx.execute(_SQL["prompted"], (session, begun_at)).fetchone()
    if prompted is not None:
        written = prompted[0] or begun_at
        in_time = begun_at - LONGEST_DELIVERY_S <= written <= begun_at
        pieces.append(Piece(name="webhook", begun_at=written if in_time else begun_at, ended_at=begun_at))
    shown = {first_post: "first", activity_id(session, number): "final"}
    for kind, id_, created_at, done_at, outcome, attempts in tx.execute(
        _SQL["done"], (begun_at, session, begun_at, ended_at, MOST)
    ).fetchall():
        name = shown.get(id_) if kind == "Post" else str(kind)
        if name is not None:
            failed = outcome != "done"
            pieces.append(Piece(name=name, begun_at=created_at, ended_at=done_at, failed=failed, attempts=attempts))
    started: dict[str, float] = {}
    for kind, at, part, tool in tx.execute(_SQL["tools"], (session, begun_at, ended_at, MOST)).fetchall():
        if kind == "ToolStarted":
            started.setdefault(part, at)
        else:
            pieces.append(Piece(name=f"tool {tool or '?'}", begun_at=started.pop(part, at), ended_at=at))
    return pieces
