"""The TOML file: repositories, rules of a session's life, what the managed OpenCode gets. Unknown keys are errors."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from msgspec.structs import fields, replace

from dragoman.config import access, catalogue
from dragoman.config.beside import HEADERS
from dragoman.config.lines import Lines
from dragoman.config.routing import IssueTable, RoutingTable, routing_of
from dragoman.config.settings import credentials
from dragoman.config.sources import Sources
from dragoman.config.triggers import read_handling, read_permissions
from dragoman.config.values import Problem, absolute, is_there
from dragoman.core.access import Policy
from dragoman.core.choosing import Handling
from dragoman.core.limits import Rules
from dragoman.record import Record
from dragoman.repositories.configured import Repository, problems_of

DEFAULT_FILE = "dragoman.toml"
# A problem is told in one line; ⏎ stands where TOML wants the next one.
_REPOSITORY_EXAMPLE = (
    '[[repositories]] ⏎ name = "acme/shop" ⏎ url = "https://github.com/acme/shop.git" ⏎ default = true'
)
_PARTS = ("repositories", "routing", "issue", "session", "opencode", "access", "triggers", "templates")

# Rules that have a name in the environment: one place for each thing.
NAMED: Final = {
    "timeout_s": "SESSION_TIMEOUT_MINUTES",
    "max_messages": "SESSION_MAX_MESSAGES",
    "streaming": "ENABLE_SESSION_STREAMING",
}

_LEAST = {"resumes": 0, "retention_days": 0, "outbox_files": 0}  # everything else has to be greater than 0

_ELSEWHERE = frozenset(
    {"sessions", "handling", "routing", "respect_blockers", "in_review", "tell_edits"}
)  # rules with a setting or with tables of their own


class Passed(Record):
    """What the managed OpenCode gets.

    pass_env  names of variables of our environment that it finds in its own, such as a provider's key
    """

    pass_env: tuple[str, ...] = ()


# What `dragoman config` shows and explains; the fields' sentences are those of the record's docstring.
RECORDS: Mapping[str, type[Record]] = {
    "[session]": Rules,
    "[[repositories]]": Repository,
    "[routing]": RoutingTable,
    "[issue]": IssueTable,
    "[access]": Policy,
    "[opencode]": Passed,
}
# Fields that are set by names, or in tables of their own.
_NOT_HERE: Mapping[type[Record], frozenset[str]] = {
    Rules: frozenset({*NAMED, *_ELSEWHERE}),
    Policy: frozenset({"require_person", "users", "teams"}),
}

_AT = re.compile(r"\$\.(\w+)")  # where msgspec found something wrong
_PARSED = re.compile(r"\(at line (\d+)")  # the same of tomllib

T = TypeVar("T", bound=Record)


def keys_of(record: type[Record]) -> tuple[str, ...]:
    """What may be written into a table of this kind."""
    return tuple(name for name in record.__struct_fields__ if name not in _NOT_HERE.get(record, ()))


class Table(Record):
    """What the file says.

    pass_env  names of variables of our environment that the managed server gets (a provider's key)
    access    who may do what; what is not there, everybody may
    """

    repositories: tuple[Repository, ...] = ()
    rules: Rules = Rules()
    pass_env: tuple[str, ...] = ()
    access: Policy = Policy()


def place(sources: Sources, folder: Path) -> Path:
    """Where the file is, or would be."""
    try:
        return absolute(folder, sources.raw("DRAGOMAN_CONFIG") or DEFAULT_FILE)
    except Problem:
        return folder / sources.raw("DRAGOMAN_CONFIG")  # nothing is there, and `read` says so


def read(sources: Sources, folder: Path) -> Table:
    """Read the file that DRAGOMAN_CONFIG names, else `dragoman.toml` in `folder`; what is wrong goes to `sources`."""
    path = place(sources, folder)
    if not is_there(path.is_file):
        if sources.raw("DRAGOMAN_CONFIG"):
            sources.problem("DRAGOMAN_CONFIG", f"names {path}, which is no file. Example: /etc/dragoman.toml")
        else:
            sources.note(
                f"No repository is configured. Add to {path}, or to the file that DRAGOMAN_CONFIG names: {_REPOSITORY_EXAMPLE}"
            )
        return Table()
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        line = _PARSED.search(str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        sources.note(f"{where}: cannot be read as TOML: {error}")
        return Table()
    return _Reader(sources, path, text).read(table)


class _Reader:
    """Reads one file; every problem begins with its name and, where it is known, the line."""

    def __init__(self, sources: Sources, path: Path, text: str) -> None:
        self._sources = sources
        self._lines = Lines(text)
        self._path = path

    def read(self, table: dict[str, Any]) -> Table:
        self._check_names("", table, _PARTS)
        handling = self._handling(table)
        repositories = self._repositories(table.get("repositories", []), [one.name for one in handling.templates])
        routing = self._record("[routing]", table.get("routing", {}), RoutingTable, "[routing] label_back = true")
        issue = self._record("[issue]", table.get("issue", {}), IssueTable, "[issue] in_review = true") or IssueTable()
        rules = replace(
            self._rules(table.get("session", {})),
            respect_blockers=issue.respect_blockers,
            in_review=issue.in_review,
            tell_edits=issue.tell_edits,
        )
        return Table(
            repositories=repositories,
            rules=replace(rules, handling=handling, routing=routing_of(repositories, routing or RoutingTable())),
            pass_env=self._pass_env(table.get("opencode", {})),
            access=access.read(
                table.get("access", {}), lambda problem, key: self._note(problem, where="[access]", key=key)
            ),
        )

    def _repositories(self, rows: Any, templates: Sequence[str]) -> tuple[Repository, ...]:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._note(
                f"`repositories` must be written [[repositories]]. Example: {_REPOSITORY_EXAMPLE}", key="repositories"
            )
            return ()
        found = []
        for number, row in enumerate(rows, 1):
            where = f"[[repositories]] {number}"
            plain = {key: value for key, value in row.items() if key != "permissions"}  # OpenCode's way to write rules
            rules = read_permissions(row, partial(self._about, where, "permissions"))
            read = self._record(where, plain, Repository, _REPOSITORY_EXAMPLE)
            if read is not None:
                source = str(self._path.parent / Path(read.copy_from).expanduser()) if read.copy_from else ""
                found.append(replace(read, url=self._absolute(read.url), permissions=rules, copy_from=source))
                if read.template and read.template not in templates:
                    known = ", ".join(templates) or "none"
                    problem = f"template {read.template!r} stands in no [[templates]]; known are {known}"
                    self._about(where, "template", problem)
        problems = problems_of(found)
        if not rows:
            problems.append(f"No repository is configured. Example: {_REPOSITORY_EXAMPLE}")
        for problem in problems:
            about = (n for n, one in enumerate(found, 1) if problem.startswith(f"[[repositories]] {one.name!r}"))
            self._note(problem, where=f"[[repositories]] {next(about, 1)}")
        return tuple(found)

    def _absolute(self, url: str) -> str:
        """A local path counts from the file that names it."""
        if "://" in url:
            return url
        try:
            local = absolute(self._path.parent, url)
        except Problem:
            return url  # no path of ours; `problems_of` says what it is
        return str(local.resolve()) if is_there(local.is_dir) else url

    def _handling(self, table: dict[str, Any]) -> Handling:
        rows = table.get("repositories", [])
        names = [str(row.get("name", "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return read_handling(table, names, lambda problem, where, key: self._note(problem, where=where, key=key))

    def _rules(self, row: Any) -> Rules:
        for name in sorted(NAMED.keys() & row.keys() if isinstance(row, dict) else ()):
            self._note(f"[session] {name} is set by {NAMED[name]}, not here", where="[session]", key=name)
        rules = self._record("[session]", row, Rules, '[session] while_busy = "queue"') or Rules()
        for name in sorted(set(Rules.__struct_fields__) - _ELSEWHERE):
            value = getattr(rules, name)
            if isinstance(value, int | float) and not (math.isfinite(value) and value >= _LEAST.get(name, 1e-3)):
                self._note(
                    f"[session] {name} must be greater than 0. Example: {name} = {getattr(Rules(), name):g}",
                    where="[session]",
                    key=name,
                )
        return rules

    def _pass_env(self, row: Any) -> tuple[str, ...]:
        example = '[opencode] pass_env = ["ANTHROPIC_API_KEY"]'
        if not isinstance(row, dict):
            self._note(f"[opencode] must be a table. Example: {example}", where="[opencode]")
            return ()
        self._check_names("[opencode] ", row, ("pass_env",))
        try:
            passed = msgspec.convert(row.get("pass_env", []), tuple[str, ...])
        except msgspec.ValidationError as error:
            self._note(f"[opencode] pass_env: {error}. Example: {example}", where="[opencode]", key="pass_env")
            return ()
        for name in passed:
            ours = name in catalogue.ALL and (catalogue.ALL[name].secret or credentials(self._sources.raw(name)))
            if ours or name in HEADERS:
                self._note(
                    f"[opencode] pass_env hands {name} to the agent, which must not have it. "
                    f"Pass on only what a provider needs. Example: {example}",
                    where="[opencode]",
                    key="pass_env",
                )
        return passed

    def _record(self, where: str, row: Any, kind: type[T], example: str) -> T | None:
        if not isinstance(row, dict):
            self._note(f"{where} must be a table. Example: {example}", where=where)
            return None
        known = tuple(name for name in kind.__struct_fields__ if kind is not Rules or name not in _ELSEWHERE)
        self._check_names(f"{where} ", row, known)
        try:
            return msgspec.convert({"type": kind.__name__, **{name: row[name] for name in known if name in row}}, kind)
        except msgspec.ValidationError as error:
            at = _AT.search(str(error))
            key = at[1] if at else ""
            allowed = get_args(get_type_hints(kind)[key]) if key and "enum" in str(error) else ()
            what = f" {key} must be one of {', '.join(map(str, allowed))}" if allowed else f": {error}"
            self._note(f"{where}{what}. Example: {_usual(kind, key) or example}", where=where, key=key)
            return None

    def _check_names(self, where: str, row: dict[str, Any], known: Iterable[str]) -> None:
        for name in sorted(set(row) - set(known)):
            meant = next(iter(get_close_matches(name, list(known), 1, 0.6)), None)
            hint = f"did you mean {meant!r}?" if meant else f"known are {', '.join(known)}"
            self._note(f"{where}{name!r} is no setting; {hint}", where=where, key=name)

    def _about(self, where: str, key: str, problem: str) -> None:
        self._note(f"{where} {problem}", where=where, key=key)

    def _note(self, problem: str, *, where: str = "", key: str = "") -> None:
        """Note a problem, with the line of the key or of its table, when it has one."""
        line = self._lines.of(where, key) if where or key else None
        place = f"{self._path}:{line}" if line else str(self._path)
        self._sources.note(f"{place}: {problem}")


def _usual(kind: type[Record], key: str) -> str:
    """How a setting would be written if it were to stay what it is; empty when it has to be set, or is empty."""
    value = next((field.default for field in fields(kind) if field.name == key), None)
    match value:
        case bool():
            return f"{key} = {str(value).lower()}"
        case str() if value:
            return f'{key} = "{value}"'
        case int() | float():
            return f"{key} = {value:g}"
        case _:
            return ""
