"""Opening the file: where it is, who may read it, how it is kept safe."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import ConfigurationError, Refusal
from dragoman.ledger.migrations import migrate

BUSY_TIMEOUT_S = 5.0  # how long a statement waits for another process
OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING


def path_of(url: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for `memory://`.

    Raises  ConfigurationError for anything else
    """
    if url == "memory://":
        return None
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise ConfigurationError(
            [
                f"{url.partition(':')[0]}: is not a ledger that can be used: sqlite:///file (relative), sqlite:////path/file or memory://"
            ]
        )
    return Path(path)


def open_file(path: Path) -> sqlite3.Connection:
    """Open the ledger for writing, make it if it is not there, and bring its schema up to date.

    Raises  Refusal when the file cannot be used, with the reason
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Refusal(f"Python's SQLite is {sqlite3.sqlite_version}; the ledger needs 3.35 or newer.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives -wal and -shm the mode of the file itself, so it is made before SQLite sees it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        connection = connect(path)
    except (OSError, sqlite3.Error) as error:
        raise Refusal(f"The ledger {path} cannot be opened: {error}") from error
    return _migrated(connection, str(path))


def open_memory() -> sqlite3.Connection:
    """A ledger that is gone when the process ends."""
    return _migrated(_connect(":memory:"), "in memory")


def connect(path: Path) -> sqlite3.Connection:
    """One more writing connection to a ledger that is there.

    Raises  sqlite3.Error, Refusal
    """
    with _kept_if_usable(_connect(str(path))) as connection:
        _set_up(connection, path)
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    # NORMAL would lose acknowledged turns with the power; WAL needs shared memory, which network disks do not give.
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Refusal(f"The ledger {path} must be on a local disk: SQLite cannot keep a write-ahead log there.")
    connection.execute("PRAGMA synchronous = FULL")
    # The undo copies of savepoints go to a temporary file otherwise: three quarters of all writes (measured).
    connection.execute("PRAGMA temp_store = MEMORY")
    # What is deleted is overwritten with zeros; many builds of SQLite do so anyway, and it costs nothing measurable.
    connection.execute("PRAGMA secure_delete = ON")
    # Turns touch pages all over the indexes: a longer log and a cache that holds them save writing each page often.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -16000")


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that reads while another one writes."""
    with _kept_if_usable(_connect(str(path))) as connection:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(where: str) -> sqlite3.Connection:
    # A connection belongs to one thread at a time, but not always to the thread that opened it.
    return sqlite3.connect(
        where, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )


@contextmanager
def _kept_if_usable(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _migrated(connection: sqlite3.Connection, name: str) -> sqlite3.Connection:
    with _kept_if_usable(connection):
        try:
            migrate(connection)
        except sqlite3.Error as error:
            raise Refusal(f"The ledger {name} cannot be brought up to date: {error}") from error
    return connection
