"""Where values come from: the environment, or a `.env` file beside it; and what was wrong with them, all at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from dragoman.config.values import Problem
from dragoman.errors import ConfigurationError

T = TypeVar("T")

_QUOTED = re.compile(r"""(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*(?:#.*)?""")
_COMMENT = re.compile(r"\s#")

# Documented names that this version does not look at yet: a wrong hope, but no typing error.
_WITHOUT_EFFECT = frozenset(
    {
        "ENABLE_SESSIONS", "ENABLE_SESSION_MANAGEMENT", "ENABLE_SESSION_PERSISTENCE", "ENABLE_SESSION_STREAMING",
        "SESSION_TIMEOUT_MINUTES", "SESSION_MAX_MESSAGES", "SESSION_CLEANUP_INTERVAL_MINUTES", "SESSION_CACHE_SIZE",
        "SESSION_REQUIRE_AUTH", "SESSION_ALLOWED_USERS", "SESSION_ALLOWED_TEAMS", "DEBUG_LINEAR_WEBHOOKS",
        "LINEAR_AGENT_MODE", "LEDGER_URL",
    }
)  # fmt: skip
_OURS = ("SESSION_", "DRAGOMAN_")  # nobody else uses these: an unknown one is always worth a line
_SHARED = ("LINEAR_", "OPENCODE_")  # other programs read names like these, too: only what looks mistyped
_FOREIGN = ("SESSION_MANAGER", "DRAGOMAN_TESTS_REQUIRE_ALL", "DRAGOMAN_SHARED")  # of the desktop, of our own tests
_MISTAKEN = {
    "LINEAR_API_KEY": "LINEAR_ACCESS_TOKEN",
    "LINEAR_TOKEN": "LINEAR_ACCESS_TOKEN",
    "OPENCODE_SERVER_PASSWORD": "OPENCODE_SESSION_TOKEN",
}


class Sources:
    """Values by name. Each name that was asked for is known from then on; see `doubts`.

    environment  wins over `dotenv`, also with an empty value
    """

    def __init__(self, environment: Mapping[str, str], dotenv: Path) -> None:
        self._environment = environment
        self._dotenv_path = dotenv
        self._problems: list[str] = []
        self._dotenv = self._read_dotenv(dotenv)
        self._known: set[str] = set()

    def raw(self, name: str) -> str:
        """The value as it was given, without surrounding whitespace; empty when there is none."""
        self._known.add(name)
        value = self._environment.get(name)
        return (value if value is not None else self._dotenv.get(name, ("", 0))[0]).strip()

    def read(self, name: str, parse: Callable[[str], T], *, default: str) -> T:
        """The parsed value; a problem is noted and the default stands in, so that the others are checked, too."""
        given = self.raw(name)
        try:
            if name in self._environment and _COMMENT.search(given):
                raise Problem("looks as if it still carried a comment (“ #”). Put comments on a line of their own")
            return parse(given or default)
        except Problem as problem:
            self.problem(name, str(problem))
            return parse(default)

    def problem(self, name: str, what: str) -> None:
        """Note a problem, with where the value came from; never the value itself: it may be a secret."""
        self._problems.append(f"{name} ({self._where(name)}) {what}")

    def note(self, problem: str) -> None:
        """Note a problem that is not about one name."""
        self._problems.append(problem)

    def finish(self) -> None:
        """Raise ConfigurationError if there were problems."""
        if self._problems:
            raise ConfigurationError(self._problems)

    def doubts(self) -> tuple[str, ...]:
        """Names that are set and that nobody asked for, though they look as if somebody should."""
        found = []
        for name in sorted({*self._environment, *self._dotenv} - self._known):
            if name in _FOREIGN or not self._is_set(name):
                continue
            if name in _WITHOUT_EFFECT:
                found.append(f"{name} ({self._where(name)}) has no effect in this version")
                continue
            meant = _MISTAKEN.get(name) or next(iter(get_close_matches(name, sorted(self._known), 1, 0.8)), None)
            if name.startswith(_OURS) or (name.startswith(_SHARED) and meant):
                hint = f"; did you mean {meant}?" if meant else ""
                found.append(f"{name} ({self._where(name)}) is no setting of ours{hint}")
        return tuple(found)

    def _is_set(self, name: str) -> bool:
        value = self._environment.get(name)
        return bool(value if value is not None else self._dotenv[name][0])

    def _where(self, name: str) -> str:
        if name in self._environment:
            return "the environment"
        return f"{self._dotenv_path}:{self._dotenv[name][1]}" if name in self._dotenv else "not set"

    def _read_dotenv(self, path: Path) -> dict[str, tuple[str, int]]:
        """name -> (value, line). Quotes are taken off; an unquoted value ends at ` #`."""
        if not path.is_file():
            return {}
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.note(f"{path} cannot be read: {type(error).__name__}. Make it a readable text file in UTF-8")
            return {}
        found: dict[str, tuple[str, int]] = {}
        for number, line in enumerate(lines, 1):
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                found[name.strip()] = (_bare(value.strip()), number)
        return found


def _bare(value: str) -> str:
    if quoted := _QUOTED.fullmatch(value):
        return quoted["value"]
    return "" if value.startswith("#") else _COMMENT.split(value)[0].strip()
