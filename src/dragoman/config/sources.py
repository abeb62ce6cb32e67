"""Where values come from: the environment, a secrets folder, a `.env` file; and what was wrong with them, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dragoman.config import catalogue
from dragoman.config.catalogue.setting import Setting
from dragoman.config.values import Problem, absolute, is_there
from dragoman.errors import ConfigurationError
from dragoman.record import Record

T = TypeVar("T")

DOTENV = ".env"
LARGEST_SECRET = 65_536  # bytes; a file that is larger holds no setting

_QUOTED = re.compile(r"""(?P<quote>["'])(?P<value>.*?)(?P=quote)\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#")
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
    file       the same, when it is a file
    in_dotenv  comments were taken off already
    """

    text: str
    where: str
    file: Path | None = None
    in_dotenv: bool = False


class Sources:
    """Values by name: the environment wins over a secrets folder, that over `.env`; an empty value wins, too.

    folder       where `.env` is looked for, and what relative paths count from
    environment  the process's own variables
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self._problems: list[str] = []
        self._remarks: list[str] = []
        self._faulty: set[str] = set()
        self.environment = environment
        dotenv = self._read_dotenv(folder / DOTENV)
        self._given = dict(dotenv)
        folders: list[Path] = []
        for variable in reversed(_FOLDERS):
            named = environment.get(variable, dotenv[variable].text if variable in dotenv else "").strip()
            if named:
                where = "the environment" if variable in environment else str(folder / DOTENV)
                try:
                    folders.append(absolute(folder, named))
                    self._read_folder(folders[-1])
                except Problem as problem:
                    self._problems.append(f"{variable} ({where}) {problem}. Example: /run/secrets")
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
                raise _commented(setting)
            return parse(text or fallback)
        except Problem as problem:
            told = str(problem if setting.free or setting.secret or "#" not in text else _commented(setting))
            self.problem(setting.name, told if "Example:" in told else f"{told}. Example: {setting.example}")
            return parse(fallback)

    def problem(self, name: str, what: str) -> None:
        """Note a problem, with where the value came from; never the value itself: it may be a secret."""
        self._faulty.add(name)
        self._problems.append(self.remark(name, what))

    def remark(self, name: str, what: str) -> str:
        """A sentence about a name, with where the value came from."""
        return f"{name} ({self.where(name)}) {what}"

    def is_faulty(self, name: str) -> bool:
        """Whether something was wrong with its value already."""
        return name in self._faulty

    def note(self, problem: str) -> None:
        """Note a problem that is not about one name."""
        self._problems.append(problem)

    def problems(self) -> list[str]:
        """What is wrong so far, one line each."""
        return list(dict.fromkeys(self._problems))  # a value that is read twice is told once

    def finish(self) -> None:
        """Raise ConfigurationError if there were problems."""
        if problems := self.problems():
            raise ConfigurationError(problems)

    def file_of(self, name: str) -> Path | None:
        """The file that holds the value; None when it is no file."""
        given = self._given.get(name)
        return given.file if given else None

    def where(self, name: str) -> str:
        """Where the value came from, for people."""
        given = self._given.get(name)
        return given.where if given else "not set"

    def doubts(self, passed_on: Iterable[str] = ()) -> tuple[str, ...]:
        """Names that are set and mean nothing, though they look as if they should; and odd lines of `.env`.

        passed_on  names that others asked for
        """
        found = []
        for name in sorted({*self._given} - {*catalogue.ALL, *_FOREIGN, *passed_on}):
            if not self._given[name].text:
                continue
            meant = _MISTAKEN.get(name) or catalogue.meant(name, catalogue.ALL)
            in_our_file = name not in self.environment
            if name.startswith((*_OURS, *(_SHARED if in_our_file or meant else ()), *(_ALIKE if meant else ()))):
                hint = f"; did you mean {meant}?" if meant else ""
                found.append(f"{name} ({self.where(name)}) is no setting of ours{hint}")
        return (*self._remarks, *found)

    def _read_folder(self, folder: Path) -> None:
        """One file a name. Files that are none of our names stay unread: the folder may serve others, too.

        Raises  Problem
        """
        try:
            files = sorted(folder.iterdir())
        except OSError as error:
            raise Problem(f"names {folder}, which cannot be read as a folder: {error.strerror}") from None
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
            self._given[file.name] = Given(text=text.strip(), where=str(file), file=file)

    def _read_dotenv(self, path: Path) -> dict[str, Given]:
        """Quotes are taken off; an unquoted value ends at ` #`."""
        if not is_there(path.is_file):
            return {}
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.note(f"{path} cannot be read: {type(error).__name__}. Make it a readable text file in UTF-8")
            return {}
        found: dict[str, Given] = {}
        for number, line in enumerate(lines, 1):
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            name = name.strip()
            if name.startswith("#") or not (name or equals):
                continue
            if not equals or not name.isidentifier():
                self._remarks.append(f"{path}:{number} is no NAME=value and is passed over")
                continue
            if name in found:
                self._remarks.append(f"{name} ({path}:{number}) stands in {found[name].where}, too; the last one holds")
            found[name] = Given(text=_bare(value.strip()), where=f"{path}:{number}", file=path, in_dotenv=True)
        return found


def _commented(setting: Setting[Any]) -> Problem:
    return Problem(
        "looks as if it still carried a comment (“ #”): `docker --env-file` and systemd's EnvironmentFile= take none off. "
        f"Put comments on a line of their own. Example: {setting.name}={setting.example}"
    )


def _bare(value: str) -> str:
    if quoted := _QUOTED.fullmatch(value):
        return quoted["value"].strip()
    return _COMMENT.split(value)[0].strip()
