"""Structured logs: one line a decision, ids always, bodies never at info; secrets cannot reach them.

`log = logs.get("runtime.engine")`, then `log.info("run.settled", session=…, took_s=…)`: event name noun.past, fields after.
JSON when the output is no terminal.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import logging
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterable, MutableMapping
from json import dumps as json_text
from types import TracebackType
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus

import msgspec
import structlog

MASK = "[secret]"
SHORTEST_SECRET = 6  # characters; masking shorter words would garble ordinary text

NEWEST_KEPT = 4  # of tokens that follow one another; older ones have ended

_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/?#]*@", re.IGNORECASE)


def configure(*, level: str = "info", stream: TextIO | None = None, json: bool | None = None) -> None:
    """Set up logging for the process: ours, that of libraries (errors only), and what nobody catches.

    level  debug, info, warning or error
    json   None = JSON when `stream` (default: standard error) is no terminal
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    lines = cast(TextIO, _Lines(out))
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    stamped: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*stamped, scrub, renderer],  # scrubbed last: nothing is added after it
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level.lower(), logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(lines),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_part, *stamped],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, scrub, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    sys.unraisablehook = lambda crash: _crashed(
        crash.exc_type, crash.exc_value, crash.exc_traceback, "process.faltered"
    )


class _Lines(io.TextIOBase):
    """Writes to `out`; what cannot be written is lost. A log on a full disk, or a pipe that nobody reads any more, must not
    end what it tells about: a run would go on with nobody who follows it."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._out.flush()


def hand_over() -> None:
    """Inside somebody else's program: lines go to its `logging`, logger "dragoman", unless it has set up structlog."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            scrub,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: logging.getLogger("dragoman"),
        cache_logger_on_first_use=False,
    )


def set_level(level: str) -> None:
    """Change how much is logged from now on: debug, info, warning or error."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level.lower(), logging.INFO)))


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that puts its part of the program into each line."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger


class _Secrets:
    """What this process knows to be secret, in every form in which it may be written."""

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._passing: dict[str, deque[set[str]]] = {}  # by kind
        self.forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        for value in values:
            if len(value) >= SHORTEST_SECRET:
                self._lasting |= _forms_of(value)
        self._join()

    def add_token(self, kind: str, value: str) -> None:
        if len(value) >= SHORTEST_SECRET:
            self._passing.setdefault(kind, deque(maxlen=NEWEST_KEPT)).append(_forms_of(value))
            self._join()

    def _join(self) -> None:
        forms = self._lasting.union(*(each for tokens in self._passing.values() for each in tokens))
        if forms != self.forms:
            self.forms = frozenset(forms)
            self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))

    def stand_in(self, text: str) -> bool:
        """Whether the text holds one. Looking for each form is several times cheaper than the pattern."""
        return any(form in text for form in self.forms)

    def out_of(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern is not None and self.stand_in(text) else text


_secrets = _Secrets()  # one process, one set


def keep_secret(values: Iterable[str]) -> None:
    """Mask these values, in the usual encodings too, in everything that is logged, told or shown from now on."""
    _secrets.add(values)


def keep_token(kind: str, value: str) -> None:
    """The same for a token that is fetched anew again and again: the newest NEWEST_KEPT of a kind are masked."""
    _secrets.add_token(kind, value)


def _forms_of(value: str) -> set[str]:
    """The value as it stands, and as JSON, JSON within JSON, Python, URLs, HTML and base64 write it."""
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    quoted |= {re.sub("%[0-9A-F]{2}", lambda hexed: hexed[0].lower(), each) for each in quoted}
    written = {
        json_text(value)[1:-1],
        json_text(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(value.encode())[2:-1],
    }
    written |= {json_text(each, ensure_ascii=False)[1:-1] for each in written}
    marked_up = html.escape(value)  # Python's, and the numbers that templates write
    written |= {
        marked_up,
        html.escape(value, quote=False),
        marked_up.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    }
    encoded: set[str] = set()
    raw = value.encode()
    for before in range(3):  # base64 of a text in which it is only a part, as in Basic authorization
        whole = base64.b64encode(bytes(before) + raw).decode()
        inner = whole[(before * 4 + 2) // 3 : (before + len(raw)) * 8 // 6]
        encoded |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {value} | quoted | written | {each for each in encoded if len(each) >= SHORTEST_SECRET}


def masked(text: str) -> str:
    """The text without known secrets and without credentials in URLs."""
    text = without_secrets(text)
    return _URL_CREDENTIALS.sub(rf"\g<scheme>{MASK}@", text) if "@" in text else text


def masked_within(value: Any) -> Any:
    """What is to be written as JSON, made of plain values, with each text in it masked; keys stay.

    In finished JSON a mask could swallow what stands between two texts: `"https://a","b":"c@d"` holds a “://” and an “@”.
    """
    match value:
        case str():
            return masked(value)
        case list() | tuple():
            return [masked_within(item) for item in value]
        case dict():
            return {key: masked_within(item) for key, item in value.items()}
        case _:
            return value


def without_secrets(text: str) -> str:
    """The text without known secrets; what looks like a credential and is none of ours stays, as in people's words."""
    return _secrets.out_of(text)


def scrub(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor that takes secrets out of every field."""
    if _is_plain(event):
        return event
    return {masked(key): _clean(value) for key, value in event.items()}


def _is_plain(event: MutableMapping[str, Any]) -> bool:
    """Whether a line holds nothing that could need masking. Nearly all lines do not, and there are many of them."""
    texts = []
    for key, value in event.items():
        if isinstance(value, str):
            texts.append(value)
        elif not isinstance(value, int | float | None):
            return False
        texts.append(key)
    line = "\n".join(texts)
    return not ("://" in line and "@" in line) and not _secrets.stand_in(line)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return masked(value)
        case bool() | int() | float() | None:
            return value
        case dict():
            return {masked(str(key)): _clean(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(item) for item in value]
        case _:
            return masked(str(value))


def _as_json(line: object, **_: object) -> str:
    try:
        return msgspec.json.encode(line).decode()
    except UnicodeEncodeError:  # half a character: slower, but it can be written
        return json_text(line)


def _name_part(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's logger, named as ours are."""
    record: logging.LogRecord | None = event.get("_record")
    return {"part": record.name, **event} if record is not None else event


def mask_crashes() -> None:
    """For a command that logs nothing: what nobody catches is printed as Python would, without secrets."""
    sys.excepthook = lambda kind, error, trace: _printed(traceback.format_exception(kind, error, trace))


def _printed(lines: Iterable[str]) -> None:
    sys.stderr.write(masked("".join(lines)))


def _crashed(
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
    event: str = "process.crashed",
) -> None:
    """What nobody caught, or could catch: Python itself would print it with all that it holds."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get("process").error(event, exc_info=(kind, error, trace))


_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
