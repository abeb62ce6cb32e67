"""Looking into the ledger from the command line, beside a service that may be running. Nothing is ever written."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from dragoman import config, logs
from dragoman.config import LedgerPlace
from dragoman.errors import ConfigurationError, LedgerError
from dragoman.ledger.sqlite import SqliteTx
from dragoman.ledger.sqlite_file import connect_for_reading, path_of
from dragoman.ledger.tx import Tx

EX_CONFIG = 78  # sysexits.h

T = TypeVar("T")


def look(function: Callable[[Tx], T]) -> T:
    """Run a function of `ledger.read` on what is committed; the process ends with a clear word when that cannot be."""
    _, path = find()
    return _look(path, function)


def look_if_there(ledger_url: str, function: Callable[[Tx], T]) -> T | None:
    """The same; None when there is no ledger that can be looked into from here."""
    path = path_of(ledger_url)
    return _look(path, function) if path is not None and path.is_file() else None


def _look(path: Path, function: Callable[[Tx], T]) -> T:
    try:
        connection = connect_for_reading(path)
        try:
            connection.execute("BEGIN")
            return function(SqliteTx(connection.cursor(), time.time(), set()))
        finally:
            connection.close()
    except (sqlite3.Error, LedgerError) as error:
        fail(f"The ledger {path} cannot be read: {error}")


def find() -> tuple[LedgerPlace, Path]:
    """Where the ledger is, and its file; the process ends with a clear word when there is none."""
    try:
        place = config.load_ledger_place()
    except ConfigurationError as error:
        fail("\n".join(error.problems), code=EX_CONFIG)
    logs.keep_secret(place.secrets)
    path = path_of(place.url)
    if path is None:
        fail("The ledger is kept in memory (memory://): only the process that holds it can look into it.")
    if not path.is_file():
        fail(
            f"There is no ledger at {path}. Set DRAGOMAN_DATA_DIR, LEDGER_URL or SESSION_STORAGE_URL as the service has it."
        )
    return place, path


def fail(words: str, *, code: int = 1) -> NoReturn:
    """End the process with a word on standard error."""
    click.echo(logs.masked(words), err=True)
    sys.exit(code)
