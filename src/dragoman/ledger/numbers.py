"""What is counted and measured, for scrapes and for people. All of it is for `ledger.read`.

Counts are those of the ledger: right after a crash, the same for every process, and cheap, since changes keep sums.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Literal, get_args

from dragoman.ids import SessionId
from dragoman.ledger import hosts, queries
from dragoman.ledger.turn_rows import TurnOutcome
from dragoman.ledger.tx import Tx
from dragoman.record import Record

Grouping = Literal["team", "repository", "template", "user", "model", "day"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

_SQL = queries.load("numbers")
_SPAN = re.compile(r"(\d{1,6})(min|h|d|w)")
_UNITS_S = {"min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_STATUSES = queries.load("read")["statuses"]


class Counts(Record):
    """The ledger in numbers.

    sessions        by status
    turns           that ended, by outcome
    activities      that ended, by (type, outcome): done, dropped or parked
    deliveries      by verdict
    decisions       whether people might do something, by (action, verdict)
    asks            permissions and questions that the agent ever raised
    tokens, cost    of all turns that ended; cost in US dollars
    open_asks       permissions and questions that the agent waits on
    starts_waiting  runs that wait to be started
    ages_s          for each pool, for how long its oldest unfinished effect could have been done
    silent_s        for each host with its OpenCode server, how long ago it was last heard of
    """

    sessions: Mapping[str, int]
    turns: Mapping[str, int]
    activities: Mapping[tuple[str, str], int]
    deliveries: Mapping[str, int]
    decisions: Mapping[tuple[str, str], int]
    asks: int
    tokens: int
    cost: float
    open_asks: int
    starts_waiting: int
    ages_s: Mapping[str, float]
    silent_s: Mapping[str, float]


class TurnLine(Record):
    """How one turn went; see 0002_numbers.sql. The last five are what it can be grouped by."""

    session: SessionId
    begun_at: float
    first_shown_at: float | None
    ended_at: float | None
    outcome: TurnOutcome | None
    asks: int
    tokens: int
    cost: float
    pull_request: str | None
    team: str | None
    repository: str | None
    user: str | None
    model: str | None
    template: str | None


class Figures(Record, omit_defaults=False):
    """A group of turns. Times in seconds, None where none was seen; turns that were refused have no time.

    group          its name, "-" where the turns have none
    sessions       that had a turn in it
    first_p50_s    from the prompt until Linear had the first activity; the median, then the 95th percentile
    turn_p50_s     from the prompt until the turn was decided to be over; the same two
    unknown        ended before how they ended was noted
    cost           in US dollars, as OpenCode computed it
    pull_requests  that were opened in these turns
    """

    group: str
    sessions: int
    turns: int
    answered: int
    failed: int
    stopped: int
    refused: int
    unknown: int
    under_way: int
    first_p50_s: float | None
    first_p95_s: float | None
    turn_p50_s: float | None
    turn_p95_s: float | None
    asks: int
    tokens: int
    cost: float
    pull_requests: int


class Report(Record, omit_defaults=False):
    """What people get to see. `since` is seconds since the epoch; `groups` are there when `by` is."""

    since: float
    by: Grouping | None
    groups: list[Figures]
    total: Figures


def counts(tx: Tx) -> Counts:
    """The ledger as it stands, in numbers."""
    sums: dict[str, dict[str, float]] = {}
    for name, label, amount in tx.execute(_SQL["tallies"]).fetchall():
        sums.setdefault(name, {})[label] = amount
    return Counts(
        sessions=dict(tx.execute(_STATUSES).fetchall()),
        turns=_whole(sums.get("turns", {})),
        activities={_two(label): number for label, number in _whole(sums.get("activities", {})).items()},
        deliveries=_whole(sums.get("deliveries", {})),
        decisions={_two(label): number for label, number in _whole(sums.get("decisions", {})).items()},
        asks=int(sums.get("asks", {}).get("", 0)),
        tokens=int(sums.get("tokens", {}).get("", 0)),
        cost=sums.get("cost", {}).get("", 0.0),
        open_asks=int(tx.execute(_SQL["open_asks"]).fetchone()[0]),
        starts_waiting=int(tx.execute(_SQL["starts_waiting"]).fetchone()[0]),
        ages_s={pool: max(0.0, tx.now - since) for pool, since in tx.execute(_SQL["ages"]).fetchall()},
        silent_s={str(host.id): host.silent_s for host in hosts.hosts(tx)},
    )


def turns_since(tx: Tx, since: float) -> list[TurnLine]:
    """The turns that began since a moment, in no order."""
    names = TurnLine.__struct_fields__
    return [
        TurnLine(**dict(zip(names, row, strict=True))) for row in tx.execute(_SQL["turns_since"], (since,)).fetchall()
    ]


def live_turns(tx: Tx) -> dict[SessionId, int]:
    """The number of the turn that is under way, of each session that has one."""
    return {SessionId(id_): int(number) for id_, number in tx.execute(_SQL["live_turns"]).fetchall()}


def grouped(turns: Sequence[TurnLine], by: Grouping) -> list[Figures]:
    """Figures group by group: days in their order, everything else with the busiest first."""
    groups: dict[str, list[TurnLine]] = {}
    for turn in turns:
        groups.setdefault(_GROUP_OF[by](turn) or "-", []).append(turn)
    found = [together(name, groups[name]) for name in sorted(groups)]
    return found if by == "day" else sorted(found, key=lambda one: -one.turns)


def together(name: str, turns: Sequence[TurnLine]) -> Figures:
    """Figures of all these turns."""
    ran = [turn for turn in turns if turn.outcome != "refused"]
    first = sorted(turn.first_shown_at - turn.begun_at for turn in ran if turn.first_shown_at is not None)
    whole = sorted(turn.ended_at - turn.begun_at for turn in ran if turn.ended_at is not None)
    ended = {outcome: sum(turn.outcome == outcome for turn in turns) for outcome in get_args(TurnOutcome)}
    return Figures(
        group=name,
        sessions=len({turn.session for turn in turns}),
        turns=len(turns),
        **ended,
        under_way=sum(turn.ended_at is None for turn in turns),
        first_p50_s=percentile(first, 0.5),
        first_p95_s=percentile(first, 0.95),
        turn_p50_s=percentile(whole, 0.5),
        turn_p95_s=percentile(whole, 0.95),
        asks=sum(turn.asks for turn in turns),
        tokens=sum(turn.tokens for turn in turns),
        cost=sum(turn.cost for turn in turns),
        pull_requests=len({turn.pull_request for turn in turns if turn.pull_request is not None}),
    )


def span_s(text: str) -> float:
    """Seconds of a span such as "7d", "12h" or "30min". Raises ValueError with a word for people."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text[:20]!r} is no span of time: write 7d, 12h or 30min")
    return int(found[1]) * _UNITS_S[found[2]]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the sorted values do not exceed; None when there are no values."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def report(tx: Tx, span: float, by: Grouping | None) -> Report:
    """Figures of the turns that began in the last `span` seconds."""
    turns = turns_since(tx, tx.now - span)
    return Report(since=tx.now - span, by=by, groups=grouped(turns, by) if by else [], total=together("all", turns))


def _day(turn: TurnLine) -> str:
    return datetime.fromtimestamp(turn.begun_at, UTC).date().isoformat()


_GROUP_OF: Mapping[Grouping, Callable[[TurnLine], str | None]] = {
    "team": lambda turn: turn.team,
    "repository": lambda turn: turn.repository,
    "template": lambda turn: turn.template,
    "user": lambda turn: turn.user,
    "model": lambda turn: turn.model,
    "day": _day,
}


def _whole(sums: Mapping[str, float]) -> dict[str, int]:
    return {label: int(amount) for label, amount in sums.items()}


def _two(label: str) -> tuple[str, str]:
    kind, _, outcome = label.partition(" ")
    return kind, outcome
