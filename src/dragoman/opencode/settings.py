"""The configuration and the environment that a managed server gets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from dragoman.errors import ConfigurationError
from dragoman.opencode.sandbox import TMP

# Variables of ours that OpenCode may need to reach the model; nothing else of our environment goes in.
PASSED_ON: Final = (
    "LANG", "LC_ALL", "TZ",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip

INSTANCE_VARIABLE: Final = "DRAGOMAN_OPENCODE"

_SWITCHED_OFF: Final = (
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_SHARE",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_EMBEDDED_WEB_UI",
    "OPENCODE_DISABLE_CLAUDE_CODE",
)


def configuration(
    *, model: str | None, sandboxed: bool, workspaces: Path, operator: Mapping[str, object]
) -> dict[str, object]:
    """The server's opencode.json: our defaults and over them the operator's. A repository's own file goes over both.

    Outside its directory an agent may go anywhere that the sandbox shows, but for the workspaces of other sessions;
    without a sandbox nowhere. Never "ask": nobody would be there to answer.
    """
    outside: object = {"*": "allow", f"{workspaces}/*": "deny"} if sandboxed else "deny"
    ours: dict[str, object] = {
        "$schema": "https://opencode.ai/config.json",
        "snapshot": False,  # git snapshots double the cost of a prompt; diffs come from the tools
        "permission": {"external_directory": outside, "doom_loop": "deny"},
    }
    if model:
        ours["model"] = model
    return _merged(ours, operator)


def enforced(*, model: str | None, shell: Path, operator: Mapping[str, object]) -> dict[str, object]:
    """What neither the operator's file nor a repository's may change; goes in as OPENCODE_CONFIG_CONTENT. No secrets.

    share              a shared conversation is published on a server of others
    autoupdate         another version speaks another dialect
    shell              it is the inner sandbox
    enabled_providers  else OpenCode's hosted models stay on offer, and a prompt could be sent there; the operator's own
                       list holds when there is one, plus the provider of the model
    """
    fixed: dict[str, object] = {"autoupdate": False, "share": "disabled", "shell": str(shell)}
    if model:
        listed = operator.get("enabled_providers")
        provider = model.partition("/")[0]
        fixed["enabled_providers"] = list(dict.fromkeys([provider, *(listed if isinstance(listed, list) else ())]))
    return fixed


def read_operator_configuration(path: Path | None) -> dict[str, object]:
    """The operator's JSON file. Raises ConfigurationError when it cannot be read as an object."""
    if path is None:
        return {}
    try:
        read = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError([f"OPENCODE_CONFIG {path} cannot be read: {error}"]) from error
    if not isinstance(read, dict):
        raise ConfigurationError([f"OPENCODE_CONFIG {path} must hold a JSON object"])
    return read


def environment(
    *,
    home: Path,
    config: Path,
    fixed: Mapping[str, object],
    shell: Path,
    path: str,
    password: str,
    instance: str,
    pass_on: Iterable[str] = (),
) -> dict[str, str]:
    """All that the server's process has in its environment. `instance` names it: its children are found by it."""
    kept = {name: os.environ[name] for name in (*PASSED_ON, *pass_on) if name in os.environ}
    return kept | {
        "PATH": path,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": TMP,
        "SHELL": str(shell),
        "OPENCODE_CONFIG": str(config),
        "OPENCODE_CONFIG_CONTENT": msgspec.json.encode(fixed).decode(),
        "OPENCODE_SERVER_PASSWORD": password,
        INSTANCE_VARIABLE: instance,
        **dict.fromkeys(_SWITCHED_OFF, "1"),
    }


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
