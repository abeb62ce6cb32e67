"""The `[access]` table: for each of start, answer, approve and stop a list of those who may."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from dragoman.core.access import DEEDS, Policy, Who
from dragoman.core.events.linear import Deed

EXAMPLE = '[access] approve = [{ users = ["ann@example.com"], teams = ["ENG"] }]'
_PARTS = ("users", "teams")
Note = Callable[[str, str], None]


def read(table: Any, note: Note) -> Policy:
    """Who may do what; what is not in the table, everybody may.

    note  is told what is wrong, and at which key; whatever is wrong allows nobody
    """
    if not isinstance(table, dict):
        note(f"[access] must be a table. Example: {EXAMPLE}", "")
        return Policy(start=(), answer=(), approve=(), stop=())
    for name in sorted(set(table) - set(DEEDS)):
        note(f"[access] {name!r} is no setting; {_meant(name, DEEDS)}", name)
    rules: dict[str, Any] = {deed: _of(deed, table[deed], note) for deed in DEEDS if deed in table}
    return Policy(**rules)


def _of(deed: Deed, rows: Any, note: Note) -> tuple[Who, ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        note(f"[access] {deed} must be a list of tables; an empty one allows nobody. Example: {EXAMPLE}", deed)
        return ()
    found = []
    for row in rows:
        for name in sorted(set(row) - set(_PARTS)):
            note(f"[access] {deed}: {name!r} is no setting; {_meant(name, _PARTS)}", deed)
        names = {part: row[part] for part in _PARTS if part in row}
        wrong = [part for part, each in names.items() if not _is_names(each)]
        if wrong or not names:
            what = f"`{wrong[0]}` must be a list of names" if wrong else "an entry names neither users nor teams"
            note(f"[access] {deed}: {what}; leave {deed} out to allow it to everybody. Example: {EXAMPLE}", deed)
            continue
        found.append(Who(**{part: tuple(name.strip() for name in each) for part, each in names.items()}))
    return tuple(found)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) and each.strip() for each in value)


def _meant(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, 1, 0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
