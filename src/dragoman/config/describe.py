"""What is set, where, and what it means, for people. No value leaves here with a secret in it."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from dragoman import logs
from dragoman.config import Examined, catalogue
from dragoman.config.beside import LIKE_SECRET
from dragoman.config.catalogue.setting import Setting
from dragoman.config.lines import Lines
from dragoman.config.table import RECORDS, keys_of
from dragoman.config.values import Problem
from dragoman.record import Record

HIDDEN: Final = "(set, hidden)"
LIVE_AT: Final = "holds from the next turn, without a restart"
_FIELD: Final = re.compile(r"([\w, /]+?)\s{2,}(\S.*)")


class Row(Record):
    """One setting as it stands.

    name     as it is written; `[table] key` for one of the TOML file
    value    what holds; a secret is hidden
    source   where it came from; "default" when nobody set it
    default  what holds when nobody sets it
    problem  why the value cannot be used and the default holds instead; empty = it can
    """

    name: str
    value: str
    source: str
    default: str = ""
    problem: str = ""


class Explained(Record):
    """One setting, explained.

    changes  when a new value holds
    means    what `value` means, in words
    """

    name: str
    about: str
    kind: str
    unit: str
    default: str
    example: str
    changes: str
    value: str
    source: str
    means: str


def rows(examined: Examined) -> list[Row]:
    """Every setting: the names first, then what stands in the TOML file and the defaults of what does not."""
    logs.keep_secret(examined.settings.secrets())
    return [*(_row(examined, setting) for setting in catalogue.ALL.values()), *_file_rows(examined)]


def explain(examined: Examined, name: str, value: str | None = None) -> Explained:
    """One setting, as it is set, or as it would be with `value`.

    name    a name, or `[table] key` or `table.key` of the TOML file
    Raises  KeyError with a word for people when there is none of that name
    """
    logs.keep_secret(examined.settings.secrets())
    setting = catalogue.ALL.get(name.upper())
    if setting is None:
        return _explain_key(examined, name, value)
    given = examined.sources.raw(setting.name) if value is None else value.strip()
    source = examined.sources.where(setting.name) if examined.sources.given(setting.name) else "default"
    return Explained(
        name=setting.name,
        about=f"{setting.about}.",
        kind=setting.kind,
        unit=setting.unit,
        default=setting.default or f"none: {setting.absent or 'it has to be set'}",
        example=f"{setting.name}={setting.example}",
        changes=changes(setting),
        value=_shown(setting, given),
        source=source if value is None else "as given here",
        means=_meaning(examined, setting, given),
    )


def changes(setting: Setting[Any]) -> str:
    """When a new value holds."""
    return LIVE_AT if setting.live else "needs a restart"


def markdown() -> str:
    """The table of docs/configuration.md."""
    lines: list[str] = []
    group = ""
    for setting in sorted(catalogue.ALL.values(), key=lambda setting: _GROUPS.index(setting.group)):
        if setting.group != group:
            group = setting.group
            lines += ["", f"### {group}", "", "| name | default | what it does |", "|---|---|---|"]
        default = f"`{setting.default}`" if setting.default else setting.absent
        unit = f" {setting.unit}" if setting.unit else ""
        live = " ↻" if setting.live else ""
        lines.append(f"| `{setting.name}`{live} | {default}{unit} | {setting.about} |")
    return "\n".join(lines[1:])


_GROUPS: Final = list(dict.fromkeys(setting.group for setting in catalogue.ALL.values()))


def _row(examined: Examined, setting: Setting[Any]) -> Row:
    given = examined.sources.raw(setting.name)
    problem = _problem_of(examined, setting.name)
    used = setting.default if problem else given or setting.default
    return Row(
        name=setting.name,
        value=_shown(setting, used),
        source=examined.sources.where(setting.name) if examined.sources.given(setting.name) else "default",
        default=setting.default or (f"({setting.absent})" if setting.absent else ""),
        problem=problem,
    )


def _problem_of(examined: Examined, name: str) -> str:
    beginning = examined.sources.remark(name, "")
    return next((each.removeprefix(beginning) for each in examined.problems if each.startswith(beginning)), "")


def _shown(setting: Setting[Any], value: str) -> str:
    if not value:
        return ""
    return HIDDEN if setting.secret else _address(value) if setting.kind == "URL" else logs.masked(value)


def _address(value: str) -> str:
    """A URL as it may be shown, though it may be none: a password with a “/” or “#” makes it one that nobody can read."""
    before, at, after = value.rpartition("@")
    scheme, slashes, user = before.rpartition("://")
    if not at or scheme.lower() == "sqlite" or not (slashes or ":" in user):  # `git@host:path` holds no password
        return logs.masked(value)
    return f"{scheme}{slashes}{logs.MASK}@{logs.masked(after)}"


def _meaning(examined: Examined, setting: Setting[Any], given: str) -> str:
    value = given or setting.default
    if not value:
        return setting.absent or "it is missing"
    try:
        parsed = setting.parser(examined.sources.folder)(value)
    except Problem as problem:
        return f"it cannot be used: it {problem}"
    match parsed:
        case bool():
            return "on" if parsed else "off"
        case int():
            return f"{parsed} {setting.unit}".strip()
        case tuple() if setting.secret:
            return f"{len(parsed)} secret(s), hidden"
        case tuple() if setting.kind == "list":
            return f"{len(parsed)}: {', '.join(parsed)}"
        case tuple():
            return _address(str(parsed[0]))
        case _:
            return _shown(setting, str(parsed))


# ── the TOML file ────────────────────────────────────────────────────────
def _file_rows(examined: Examined) -> Iterator[Row]:
    """What is set in the file, and the defaults of [session]."""
    read, lines = _file(examined)
    set_here = set()
    for where, key, value in _leaves(read):
        line = lines.of(where, key)
        name = f"{where} {key}".strip()
        set_here.add(name)
        file = examined.settings.config_file
        yield Row(
            name=name,
            value=_leaf(key, value),
            source=f"{file}:{line}" if line else str(file),
            default=_default(where, key),
        )
    for table, record in RECORDS.items():
        if table.startswith("[["):
            continue
        for key in keys_of(record):
            if f"{table} {key}" not in set_here:
                default = _default(table, key)
                yield Row(name=f"{table} {key}", value=default, source="default", default=default)


def _explain_key(examined: Examined, name: str, value: str | None) -> Explained:
    table, _, key = (
        name.strip().replace("]]", "] ").replace("[", "").replace("]", " ").replace(".", " ", 1).rpartition(" ")
    )
    found = next(((where, record) for where, record in RECORDS.items() if where.strip("[]") == table.strip()), None)
    if found is None or key not in keys_of(found[1]):
        known = [
            *catalogue.ALL,
            *(f"{each.strip('[]')}.{field}" for each, record in RECORDS.items() for field in keys_of(record)),
        ]
        close = catalogue.meant(name, known) or catalogue.meant(name.upper(), known)
        raise KeyError(f"{name!r} is no setting" + (f"; did you mean {close}?" if close else ""))
    where, record = found
    read, lines = _file(examined)
    given = [
        (place, leaf) for place, leaf_key, leaf in _leaves(read) if leaf_key == key and place.split(" ")[0] == where
    ]
    line = lines.of(given[0][0], key) if given else None
    default = _default(where, key)
    shown = _leaf(key, value, plain=True) if value is not None else _leaf(key, given[0][1]) if given else default
    return Explained(
        name=f"{where} {key}",
        about=_sentence(record, key),
        kind=_kind(inspect.get_annotations(record).get(key, "")),
        unit="seconds" if key.endswith("_s") else "days" if key.endswith("_days") else "",
        default=default or "none",
        example=f"{key} = {default or '…'}",
        changes=LIVE_AT,
        value=shown,
        source="as given here"
        if value is not None
        else f"{examined.settings.config_file}:{line}"
        if given
        else "default",
        means=shown or "nothing is set",
    )


def _file(examined: Examined) -> tuple[Mapping[str, Any], Lines]:
    try:
        text = examined.settings.config_file.read_text(encoding="utf-8-sig")
        return tomllib.loads(text), Lines(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}, Lines("")


def _leaves(value: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str, Any]]:
    """(table as our messages write it, key, value) of everything that is set."""
    for key, each in value.items():
        inside = f"{where.strip('[]')}.{key}" if where else key
        if isinstance(each, dict):
            yield from _leaves(each, f"[{inside}]")
        elif isinstance(each, list) and each and all(isinstance(one, dict) for one in each):
            for number, one in enumerate(each, 1):
                yield from ((f"[[{inside}]] {number}", name, leaf) for _, name, leaf in _leaves(one))
        else:
            yield where, key, each


def _leaf(key: str, value: Any, *, plain: bool = False) -> str:
    """A value of the file as it may be shown; `plain`: as it was given, without quotes."""
    if isinstance(value, str) and value and LIKE_SECRET.search(key):
        return HIDDEN
    if isinstance(value, str) and key == "url":
        value = _address(value)
    return logs.masked(value if plain else msgspec.json.encode(value, enc_hook=str).decode())


def _default(where: str, key: str) -> str:
    record = RECORDS.get(where.split(" ", maxsplit=1)[0])
    if record is None:
        return ""
    default = next((each.default for each in msgspec.structs.fields(record) if each.name == key), msgspec.NODEFAULT)
    return "" if default is msgspec.NODEFAULT or default is None else msgspec.json.encode(default).decode()


def _kind(annotation: object) -> str:
    """A type, in a word for people."""
    written = str(annotation)
    if written in {"int", "float", "str", "bool"}:
        return {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}[written]
    choice = re.fullmatch(r"Literal\[(.*)\]", written)
    return f"one of {choice[1]}" if choice else written


def _sentence(record: type[Record], key: str) -> str:
    """What the record's docstring says of a field."""
    about: list[str] = []
    for line in (inspect.getdoc(record) or "").splitlines():
        field = _FIELD.fullmatch(line)
        if field and not line.startswith(" "):
            if about:
                break
            if key in re.split(r"[,/ ]+", field[1]):
                about.append(field[2])
        elif about and line.startswith(" "):
            about.append(line.strip())
        elif about:
            break
    return " ".join(about)
