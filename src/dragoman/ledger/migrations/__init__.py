"""Numbered changes of the schema, `0001_what.sql` and on. They are applied at the start, all or none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from dragoman.errors import Refusal

_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"
_APPLIED = "SELECT coalesce(max(version), 0) FROM schema_version"
_APPLY = "INSERT INTO schema_version (version, name, applied_at) VALUES (?, ?, datetime('now'))"


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the schema to the newest version and return that.

    connection  in autocommit mode; other processes wait until the schema is complete
    Raises      Refusal when the schema is newer than this program; sqlite3.Error
    """
    known = dict(_migrations())
    newest = max(number for number, _ in known)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSIONS)
        applied = int(connection.execute(_APPLIED).fetchone()[0])
        if applied > newest:
            raise Refusal(
                f"The ledger was written by a newer version of Dragoman (schema {applied}, this one knows {newest}). "
                "Install that version again, or start with another ledger."
            )
        for (number, name), text in sorted(known.items()):
            if number > applied:
                for statement in _statements(text):
                    connection.execute(statement)
                connection.execute(_APPLY, (number, name))
    except BaseException:
        if connection.in_transaction:  # a full disk makes SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return newest


def _migrations() -> Iterator[tuple[tuple[int, str], str]]:
    for file in files(__name__).iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            yield (int(number), name), file.read_text("utf-8")


def _statements(text: str) -> Iterator[str]:
    # One by one: `executescript` would commit first, and a migration has to be all or nothing.
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
