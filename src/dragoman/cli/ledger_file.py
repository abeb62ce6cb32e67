"""The ledger from the command line, beside a service that may be running: looking into it, and queueing a wish."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from dragoman import config, logs
from dragoman.config import LedgerPlace
from dragoman.errors import ConfigurationError, LedgerError, Refusal
from dragoman.ledger.sqlite import SqliteTx
from dragoman.ledger.sqlite_file import connect, connect_for_reading, path_of
from dragoman.ledger.tx import Tx
from dragoman.opencode.adopt import read_state

EX_CONFIG = 78  # sysexits.h

T = TypeVar("T")


def look(function: Callable[[Tx], T]) -> T:
    """Run a function of `ledger.read` on what is committed; the process ends with a clear word when that cannot be."""
    return _run(find()[1], function, connect_for_reading, "BEGIN", "read")


def look_if_there(ledger_url: str, function: Callable[[Tx], T]) -> T | None:
    """The same; None when there is no ledger that can be looked into from here."""
    path = path_of(ledger_url)
    return _run(path, function, connect_for_reading, "BEGIN", "read") if path is not None and path.is_file() else None


def change(function: Callable[[Tx], T]) -> T:
    """Run a function in a transaction that writes; a service that runs sees what it left. Ends the process as `look`."""
    known, path = find()
    if not known.managed:
        fail("ENABLE_SESSION_MANAGEMENT is false: nothing is changed from the command line.")
    return _run(path, function, connect, "BEGIN IMMEDIATE", "changed")


def _run(
    path: Path,
    function: Callable[[Tx], T],
    connect_: Callable[[Path], sqlite3.Connection],
    begin: str,
    what: str,
) -> T:
    try:
        connection = connect_(path)
        try:
            connection.execute(begin)
            found = function(SqliteTx(connection.cursor(), time.time(), set()))
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (sqlite3.Error, LedgerError, Refusal) as error:
        fail(f"The ledger {path} cannot be {what}: {error}")
    return found


def find() -> tuple[LedgerPlace, Path]:
    """Where the ledger is, and its file; the process ends with a clear word when there is none."""
    try:
        place = config.load_ledger_place()
    except ConfigurationError as error:
        fail("\n".join(error.problems), code=EX_CONFIG)
    logs.keep_secret((*place.secrets, *_made_here(place.folder)))
    path = path_of(place.url)
    if path is None:
        fail("The ledger is kept in memory (memory://): only the process that holds it can look into it.")
    if not path.is_file():
        fail(
            f"There is no ledger at {path}. Set DRAGOMAN_DATA_DIR, LEDGER_URL or SESSION_STORAGE_URL as the service has it."
        )
    return place, path


def _made_here(folder: Path) -> list[str]:
    """The passwords that the service made itself. An agent can read OpenCode's, so it may stand in what it said."""
    server = read_state(folder / "opencode" / "server.json")
    found = [server.password] if server is not None else []
    with contextlib.suppress(OSError):
        found.append((folder / "operator.key").read_text(encoding="utf-8").strip())
    return found


def fail_settings(error: ConfigurationError) -> NoReturn:
    """End the process: what the ledger alone tells is not enough, and the service's settings are not to be had here."""
    fail("This needs the service's settings: run it in its folder and environment.\n" + str(error), code=EX_CONFIG)


def fail(words: str, *, code: int = 1) -> NoReturn:
    """End the process with a word on standard error."""
    click.echo(logs.masked(words), err=True)
    sys.exit(code)
