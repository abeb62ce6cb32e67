"""From text to one value. Each function raises Problem with a sentence that ends in an example, never with the value."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

INVENTED_URL: Final = "https://api.opencode.dev/sessions"  # stood in an example; it never existed
INVENTED_TOKEN: Final = "your_session_token_here"  # noqa: S105 - stood beside it
REDIS: Final = frozenset({"redis", "rediss"})
_LEDGER_EXAMPLE: Final = "Example: sqlite:////var/lib/dragoman/dragoman.db"
_REDIS_EXAMPLE: Final = "Example: redis://localhost:6379/0"
_SWITCH: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class Problem(Exception):
    """What is wrong with one value."""


def absolute(folder: Path, value: str) -> Path:
    """Where `value` points: `~` is a home folder, a relative path counts from `folder`. Raises Problem"""
    try:
        return (folder / Path(value).expanduser()).absolute()
    except RuntimeError:  # what Python says when nobody is called so, or has no home
        raise Problem("begins with ~ and leads to no home folder. Write the whole path") from None


def is_there(look: Callable[[], bool]) -> bool:
    """What `Path.is_file` or `Path.is_dir` say; they raise when a path is too long, or stands where we may not look."""
    try:
        return look()
    except OSError:
        return False


def path(folder: Path) -> Callable[[str], Path]:
    """A path; a relative one counts from `folder`."""
    return lambda value: absolute(folder, value)


def text(value: str) -> str:
    return value


def secret(value: str) -> str:
    """A token that travels in a header: one word."""
    if value == INVENTED_TOKEN:
        raise Problem(
            "still holds the placeholder of an example. Put the password that `opencode serve` was started with "
            "(its OPENCODE_SERVER_PASSWORD), or leave it empty"
        )
    if any(letter.isspace() or not letter.isprintable() for letter in value):
        raise Problem("holds whitespace or invisible characters; copy it again, as one word")
    return value


def secrets(value: str) -> tuple[str, ...]:
    """Several, with commas between them."""
    return tuple(secret(part.strip()) for part in value.split(",") if part.strip())


def whole_number(*, least: int, most: int, example: int, meaning: str = "") -> Callable[[str], int]:
    """A number within bounds. `meaning` says what the least one stands for."""

    def parse(value: str) -> int:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise Problem(f"is no whole number. Example: {example}")
        number = int(value)
        if not least <= number <= most:
            raise Problem(f"must lie between {least}{meaning} and {most}. Example: {example}")
        return number

    return parse


def switch(value: str) -> bool:
    """True or false, also as 1 and 0, yes and no, on and off; in any case."""
    if value.lower() not in _SWITCH:
        raise Problem("must be true or false. Example: true")
    return _SWITCH[value.lower()]


def names(what: str) -> Callable[[str], tuple[str, ...]]:
    """Several words, with commas between them; each once. `what` says what they are."""

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if value and not found:  # an empty list would let in everybody
            raise Problem(f"holds commas and no name; leave it empty to allow everybody. It takes {what}")
        if odd := [number for number, name in enumerate(found, 1) if len(name.split()) > 1 or ";" in name]:
            raise Problem(f"holds blanks or “;” within entry {odd[0]}. It takes {what}, separated by commas")
        return found

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of a few words, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise Problem(f"must be one of {', '.join(allowed)}. Example: {allowed[0]}")
        return value.lower()

    return parse


def url(example: str) -> Callable[[str], str]:
    """An http or https URL without credentials, or nothing."""

    def parse(value: str) -> str:
        if not value:
            return ""
        parts = _split(value, example)
        if parts.username is not None or parts.password is not None:
            raise Problem(f"holds credentials; tokens have settings of their own. Example: {example}")
        return value.rstrip("/")

    return parse


def opencode_url(value: str) -> tuple[str, str]:
    """(URL without credentials, the password that was in it); both empty for a server of our own."""
    if not value:
        return "", ""
    if value.rstrip("/") == INVENTED_URL:
        raise Problem(
            "is an address that never existed. Leave it empty, and an OpenCode server is started for you; "
            "or give the address of a running `opencode serve`. Example: http://127.0.0.1:4096"
        )
    parts = _split(value, "http://127.0.0.1:4096")
    if parts.query or parts.fragment:
        raise Problem("must be a bare address, without “?” or “#”. Example: http://127.0.0.1:4096")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return bare.geturl().rstrip("/"), unquote(parts.password or "")


def storage_url(folder: Path) -> Callable[[str], str]:
    """redis://…, rediss://…, or a ledger."""
    ledger = ledger_url(folder, beside=" (redis:// or rediss:// for a copy beside the ledger)")

    def parse(value: str) -> str:
        return _redis(value) if value.partition(":")[0].lower() in REDIS else ledger(value)

    return parse


def ledger_url(folder: Path, beside: str = "") -> Callable[[str], str]:
    """sqlite:////absolute, sqlite:///relative to `folder`, memory://, or nothing.

    beside  what else would do, for the one who is told that this will not
    """

    def parse(value: str) -> str:
        if value in {"", "memory://"}:
            return value
        scheme = value.partition(":")[0].lower()
        if scheme in REDIS:
            raise Problem(
                f"names a {scheme} server, which cannot be the ledger, only a copy of it for other readers: "
                f"put it into SESSION_STORAGE_URL. {_LEDGER_EXAMPLE}"
            )
        if scheme in {"postgres", "postgresql"}:
            raise Problem(f"names a {scheme} server, which this version does not use. {_LEDGER_EXAMPLE}")
        file = value.removeprefix("sqlite:///")
        if file == value or not file:
            raise Problem(f"must be sqlite:/// and a file, or memory://{beside}. {_LEDGER_EXAMPLE}")
        place = (folder / file).absolute()
        if place.is_dir():
            raise Problem(f"names a folder, not a file. {_LEDGER_EXAMPLE}")
        return f"sqlite:///{place}"

    return parse


def _redis(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0 and (parts.path.strip("/") or "0").isdigit()
    except ValueError:
        usable = False
    if not usable or any(letter.isspace() for letter in value):
        raise Problem(f"is no address of a Redis: host, port, and the number of a database. {_REDIS_EXAMPLE}")
    return value


def model(value: str) -> str:
    provider, slash, name = value.partition("/")
    if value and not (provider and slash and name):
        raise Problem("must be provider/model. Example: anthropic/claude-sonnet-4-5")
    return value


def file(folder: Path, example: str) -> Callable[[str], str]:
    """A file that is there, or nothing; a relative path counts from `folder`."""

    def parse(value: str) -> str:
        place = absolute(folder, value)
        if value and not is_there(place.is_file):
            raise Problem(f"names no file. Example: {example}")
        return str(place) if value else ""

    return parse


def program(folder: Path, example: str) -> Callable[[str], str]:
    """A file that is there and may be run, or nothing; a relative path counts from `folder`."""
    there = file(folder, example)

    def parse(value: str) -> str:
        found = there(value)
        if found and not os.access(found, os.X_OK):
            raise Problem(f"names a file that may not be run: `chmod +x` lets it. Example: {example}")
        return found

    return parse


def folder(base: Path, example: str) -> Callable[[str], str]:
    """A folder that is there, or nothing; a relative path counts from `base`."""

    def parse(value: str) -> str:
        place = absolute(base, value)
        if value and not is_there(place.is_dir):
            raise Problem(f"names no folder. Example: {example}")
        return str(place) if value else ""

    return parse


def _split(value: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = SplitResult("", "", "", "", "")
    if not usable or any(letter.isspace() for letter in value):
        raise Problem(f"is no http or https URL. Example: {example}")
    return parts


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
