"""The TOML file: repositories, rules of a session's life, what the managed OpenCode gets. Unknown keys are errors."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dragoman.config.sources import Sources
from dragoman.core.limits import Rules
from dragoman.errors import ConfigurationError
from dragoman.record import Record
from dragoman.repositories.configured import Repository, choose_default, problems_of

DEFAULT_FILE = "dragoman.toml"
_REPOSITORY_EXAMPLE = '[[repositories]] name = "acme/shop" url = "https://github.com/acme/shop.git" default = true'
_PARTS = ("repositories", "session", "opencode")

_LEAST = {"resumes": 0, "retention_days": 0}  # everything else has to be greater than 0

T = TypeVar("T", bound=Record)


class Table(Record):
    """What the file says.

    pass_env  names of variables of our environment that the managed server gets (a provider's key)
    """

    repositories: tuple[Repository, ...] = ()
    rules: Rules = Rules()
    pass_env: tuple[str, ...] = ()


def place(sources: Sources, folder: Path) -> Path:
    """Where the file is, or would be."""
    named = sources.raw("DRAGOMAN_CONFIG")
    return folder / (Path(named).expanduser() if named else DEFAULT_FILE)


def read(sources: Sources, folder: Path) -> Table:
    """Read the file that DRAGOMAN_CONFIG names, else `dragoman.toml` in `folder`; what is wrong goes to `sources`."""
    path = place(sources, folder)
    if not path.is_file():
        if sources.raw("DRAGOMAN_CONFIG"):
            sources.problem("DRAGOMAN_CONFIG", f"names {path}, which is no file. Example: /etc/dragoman.toml")
        else:
            sources.note(
                f"No repository is configured. Add to {path}, or to the file that DRAGOMAN_CONFIG names: {_REPOSITORY_EXAMPLE}"
            )
        return Table()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        sources.note(f"{path}: cannot be read as TOML: {error}")
        return Table()
    return _Reader(sources, path).read(table)


class _Reader:
    """Reads one file; every problem begins with its name."""

    def __init__(self, sources: Sources, path: Path) -> None:
        self._sources = sources
        self._path = path

    def read(self, table: dict[str, Any]) -> Table:
        self._check_names("", table, _PARTS)
        return Table(
            repositories=self._repositories(table.get("repositories", [])),
            rules=self._rules(table.get("session", {})),
            pass_env=self._pass_env(table.get("opencode", {})),
        )

    def _repositories(self, rows: Any) -> tuple[Repository, ...]:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._note(f"`repositories` must be written [[repositories]]. Example: {_REPOSITORY_EXAMPLE}")
            return ()
        found = []
        for number, row in enumerate(rows, 1):
            read = self._record(f"[[repositories]] {number}", row, Repository, _REPOSITORY_EXAMPLE)
            if read is not None:
                found.append(msgspec.structs.replace(read, url=self._absolute(read.url)))
        problems = problems_of(found)
        if not rows:
            problems.append(f"No repository is configured. Example: {_REPOSITORY_EXAMPLE}")
        elif len(found) > 1 and not problems:
            try:
                choose_default(found)
            except ConfigurationError as error:
                problems = error.problems
        for problem in problems:
            self._note(problem)
        return tuple(found)

    def _absolute(self, url: str) -> str:
        """A local path counts from the file that names it."""
        local = self._path.parent / Path(url).expanduser()
        return str(local.resolve()) if "://" not in url and local.is_dir() else url

    def _rules(self, row: Any) -> Rules:
        rules = self._record("[session]", row, Rules, '[session] while_busy = "queue"') or Rules()
        for name in Rules.__struct_fields__:
            value = getattr(rules, name)
            if isinstance(value, int | float) and not (math.isfinite(value) and value >= _LEAST.get(name, 1e-3)):
                self._note(f"[session] {name} must be greater than 0. Example: {name} = {getattr(Rules(), name):g}")
        return rules

    def _pass_env(self, row: Any) -> tuple[str, ...]:
        example = '[opencode] pass_env = ["ANTHROPIC_API_KEY"]'
        if not isinstance(row, dict):
            self._note(f"[opencode] must be a table. Example: {example}")
            return ()
        self._check_names("[opencode] ", row, ("pass_env",))
        try:
            return msgspec.convert(row.get("pass_env", []), tuple[str, ...])
        except msgspec.ValidationError as error:
            self._note(f"[opencode] pass_env: {error}. Example: {example}")
            return ()

    def _record(self, where: str, row: Any, kind: type[T], example: str) -> T | None:
        if not isinstance(row, dict):
            self._note(f"{where} must be a table. Example: {example}")
            return None
        known = kind.__struct_fields__
        self._check_names(f"{where} ", row, known)
        try:
            return msgspec.convert({"type": kind.__name__, **{name: row[name] for name in known if name in row}}, kind)
        except msgspec.ValidationError as error:
            self._note(f"{where}: {error}. Example: {example}")
            return None

    def _check_names(self, where: str, row: dict[str, Any], known: Iterable[str]) -> None:
        for name in sorted(set(row) - set(known)):
            meant = next(iter(get_close_matches(name, list(known), 1, 0.6)), None)
            hint = f"did you mean {meant!r}?" if meant else f"known are {', '.join(known)}"
            self._note(f"{where}{name!r} is no setting; {hint}")

    def _note(self, problem: str) -> None:
        self._sources.note(f"{self._path}: {problem}")
