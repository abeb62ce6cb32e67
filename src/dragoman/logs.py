"""Structured logs: one line a decision, ids always, bodies never at info; secrets cannot reach them.

`log = logs.get("runtime.engine")`, then `log.info("run.settled", session=…, took_s=…)`: event name noun.past, fields after.
JSON when the output is no terminal.
"""

from __future__ import annotations

import base64
import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO
from urllib.parse import quote

import structlog

MASK = "[secret]"
SHORTEST_SECRET = 6  # characters; masking shorter words would garble ordinary text

_forms: set[str] = set()
_pattern: re.Pattern[str] | None = None
_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/@:]*(:[^\s/@]*)?@", re.IGNORECASE)


def configure(*, level: str = "info", stream: TextIO | None = None, json: bool | None = None) -> None:
    """Set up logging for the process.

    level  debug, info, warning or error
    json   None = JSON when `stream` (default: standard error) is no terminal
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            scrub,  # last before rendering: nothing is added after it
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level.lower(), logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=out, level=logging.ERROR, format="%(levelname)s %(name)s %(message)s", force=True)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_scrub_record)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that puts its part of the program into each line."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger


def keep_secret(values: Iterable[str]) -> None:
    """Mask these values, in the usual encodings too, in everything that is logged from now on."""
    global _pattern  # noqa: PLW0603 - one process, one set of secrets
    for value in values:
        if len(value) >= SHORTEST_SECRET:
            encoded = base64.b64encode(value.encode()).decode().rstrip("=")
            escaped = value.encode("unicode_escape").decode().replace('"', '\\"')
            _forms.update({value, quote(value, safe=""), encoded, escaped})
    longest_first = sorted(_forms, key=len, reverse=True)
    _pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def masked(text: str) -> str:
    """The text without known secrets and without credentials in URLs."""
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    return _URL_CREDENTIALS.sub(rf"\g<scheme>{MASK}@", text) if "@" in text else text


def scrub(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor that takes secrets out of every field."""
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    match value:
        case str():
            return masked(value)
        case bool() | int() | float() | None:
            return value
        case dict():
            return {str(key): _clean(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(item) for item in value]
        case _:
            return masked(str(value))


def _scrub_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = masked(record.getMessage()), None
    if record.exc_info:
        record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None
    return True


_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
