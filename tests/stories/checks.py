"""What must be true of every story when it is over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from dragoman.core.session import Session, live_turn
from dragoman.ids import activity_id
from dragoman.ledger import read
from dragoman.ledger.tx import Tx
from dragoman.sim.records import Activity

TOLD_MOST = 50  # thoughts of our own in one turn of a story


def wrong_with(session: Session, rows: Sequence[Activity]) -> list[str]:
    """What is wrong with what people saw of a session.

    rows  all activities of the agent, those that have vanished included
    """
    ended = session.turns - (live_turn(session) is not None)
    rows = [row for row in rows if not is_refusal(session, row)]
    # An elicitation ends a turn when it offers the way on after an answer or a plan; others are asks.
    expected = {activity_id(session.id, number) for number in range(1, session.turns + 1)}
    finals = [row.id for row in rows if row.kind in ("response", "error") or row.id in expected]
    problems = []
    if finals != [activity_id(session.id, number) for number in range(1, ended + 1)]:
        problems.append(f"{session.id}: {len(finals)} finals for {ended} turns that ended")
    turn, begun = 1, True
    for row in rows:
        if row.id == activity_id(session.id, turn):
            turn, begun = turn + 1, False
        elif row.id == activity_id(session.id, turn, "begin"):
            begun = True
        elif not begun:
            problems.append(f"{session.id}: after a final came {row.kind} “{said(row)[:80]}”")
    return problems + [f"{session.id}: a blank {row.kind}" for row in rows if not said(row).strip()]


def is_refusal(session: Session, row: Activity) -> bool:
    """Whether it answers somebody who might not do something, while the turn of somebody else went on."""
    stages = (f"refused:told:{number}" for number in range(1, TOLD_MOST))
    known = {activity_id(session.id, turn, stage) for stage in stages for turn in range(1, session.turns + 1)}
    return row.kind == "response" and row.id in known


def said(row: Activity) -> str:
    """An activity as one text."""
    if row.kind != "action":
        return row.body
    result = row.content.get("result")
    return f"{row.content['action']} {row.content['parameter']}" + (f" → {result}" if result is not None else "")


def all_sessions(tx: Tx) -> list[Session]:
    """Every session in the ledger."""
    known = [read.details(tx, one.id) for one in read.sessions(tx, limit=1_000)]
    return [one.session for one in known if one is not None]


def unfinished(tx: Tx) -> list[str]:
    """What waits to be done, timers and housekeeping aside; and sessions with a turn under way."""
    waiting = [f"{one.heads} {one.pool}" for one in read.backlog(tx) if one.pool not in ("timers", "system")]
    looks = tx.execute("SELECT kind FROM effects WHERE kind LIKE 'look:%' AND done_at IS NULL").fetchall()
    waiting += [f"a look at a pull request: {kind}" for (kind,) in looks]
    return waiting + [str(one.id) for one in all_sessions(tx) if live_turn(one) is not None]


def files_with(folder: Path, secret: str) -> list[Path]:
    """Plain files in a folder and below that hold a text; one that is taken away meanwhile holds nothing."""
    found = []
    for file in files_below(folder):
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and not file.is_symlink() and secret.encode() in file.read_bytes():
                found.append(file)
    return found


def files_below(folder: Path) -> list[Path]:
    """Everything but folders in a folder and below; `rglob` minds when a folder is taken away meanwhile."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]
