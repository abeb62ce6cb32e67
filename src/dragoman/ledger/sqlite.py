"""SqliteLedger: one file, one connection that writes, one thread that owns it.

Turns that wait are run in one commit: a commit costs an fsync, whatever is in it. One that fails takes nobody with it:
the group is rolled back and run again, then with a savepoint for each turn. Not so the first time, since a savepoint
makes SQLite keep a copy of every page that the turn touches, a quarter of the whole cost (measured).
Several writing connections would be slower and would reorder what waits for the lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from dragoman.errors import LedgerError, Refusal
from dragoman.ledger.pools import Pool
from dragoman.ledger.session_cache import CACHE_SIZE, SessionCache
from dragoman.ledger.sqlite_file import BUSY_TIMEOUT_S, connect, connect_for_reading, open_file, open_memory, path_of
from dragoman.ledger.tx import Tx, Value

GROUP = 256  # turns in one commit
WIPE_WAIT_MS = 250  # for readers to let go of an older view
WAITING_LIMIT = 10_000  # turns that may wait; beyond that the disk is too slow for what comes in

# 3.40 has no unixepoch('subsec'). 2440587.5 is 1970-01-01 as a Julian day.
_NOW = "SELECT (julianday('now') - 2440587.5) * 86400.0"

P = ParamSpec("P")
T = TypeVar("T")

# Primary result codes that speak of the disk or of another process, not of our SQL: sqlite.org/rescode.html
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY} | {
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_LASTING = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# After these the connection itself is in doubt. One that was opened while the file could not be written stays read-only.
_BROKEN = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_REOPEN = _BROKEN | {0}  # a closed connection has no code at all


class SqliteTx:
    """A Tx over a cursor of sqlite3."""

    __slots__ = ("_cursor", "_woken", "cache", "now")

    def __init__(self, cursor: sqlite3.Cursor, now: float, woken: set[Pool], cache: SessionCache | None = None) -> None:
        self.cache = cache if cache is not None else SessionCache(0)
        self._cursor = cursor
        self._woken = woken
        self.now = now

    def execute(self, sql: str, parameters: Sequence[Value] = (), /) -> sqlite3.Cursor:
        return self._cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Value]], /) -> sqlite3.Cursor:
        return self._cursor.executemany(sql, parameters)

    def wake(self, pool: Pool) -> None:
        self._woken.add(pool)


class _Waiting:
    """A turn that waits for its commit."""

    __slots__ = ("between", "error", "future", "result", "run", "woken")

    def __init__(self, run: Callable[[Tx], Any], future: asyncio.Future[Any], between: bool = False) -> None:
        self.run = run
        self.future = future
        self.between = between  # it is no turn: it runs after the commit, in no transaction
        self.result: Any = None
        self.error: Exception | None = None
        self.woken: set[Pool] = set()


class _Reader:
    """A connection of its own, used by one thread: it sees what is committed and waits for nobody."""

    def __init__(self, path: Path, now: Callable[[sqlite3.Cursor], float], cache: SessionCache) -> None:
        self._cache = cache
        self._connection = connect_for_reading(path)
        self._thread = ThreadPoolExecutor(1, "ledger-reader")
        self._now = now

    def submit(self, run: Callable[[Tx], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._look, run)

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _look(self, run: Callable[[Tx], T]) -> T:
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN")
            try:
                return run(SqliteTx(cursor, self._now(cursor), set(), self._cache))
            finally:
                cursor.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _translated(error) from error


class SqliteLedger:
    """The ledger of one machine. Open it with `await SqliteLedger.open(url)`; close it with `await ledger.close()`.

    Belongs to the event loop that opened it. Other processes may use the same file.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, clock: Callable[[], float] | None, cache_size: int
    ) -> None:
        self._cache = SessionCache(cache_size)
        self._connection = connection
        self._path = path
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._wakers: list[Callable[[frozenset[Pool]], None]] = []
        self._closed = False
        # In memory there is only the one connection, and reads take their turn.
        self._reader = _Reader(path, self._now, self._cache) if path else None
        self._writer = Thread(target=self._write, name="ledger-writer", daemon=True)
        self._writer.start()

    @classmethod
    async def open(
        cls, url: str, *, clock: Callable[[], float] | None = None, cache_size: int = CACHE_SIZE
    ) -> SqliteLedger:
        """Open or make the ledger and bring its schema up to date.

        url         sqlite:///relative, sqlite:////absolute or memory://
        clock       for tests; None = the database's own clock, which alone decides
        cache_size  sessions that are kept decoded; 0 = none
        Raises      ConfigurationError for another url, Refusal when the file cannot be used
        """
        path = path_of(url)
        connection = await asyncio.to_thread(open_file, path) if path else open_memory()
        return cls(connection, path, clock, cache_size)

    async def turn(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, *args)` in a transaction; returns once it is on disk.

        It may be run a second time when the first was undone: it changes the ledger and nothing else.
        An exception of the function undoes what it did and comes back as it is; nobody else's turn suffers.
        When the caller is cancelled before its turn came, the turn is not run; later it may be committed all the same.
        Raises  LedgerError when it could not be committed: then nothing of it has happened
        """
        return await self._enqueue(lambda tx: function(tx, *args, **kwargs))

    async def read(self, function: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(tx, *args)` on one unchanging view of what is committed, never waiting behind writers.

        Raises  LedgerError when the file cannot be read, or when the function writes
        """
        if self._reader is None:
            return await self.turn(function, *args, **kwargs)
        if self._closed:
            raise _closed()
        return await self._reader.submit(lambda tx: function(tx, *args, **kwargs))

    async def wipe(self) -> bool:
        """See that nothing which was deleted can be read from the disk any more: what is deleted is overwritten, but
        older pages stay in the write-ahead log until that is emptied.

        Returns  False when somebody is reading an older view at this moment; then try again
        """
        return self._path is None or await self._enqueue(_empty_log, between=True)

    def on_commit(self, waker: Callable[[frozenset[Pool]], None]) -> None:
        """Call `waker` in the event loop after each commit that changed what the workers of some pools wait for."""
        self._wakers.append(waker)

    async def close(self) -> None:
        """Commit what waits, then let go of the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
        self._connection.close()

    def _enqueue(self, run: Callable[[Tx], T], *, between: bool = False) -> asyncio.Future[T]:
        if self._closed:
            raise _closed()
        if self._queue.qsize() >= WAITING_LIMIT:
            raise LedgerError("too many turns wait for the disk")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Waiting(run, future, between))
        return future

    # ── in the writing thread ────────────────────────────────────────────
    def _write(self) -> None:
        open_ = True
        while open_:
            group, open_ = self._next_group()
            try:
                self._commit(group)
            except sqlite3.Error as error:
                self._fail(group, error)
                self._recover(error)
            try:
                self._loop.call_soon_threadsafe(self._settle, group)
            except RuntimeError:
                return  # the loop is closed: nobody is left who could be told

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        group: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            if not waiting.future.cancelled():
                group.append(waiting)
            if len(group) == GROUP:
                return group, True
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        self._commit_turns([waiting for waiting in group if not waiting.between])
        for waiting in group:
            if waiting.between:
                try:
                    cursor = self._connection.cursor()
                    waiting.result = waiting.run(SqliteTx(cursor, self._now(cursor), waiting.woken))
                except Exception as error:  # noqa: BLE001  a border: the turns of this group are on disk, come what may
                    waiting.error = _translated(error)
                    if isinstance(error, sqlite3.Error):
                        self._recover(error)

    def _commit_turns(self, group: list[_Waiting]) -> None:
        if not group:
            return
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        if not self._run_together(cursor, group):
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            cursor.execute("BEGIN IMMEDIATE")
            self._run_apart(cursor, group)
        cursor.execute("COMMIT")

    def _run_together(self, cursor: sqlite3.Cursor, group: list[_Waiting]) -> bool:
        now = self._now(cursor)
        for waiting in group:
            tx = SqliteTx(cursor, now, waiting.woken, self._cache)
            try:
                waiting.result = waiting.run(tx)
            except Exception:  # noqa: BLE001  whatever it was: the second run tells it to whom it belongs
                return False
        return True

    def _run_apart(self, cursor: sqlite3.Cursor, group: list[_Waiting]) -> None:
        now = self._now(cursor)
        for waiting in group:
            cursor.execute("SAVEPOINT turn")
            try:
                waiting.result = waiting.run(SqliteTx(cursor, now, waiting.woken, self._cache))
            except Exception as error:  # a border: whatever a turn does wrong is its caller's to hear
                if not self._connection.in_transaction:
                    # SQLite gave up the whole transaction, and the turns before this one with it.
                    raise sqlite3.OperationalError(str(error)) from error
                if isinstance(error, sqlite3.Error) and _code(error) in _BROKEN:
                    raise  # not this turn's fault: a new connection is needed
                cursor.execute("ROLLBACK TO turn")
                waiting.error = _translated(error)
            cursor.execute("RELEASE turn")

    def _fail(self, group: list[_Waiting], error: sqlite3.Error) -> None:
        for waiting in group:
            if waiting.error is None:
                held = "; another process holds it: try again" if _code(error) == sqlite3.SQLITE_BUSY else ""
                waiting.error = LedgerError(f"the ledger could not commit: {error}{held}")
                waiting.error.__cause__ = error

    def _recover(self, error: sqlite3.Error) -> None:
        """Be ready for the next group. Where that fails, the next group fails and tries again."""
        with suppress(sqlite3.Error, Refusal):
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                reopen = _code(error) in _REOPEN
            except sqlite3.Error:
                reopen = True
            if reopen and self._path is not None:
                self._connection.close()
                self._connection = connect(self._path)

    def _now(self, cursor: sqlite3.Cursor) -> float:
        return self._clock() if self._clock else float(cursor.execute(_NOW).fetchone()[0])

    # ── in the event loop ────────────────────────────────────────────────
    def _settle(self, group: list[_Waiting]) -> None:
        woken: set[Pool] = set()
        for waiting in group:
            if waiting.error is None:
                woken |= waiting.woken
            if waiting.future.done():
                continue  # the caller was cancelled
            if waiting.error is not None:
                waiting.future.set_exception(waiting.error)
            else:
                waiting.future.set_result(waiting.result)
        if woken:
            for waker in self._wakers:
                waker(frozenset(woken))


def _empty_log(tx: Tx) -> bool:
    tx.execute(f"PRAGMA busy_timeout = {WIPE_WAIT_MS}")  # turns wait meanwhile
    try:
        return int(tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]) == 0
    finally:
        tx.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")


def _closed() -> LedgerError:
    return LedgerError("the ledger is closed", retryable=False)


def _translated(error: Exception) -> Exception:
    """What the caller hears: trouble with the disk is a LedgerError, a bug of ours stays what it is."""
    code = _code(error)
    if code in _PASSING | _LASTING:
        translated = LedgerError(f"the ledger could not do it: {error}", retryable=code in _PASSING)
        translated.__cause__ = error
        return translated
    return error


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
