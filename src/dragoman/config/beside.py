"""Secrets that are set beside our own settings: for proxies, for a collector of traces, for the model's provider.

Their parties may repeat them in what they say, so we have to know them in order to leave them out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from dragoman.config.settings import credentials
from dragoman.errors import ConfigurationError
from dragoman.opencode.settings import read_operator_configuration

LIKE_SECRET: Final = re.compile(r"token|secret|password|credential|authorization|key$", re.IGNORECASE)
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_ELSEWHERE: Final = ("{env:", "{file:")  # says where OpenCode finds it
HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


def secrets_beside(environment: Mapping[str, str], pass_env: Iterable[str], opencode_config: str) -> tuple[str, ...]:
    """The values, as far as they can be told from what is none.

    pass_env         names of variables that OpenCode gets; those that are called like a secret count
    opencode_config  the file that OPENCODE_CONFIG names, "" for none
    """
    found = [secret for name in _PROXIES for secret in credentials(environment.get(name, ""))]
    # "name=value,name=value", escaped as in URLs: opentelemetry.io/docs/specs/otel/protocol/exporter
    headers = [header for name in HEADERS for header in environment.get(name, "").split(",")]
    found += [secret for header in headers for secret in _of_header(unquote(header.partition("=")[2].strip()))]
    found += [environment.get(name, "").strip() for name in pass_env if LIKE_SECRET.search(name)]
    found += secrets_for_opencode(opencode_config)
    return tuple(dict.fromkeys(each for each in found if each and each.isprintable()))


def secrets_for_opencode(file: str) -> tuple[str, ...]:
    """Those that the file of OPENCODE_CONFIG holds; none when it cannot be read: that is told as a problem of the setting."""
    try:
        return tuple(_within(read_operator_configuration(Path(file) if file else None)))
    except ConfigurationError:
        return ()


def _within(value: object, name: str = "", *, header: bool = False) -> Iterator[str]:
    """What is called like a secret in OpenCode's configuration, and all values of headers."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _within(each, key, header=name == "headers")
    elif isinstance(value, list):
        for each in value:
            yield from _within(each, name)
    elif isinstance(value, str) and (header or LIKE_SECRET.search(name)) and not value.startswith(_ELSEWHERE):
        yield from _of_header(value)


def _of_header(value: str) -> Iterator[str]:
    """The value, and what stands behind a scheme such as `Bearer`."""
    yield value
    yield value.rpartition(" ")[2]
