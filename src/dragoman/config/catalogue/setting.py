"""What is said of one setting, and short ways to say it for the kinds that are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from dragoman.config import values

MOST: Final = 1_000_000  # of anything that is counted
T = TypeVar("T")
Parser = Callable[[Path], Callable[[str], T]]  # of the folder that relative paths count from


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(Generic[T]):
    """One name.

    name      in the environment, .env or a secrets folder
    group     heading under which it is shown
    about     what it does, one sentence
    kind      its type, in a word for people
    unit      of a number; empty when there is none
    default   as it would be written; empty = none, see `absent`
    absent    what an empty value means when there is no default
    example   a value that works
    parser    from the text to the value; raises values.Problem
    secret    never shown; a file that holds it should be readable to us only
    live      a new value holds from the next turn, without a restart (see `runtime.live_settings`)
    fields    of Settings that it sets; none = the one that is named as it is, in lower case
    free      may hold any text, “ #” included
    """

    name: str
    group: str
    about: str
    kind: Literal["text", "number", "switch", "choice", "URL", "path", "list", "secret"]
    parser: Parser[T]
    example: str
    default: str = ""
    absent: str = ""
    unit: str = ""
    secret: bool = False
    live: bool = False
    fields: tuple[str, ...] = ()
    free: bool = False

    def sets(self) -> tuple[str, ...]:
        """The fields of Settings that it sets."""
        return self.fields or (self.name.lower(),)


def always(parse: Callable[[str], T]) -> Parser[T]:
    """A parser that asks for no folder."""
    return lambda _folder: parse


def switch(name: str, group: str, about: str, *, default: str, live: bool = False) -> Setting[bool]:
    """One that is true or false."""
    other = "false" if default == "true" else "true"
    return Setting(
        name=name,
        group=group,
        about=about,
        kind="switch",
        parser=always(values.switch),
        default=default,
        example=other,
        live=live,
    )


def number(
    name: str, group: str, about: str, *, default: int, unit: str, least: int = 1, most: int = MOST, meaning: str = "",
    live: bool = False, fields: tuple[str, ...] = (),
) -> Setting[int]:  # fmt: skip
    """A whole number from `least` to `most`; `meaning` says what the least one stands for."""
    parse = values.whole_number(least=least, most=most, example=default, meaning=meaning)
    return Setting(
        name=name, group=group, about=about, kind="number", unit=unit, parser=always(parse),
        default=str(default), example=str(default), live=live, fields=fields,
    )  # fmt: skip


def secret(
    name: str, group: str, about: str, *, example: str, absent: str = "", fields: tuple[str, ...] = ()
) -> Setting[str]:
    """A text that is never shown."""
    return Setting(
        name=name, group=group, about=about, kind="secret", parser=always(values.secret), example=example,
        absent=absent, secret=True, fields=fields,
    )  # fmt: skip


def choice(name: str, group: str, about: str, *allowed: str, default: str, fields: tuple[str, ...]) -> Setting[str]:
    """One of some words."""
    return Setting(
        name=name, group=group, about=f"{about}: {', '.join(allowed)}", kind="choice",
        parser=always(values.one_of(*allowed)), default=default, example=allowed[-1],
        fields=fields,
    )  # fmt: skip
