"""The chain: whatever is changed, removed or moved in it shows, and where."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.ledger import audit
from dragoman.ledger.audit import BEGINNING, Decision, Flaw, Head
from dragoman.ledger.sqlite import SqliteLedger, SqliteTx
from dragoman.ledger.sqlite_file import open_memory
from dragoman.ledger.tx import Tx
from tests.builders import records

COLUMNS = ("at", "source", "organization", "session", "team", "person", "name", "action", "verdict", "previous", "hash")


def a_decision(session: str = "s-1", verdict: str = "allowed") -> Decision:
    return Decision(
        source="linear", organization="o", session=session, team="ENG", person="u", name="Ann", action="start",
        verdict=verdict,
    )  # fmt: skip


@cache
def _empty() -> sqlite3.Connection:
    return open_memory()  # once: to make all tables anew for each example takes most of the time


@contextmanager
def chain(*decisions: Decision) -> Iterator[tuple[SqliteTx, sqlite3.Connection]]:
    """A ledger in memory that holds these, its guards taken away as somebody would who may write the file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _empty().backup(connection)
        for number, decision in enumerate(decisions):
            audit.append(SqliteTx(connection.cursor(), 1_000.5 + number, set()), decision)
        for name in ("audit_is_not_changed", "audit_is_not_removed"):
            connection.execute(f"DROP TRIGGER {name}")
        yield SqliteTx(connection.cursor(), 2_000.0, set()), connection
    finally:
        connection.close()


decisions = st.lists(records(Decision), min_size=1, max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(decisions=decisions)
def test_what_nobody_touched_holds(decisions: list[Decision]) -> None:
    with chain(*decisions) as (tx, _):
        head = audit.head(tx)
        assert head.n == len(decisions)
        assert audit.verify(tx, head) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(decisions=decisions, data=st.data())
def test_a_changed_row_is_found_whatever_was_changed(decisions: list[Decision], data: st.DataObject) -> None:
    with chain(*decisions) as (tx, connection):
        n = data.draw(st.integers(1, len(decisions)))
        column = data.draw(st.sampled_from(COLUMNS))
        (old,) = connection.execute(f"SELECT {column} FROM audit WHERE n = ?", (n,)).fetchone()  # noqa: S608
        new = old + 1 if column == "at" else old + "x"
        connection.execute(f"UPDATE audit SET {column} = ? WHERE n = ?", (new, n))  # noqa: S608
        flaw = audit.verify(tx)
        assert flaw is not None
        assert flaw.n == n


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(decisions=decisions, data=st.data(), closed=st.booleans())
def test_a_removed_row_is_found_also_when_the_gap_is_closed(
    decisions: list[Decision], data: st.DataObject, closed: bool
) -> None:
    with chain(*decisions) as (tx, connection):
        head = audit.head(tx)
        n = data.draw(st.integers(1, len(decisions)))
        connection.execute("DELETE FROM audit WHERE n = ?", (n,))
        if closed:
            connection.execute("UPDATE audit SET n = n - 1 WHERE n > ?", (n,))
        flaw = audit.verify(tx, head)
        assert flaw is not None
        if n == len(decisions):
            assert flaw == Flaw(n=n - 1, what=f"the end was cut off: there are {n - 1} rows, and there were {n}")
            assert audit.verify(tx) is None, "only a head that was kept elsewhere tells"
        elif closed:
            assert flaw.n == n
        else:
            assert flaw == Flaw(n=n + 1, what=f"row {n} is missing")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(decisions=st.lists(records(Decision), min_size=2, max_size=8), data=st.data())
def test_two_rows_that_changed_places_are_found(decisions: list[Decision], data: st.DataObject) -> None:
    with chain(*decisions) as (tx, connection):
        first, second = sorted(data.draw(st.lists(st.integers(1, len(decisions)), min_size=2, max_size=2, unique=True)))
        for old, new in ((first, 0), (second, first), (0, second)):
            connection.execute("UPDATE audit SET n = ? WHERE n = ?", (new, old))
        flaw = audit.verify(tx)
        assert flaw is not None
        after = f"row {second - 1}" if second - 1 != first else f"row {second}"  # where that one stands now
        assert flaw == Flaw(n=first, what=f"row {first} was moved: it was written after {after}")


def test_a_row_whose_hash_was_made_anew_is_found_by_the_next() -> None:
    with chain(a_decision(), a_decision(verdict="user"), a_decision()) as (tx, connection):
        said = (2, 1_001.5, "linear", "o", "s-1", "ENG", "u", "Ann", "start", "allowed")
        (previous,) = connection.execute("SELECT previous FROM audit WHERE n = 2").fetchone()
        forged = audit.hash_of(previous, said)
        connection.execute("UPDATE audit SET verdict = 'allowed', hash = ? WHERE n = 2", (forged,))
        flaw = audit.verify(tx)
        assert flaw is not None
        assert flaw.what.startswith("row 3 does not follow row 2")


def test_a_chain_that_was_made_anew_is_found_against_a_kept_head() -> None:
    with chain(a_decision(), a_decision(verdict="user"), a_decision()) as (tx, _):
        kept = audit.head(tx)
    with chain(a_decision(), a_decision(), a_decision(), a_decision()) as (tx, _):
        assert audit.verify(tx) is None
        flaw = audit.verify(tx, kept)
        assert flaw is not None
        assert flaw.n == 3


def test_the_hash_is_what_the_file_says_it_is() -> None:
    """Anybody can check a row with a few lines of their own."""
    with chain(a_decision()) as (tx, _):
        (row,) = audit.newest(tx)
    text = '["1","1000.500000","linear","o","s-1","ENG","u","Ann","start","allowed"]'
    assert row.hash == hashlib.sha256(f"{BEGINNING}\n{text}".encode()).hexdigest()
    assert row.previous == BEGINNING


def run(tx: Tx, statement: str) -> None:
    tx.execute(statement)


async def test_the_trail_is_only_ever_appended_to(ledger: SqliteLedger) -> None:
    await ledger.turn(audit.append, a_decision())
    for statement in ("UPDATE audit SET verdict = 'user'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever appended to"):
            await ledger.turn(run, statement)
    assert (await ledger.read(audit.head)).n == 1


async def test_a_turn_that_fails_leaves_no_row_and_the_chain_goes_on(ledger: SqliteLedger) -> None:
    def broken(tx: Tx) -> None:
        audit.append(tx, a_decision())
        raise ZeroDivisionError

    await ledger.turn(audit.append, a_decision())
    with pytest.raises(ZeroDivisionError):
        await ledger.turn(broken)
    await ledger.turn(audit.append, a_decision("s-2"))
    assert await ledger.read(audit.verify) is None
    assert [row.session for row in await ledger.read(audit.newest)] == ["s-2", "s-1"]


async def test_refusals_can_be_listed_by_themselves(ledger: SqliteLedger) -> None:
    for verdict in ("allowed", "user", "allowed", "rule"):
        await ledger.turn(audit.append, a_decision(verdict=verdict))
    found = await ledger.read(audit.newest, refused=True)
    assert [row.verdict for row in found] == ["rule", "user"]
    assert await ledger.read(audit.newest, since=found[0].at + 1) == []
    assert await ledger.read(audit.head) == Head(n=4, hash=found[0].hash, at=found[0].at)
