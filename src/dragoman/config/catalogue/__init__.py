"""Every setting that has a name of its own: what it does, its type, unit, default and example, in one place.

The loader reads by this table, `dragoman config` explains from it, and a test holds docs/configuration.md to it.
Names without a prefix are a contract with other people's scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from dragoman.config.catalogue import neighbours, service, sessions
from dragoman.config.catalogue.setting import Setting

ALL: Final[dict[str, Setting[Any]]] = {
    setting.name: setting
    for module in (neighbours, sessions, service)
    for setting in vars(module).values()
    if isinstance(setting, Setting)
}


def meant(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that somebody had in mind who wrote `name`, if there is one."""
    known = sorted(names)
    longer = [each for each in known if each.startswith(f"{name}_")]
    close = get_close_matches(name, known, 1, 0.8) or longer
    return close[0] if close else None
