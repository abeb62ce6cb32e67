"""What the SQL promises beyond its results: it fits the schema, and what runs often touches only what it needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

import pytest

from dragoman.ledger import queries
from dragoman.ledger.sqlite_file import open_memory

FILES = sorted(file.name.removesuffix(".sql") for file in files(queries).iterdir() if file.name.endswith(".sql"))
ALL = [(file, name) for file in FILES for name in queries.load(file)]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = open_memory()
    yield opened
    opened.close()


def plan(connection: sqlite3.Connection, sql: str) -> str:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?")).fetchall()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("file,name", ALL)
def test_every_statement_fits_the_schema(connection: sqlite3.Connection, file: str, name: str) -> None:
    plan(connection, queries.load(file)[name])


@pytest.mark.parametrize("file,name", ALL)
def test_every_statement_is_described(file: str, name: str) -> None:
    text = files(queries).joinpath(f"{file}.sql").read_text()
    assert text.count(f"-- name: {name}\n-- ") == 1


@pytest.mark.parametrize("name", ["claim", "next_due", "job_waits"])
def test_a_claim_looks_at_nothing_but_heads_of_its_pool(connection: sqlite3.Connection, name: str) -> None:
    found = plan(connection, queries.load("effects")[name])
    assert "effects_ready (pool=? AND host=?" in found
    assert "SCAN" not in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize("name", ["insert", "advance", "drop_fleeting"])
def test_a_lane_is_found_by_its_index(connection: sqlite3.Connection, name: str) -> None:
    found = plan(connection, queries.load("effects")[name])
    assert "effects_of_lane (session=? AND lane=?" in found
    assert "SCAN" not in found.replace("SCAN CONSTANT ROW", "")


@pytest.mark.parametrize(
    "file,name",
    [
        *(("turns", name) for name in queries.load("turns")),
        ("forgetting", "turns_before"),
        *(("traces", name) for name in queries.load("traces")),
        *(("effects", name) for name in ("end", "retry", "renew")),
        *(("queue", name) for name in queries.load("queue")),
        *(("cleanup", name) for name in ("forget_seen", "forget_effects")),
        *(("read", name) for name in ("session", "journal_after")),
        *(
            ("find", name)
            for name in (
                "open_runs",
                "working_runs",
                "effects_of",
                "sessions_of_issue",
                "concerned_by_issue",
                "around_live",
                "count_sessions",
                "idle",
                "clearing",
            )
        ),
    ],
)
def test_what_runs_often_scans_no_table(connection: sqlite3.Connection, file: str, name: str) -> None:
    found = plan(connection, queries.load(file)[name])
    assert "SCAN" not in found.replace("SCAN CONSTANT ROW", "")


@pytest.mark.parametrize("name", ["starting", "watched", "watching_any", "live_sessions_of"])
def test_few_sessions_are_found_without_a_look_at_all(connection: sqlite3.Connection, name: str) -> None:
    found = plan(connection, queries.load("find")[name])
    assert "USING INDEX sessions_live" in found or "USING INDEX sessions_by_pull_request" in found


@pytest.mark.parametrize("name", ["forget_deliveries", "forget_messages", "forget_journal"])
def test_when_nothing_is_old_no_more_than_a_batch_is_looked_at(connection: sqlite3.Connection, name: str) -> None:
    looked_at = 0

    def look(at: float) -> bool:
        nonlocal looked_at
        looked_at += 1
        return False

    table = name.removeprefix("forget_")
    columns = [
        row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[3] and row[1] not in ("n", "at")
    ]
    filled = f"INSERT INTO {table} (at, {', '.join(columns)}) VALUES (1, {', '.join('0' for _ in columns)})"  # noqa: S608
    connection.executemany(filled, [()] * 50)
    connection.create_function("old", 1, look)
    sql = queries.load("cleanup")[name].replace("at < ?", "old(at)")
    connection.execute(sql, (5,))
    assert looked_at == 5


def test_what_a_session_waits_for_is_found_among_its_lanes_and_the_heads(connection: sqlite3.Connection) -> None:
    found = plan(connection, queries.load("read")["waiting_effects"])
    assert "effects_of_lane (session=?" in found
    assert {line for line in found.splitlines() if "SCAN" in line} == {"SCAN effects USING INDEX effects_ready"}


@pytest.mark.parametrize("name", ["claim_left", "claim_starts", "first_in_queue", "untold", "ahead"])
def test_the_queue_is_read_in_its_order(connection: sqlite3.Connection, name: str) -> None:
    found = plan(connection, queries.load("queue")[name])
    assert "starts_" in found
    assert "TEMP B-TREE" not in found
