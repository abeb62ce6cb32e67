"""`[[triggers]]` and `[[templates]]` of the TOML file. Each problem is told with the line and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args

from dragoman.config.patterns import runs_away
from dragoman.core.choosing import PRIORITIES, Handling, Mode, PermissionRule, Template, Trigger, Way
from dragoman.core.filling import FIELDS, unknown_fields

TRIGGER_EXAMPLE = '[[triggers]] ⏎ label = "bug" ⏎ mode = "session" ⏎ template = "bugfix"'
TEMPLATE_EXAMPLE = '[[templates]] ⏎ name = "bugfix" ⏎ text = "Write a failing test for {issue.key} first."'
_ACTIONS: tuple[Literal["allow", "ask", "deny"], ...] = ("allow", "ask", "deny")
_CONDITIONS = ("words", "label", "team", "project", "state", "creator")
_OUTCOMES = ("mode", "template", "repository", "agent", "model", "permissions", "priority")
_TRIGGER_KEYS = ("name", *_CONDITIONS, "regex", "on", *_OUTCOMES)
_TEMPLATE_KEYS = ("name", "text", "agent", "model", "plan_first")

_MODES: tuple[Mode, ...] = get_args(Mode)
Word = TypeVar("Word", bound=str)

# note(problem, where, key): the problem is about `key` of the table `where`, "[[triggers]] 2"
Note = Callable[[str, str, str], None]


def read_handling(table: Mapping[str, Any], repositories: Sequence[str], note: Note) -> Handling:
    """Triggers and templates as the file has them; what is wrong is noted and left out.

    repositories  names of those that are configured
    """
    templates = tuple(one.template() for one in _rows(table, "templates", TEMPLATE_EXAMPLE, note))
    for number, one in enumerate(templates, 1):
        if one.name and one.name.casefold() in {other.name.casefold() for other in templates[: number - 1]}:
            note(
                f"[[templates]] {number}: the name {one.name!r} is used twice; give each its own",
                f"[[templates]] {number}",
                "name",
            )
    names = [one.name for one in templates if one.name]
    rows = _rows(table, "triggers", TRIGGER_EXAMPLE, note)
    triggers = tuple(one.trigger(names, repositories) for one in rows)
    return Handling(triggers=triggers, templates=tuple(one for one in templates if one.name))


def _rows(table: Mapping[str, Any], name: str, example: str, note: Note) -> list[_Row]:
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        note(f"`{name}` must be written [[{name}]]. Example: {example}", f"[{name}]", "")
        return []
    return [_Row(f"[[{name}]] {number}", number, row, example, note) for number, row in enumerate(rows, 1)]


class _Row:
    """One table; reading a key checks its kind."""

    def __init__(self, where: str, number: int, row: dict[str, Any], example: str, note: Note) -> None:
        self._where = where
        self._number = number
        self._row = row
        self._example = example
        self._tell = note

    def template(self) -> Template:
        self._check_names(_TEMPLATE_KEYS)
        name, text = self._text("name"), self._text("text")
        if not name:
            self._note("name", f"has no name. Example: {self._example}")
        for field in unknown_fields(text):
            self._note("text", f"{{{field}}} is no field; {_meant(field, FIELDS)}")
        plan_first = self._row.get("plan_first", False)
        if not isinstance(plan_first, bool):
            self._note("plan_first", "plan_first must be true or false. Example: plan_first = true")
        return Template(
            name=name, text=text, agent=self._text("agent"), model=self._model(), plan_first=plan_first is True
        )

    def trigger(self, templates: Sequence[str], repositories: Sequence[str]) -> Trigger:
        self._check_names(_TRIGGER_KEYS)
        if not set(self._row) & set(_OUTCOMES):
            self._note(
                "", f"says nothing of what follows: give one of {', '.join(_OUTCOMES)}. Example: {self._example}"
            )
        mode = self._one_of("mode", _MODES)
        on = tuple(way.replace("-", "_") for way in self._texts("on"))
        for way in on:
            if way not in get_args(Way):
                self._note("on", 'on must be of mention, delegation, follow-up. Example: on = "delegation"')
        if mode == "simple" and on == ("delegation",):
            self._note("mode", 'mode = "simple" has no effect here: a delegation always begins a session. Leave it out')
        return Trigger(
            name=self._text("name") or f"trigger {self._number}",
            regex=self._regex(),
            on=tuple(way for way in get_args(Way) if way in on),
            mode=mode,
            template=self._known("template", templates, "[[templates]]"),
            repository=self._known("repository", repositories, "[[repositories]]"),
            agent=self._text("agent"),
            model=self._model(),
            permissions=self._permissions(),
            priority=PRIORITIES.index(self._one_of("priority", PRIORITIES[1:]) or ""),
            **{name: self._texts(name) for name in _CONDITIONS},
        )

    # ── one key ──────────────────────────────────────────────────────────
    def _text(self, key: str) -> str:
        value = self._row.get(key, "")
        if isinstance(value, str):
            return value.strip()
        self._note(key, f'{key} must be a text. Example: {key} = "…"')
        return ""

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._row.get(key, [])
        several = [value] if isinstance(value, str) else value
        if isinstance(several, list) and all(isinstance(one, str) and one.strip() for one in several):
            return tuple(one.strip() for one in several)
        self._note(key, f'{key} must be a text or a list of texts. Example: {key} = ["…", "…"]')
        return ()

    def _one_of(self, key: str, allowed: Sequence[Word]) -> Word | None:
        value = self._text(key)
        found = next((word for word in allowed if word == value), None)
        if value and found is None:
            self._note(key, f"{key} {value!r} is none of {', '.join(allowed)}; {_meant(value, allowed)}")
        return found

    def _known(self, key: str, known: Sequence[str], where: str) -> str:
        value = self._text(key)
        found = next((one for one in known if one.casefold() == value.casefold()), "")
        if value and not found:
            self._note(key, f"{key} {value!r} stands in no {where}; {_meant(value, known)}")
        return found

    def _model(self) -> str:
        value = self._text("model")
        if value and not all(value.partition("/")):
            self._note("model", 'model must be provider/model. Example: model = "anthropic/claude-sonnet-4-5"')
            return ""
        return value

    def _regex(self) -> str | None:
        value = self._text("regex")
        try:
            re.compile(value)
        except re.error as error:
            self._note("regex", f"regex cannot be read: {error}. Example: regex = 'crash(es|ed)?'")
            return None
        if runs_away(value):
            problem = "regex repeats what repeats, as in (a+)+, which on some texts takes for ever: repeat it once"
            self._note("regex", f"{problem}. Example: regex = 'crash(es|ed)?'")
            return None
        return value or None

    def _permissions(self) -> tuple[PermissionRule, ...]:
        return read_permissions(self._row, lambda problem: self._note("permissions", problem))

    def _check_names(self, known: Sequence[str]) -> None:
        for name in sorted(set(self._row) - set(known)):
            self._note(name, f"{name!r} is no setting; {_meant(name, known)}")

    def _note(self, key: str, problem: str) -> None:
        self._tell(f"{self._where} {problem}", self._where, key)


def read_permissions(row: Mapping[str, Any], note: Callable[[str], None]) -> tuple[PermissionRule, ...]:
    """`permissions = { bash = "ask", edit = { "docs/*" = "allow" } }`, as OpenCode writes permissions."""
    given = row.get("permissions", {})
    example = 'permissions = { bash = "ask", edit = "deny" }'
    if not isinstance(given, dict):
        note(f"permissions must be a table. Example: {example}")
        return ()
    found = []
    for permission, said in given.items():
        for pattern, action in (said if isinstance(said, dict) else {"*": said}).items():
            if action not in _ACTIONS:
                note(f"permissions {permission!r} must be allow, ask or deny. Example: {example}")
            else:
                found.append(PermissionRule(permission=permission, pattern=pattern, action=action))
    return tuple(found)


def _meant(given: str, known: Iterable[str]) -> str:
    names = list(known)
    meant = next(iter(get_close_matches(given, names, 1, 0.6)), None)
    return f"did you mean {meant!r}?" if meant else f"known are {', '.join(names) or 'none'}"
