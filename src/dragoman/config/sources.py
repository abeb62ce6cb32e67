"""Where values come from: the environment, a secrets folder, a `.env` file; and what was wrong with them, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from dragoman.config import catalogue
from dragoman.config.catalogue import Setting
from dragoman.config.values import Problem
from dragoman.errors import ConfigurationError
from dragoman.record import Record

T = TypeVar("T")

DOTENV = ".env"
LARGEST_SECRET = 65_536  # bytes; a file that is larger holds no setting

_QUOTED = re.compile(r"""(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*(?:#.*)?""")
_COMMENT = re.compile(r"\s#")
_FOLDERS = ("DRAGOMAN_SECRETS_DIR", "CREDENTIALS_DIRECTORY")  # the second is set by systemd (LoadCredential=)

_OURS = ("SESSION_", "DRAGOMAN_")  # nobody else uses these: an unknown one is always worth a line
# Other programs read names like these, too: in the environment only what looks mistyped; in files of ours every one.
_SHARED = ("LINEAR_", "OPENCODE_")
_ALIKE = ("ENABLE_SESSION", "MAX_CONCURRENT", "DEBUG_LINEAR", "LEDGER_", "LOG_LEVE")  # only what looks mistyped
_FOREIGN = ("SESSION_MANAGER", "DRAGOMAN_TESTS_REQUIRE_ALL", "DRAGOMAN_SHARED")  # of the desktop, of our own tests
_MISTAKEN = {
    "LINEAR_API_KEY": "LINEAR_ACCESS_TOKEN",
    "LINEAR_TOKEN": "LINEAR_ACCESS_TOKEN",
    "OPENCODE_SERVER_PASSWORD": "OPENCODE_SESSION_TOKEN",
}


class Given(Record):
    """One value, as somebody gave it.

    text       without surrounding whitespace
    where      for people: "the environment", or a file, with the line when there are several
    in_dotenv  comments were taken off already
    """

    text: str
    where: str
    in_dotenv: bool = False


class Sources:
    """Values by name: the environment wins over a secrets folder, that over `.env`; an empty value wins, too.

    folder  where `.env` is looked for, and what relative paths count from
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self._problems: list[str] = []
        self._environment = environment
        dotenv = self._read_dotenv(folder / DOTENV)
        self._given = dict(dotenv)
        folders: list[Path] = []
        for variable in reversed(_FOLDERS):
            named = environment.get(variable, dotenv[variable].text if variable in dotenv else "").strip()
            if named:
                folders.append(folder / Path(named).expanduser())
                self._read_folder(variable, folders[-1])
        self.secret_folders = tuple(folders)
        for name, value in environment.items():
            self._given[name] = Given(text=value.strip(), where="the environment")

    def given(self, name: str) -> Given | None:
        """What was given, or None."""
        return self._given.get(name)

    def raw(self, name: str) -> str:
        """The value as it was given, without surrounding whitespace; empty when there is none."""
        given = self._given.get(name)
        return given.text if given else ""

    def read(self, setting: Setting[T], *, default: str | None = None) -> T:
        """The parsed value; a problem is noted and the default stands in, so that the others are checked, too.

        default  instead of the setting's own
        """
        fallback = setting.default if default is None else default
        parse = setting.parser(self.folder)
        given = self._given.get(setting.name)
        text = given.text if given else ""
        try:
            if given and not given.in_dotenv and not setting.free and _COMMENT.search(text):
                raise Problem("looks as if it still carried a comment (“ #”). Put comments on a line of their own")
            return parse(text or fallback)
        except Problem as problem:
            self.problem(setting.name, str(problem))
            return parse(fallback)

    def problem(self, name: str, what: str) -> None:
        """Note a problem, with where the value came from; never the value itself: it may be a secret."""
        self._problems.append(f"{name} ({self.where(name)}) {what}")

    def note(self, problem: str) -> None:
        """Note a problem that is not about one name."""
        self._problems.append(problem)

    def finish(self) -> None:
        """Raise ConfigurationError if there were problems."""
        if self._problems:
            raise ConfigurationError(list(dict.fromkeys(self._problems)))  # a value that is read twice is told once

    def where(self, name: str) -> str:
        """Where the value came from, for people."""
        given = self._given.get(name)
        return given.where if given else "not set"

    def doubts(self, passed_on: Iterable[str] = ()) -> tuple[str, ...]:
        """Names that are set and mean nothing, though they look as if they should.

        passed_on  names that others asked for
        """
        found = []
        for name in sorted({*self._given} - {*catalogue.ALL, *_FOREIGN, *passed_on}):
            if not self._given[name].text:
                continue
            close = get_close_matches(name, sorted(catalogue.ALL), 1, 0.8)
            meant = _MISTAKEN.get(name) or next(iter(close), None)
            in_our_file = name not in self._environment
            if name.startswith((*_OURS, *(_SHARED if in_our_file or meant else ()), *(_ALIKE if meant else ()))):
                hint = f"; did you mean {meant}?" if meant else ""
                found.append(f"{name} ({self.where(name)}) is no setting of ours{hint}")
        return tuple(found)

    def _read_folder(self, variable: str, folder: Path) -> None:
        """One file a name. Files that are none of our names stay unread: the folder may serve others, too."""
        try:
            files = sorted(folder.iterdir())
        except OSError as error:
            where = "the environment" if variable in self._environment else f"{self.folder / DOTENV}"
            self._problems.append(
                f"{variable} ({where}) names {folder}, which cannot be read as a folder: "
                f"{error.strerror}. Example: /run/secrets"
            )
            return
        for file in files:
            if file.name not in catalogue.ALL or not file.is_file():
                if file.name.startswith((*_OURS, *_SHARED)):
                    self._given.setdefault(file.name, Given(text="unread", where=str(file)))
                continue
            try:
                with file.open("rb") as opened:
                    text = opened.read(LARGEST_SECRET + 1).decode("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                self.note(f"{file} cannot be read: {type(error).__name__}. Make it a readable text file in UTF-8")
                continue
            if len(text) > LARGEST_SECRET:
                self.note(
                    f"{file} is larger than {LARGEST_SECRET} bytes. It has to hold the value of {file.name} alone"
                )
                continue
            self._given[file.name] = Given(text=text.strip(), where=str(file))

    def _read_dotenv(self, path: Path) -> dict[str, Given]:
        """Quotes are taken off; an unquoted value ends at ` #`."""
        if not path.is_file():
            return {}
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.note(f"{path} cannot be read: {type(error).__name__}. Make it a readable text file in UTF-8")
            return {}
        found: dict[str, Given] = {}
        for number, line in enumerate(lines, 1):
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                found[name.strip()] = Given(text=_bare(value.strip()), where=f"{path}:{number}", in_dotenv=True)
        return found


def _bare(value: str) -> str:
    if quoted := _QUOTED.fullmatch(value):
        return quoted["value"].strip()
    return "" if value.startswith("#") else _COMMENT.split(value)[0].strip()
