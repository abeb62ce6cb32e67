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
        ("read", "session"),
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
            )
        ),
    ],
)
def test_what_runs_often_scans_no_table(connection: sqlite3.Connection, file: str, name: str) -> None:
    found = plan(connection, queries.load(file)[name])
    assert "SCAN" not in found.replace("SCAN CONSTANT ROW", "")


@pytest.mark.parametrize("name", ["claim_left", "claim_starts", "first_in_queue", "untold", "ahead"])
def test_the_queue_is_read_in_its_order(connection: sqlite3.Connection, name: str) -> None:
    found = plan(connection, queries.load("queue")[name])
    assert "starts_" in found
    assert "TEMP B-TREE" not in found
