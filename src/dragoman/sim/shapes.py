"""Which shapes of input a pretend Linear takes, checked as Linear's server checks them.

Source  linear.app/developers/agent-interaction and agent-signals; the limits of `summary` from Linear's SDK 98
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from dragoman.sim.records import Link
from dragoman.sim.refusals import Refused

_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # type -> required, optional
    "thought": (("body",), ()),
    "action": (("action", "parameter"), ("result",)),
    "elicitation": (("body",), ()),
    "response": (("body",), ()),
    "error": (("body",), ()),
}
_MAY_BE_EMPTY = ("parameter", "result")
EPHEMERAL_KINDS = ("thought", "action")
_PLAN_STATUSES = ("pending", "inProgress", "completed", "canceled")
_SUMMARY_LIMIT = 255


def check_uuid4(text: str) -> None:
    """Refuse an id that is not a UUID of version 4."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        parsed = uuid.UUID(int=0)
    if parsed.version != 4 or str(parsed) != text.lower():
        raise Refused("id must be a UUID of version 4")


def content_of(content: object) -> dict[str, str]:
    """The content of an activity when it has exactly the documented shape."""
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise Refused("content must be an object with a type")
    kind: str = content["type"]
    if kind not in _FIELDS:
        raise Refused(f"content.type {kind} cannot be created by an agent")
    required, optional = _FIELDS[kind]
    checked = {"type": kind}
    for name, value in content.items():
        if name == "type":
            continue
        if name not in required and name not in optional:
            raise Refused(f"content.{name} should not exist for type {kind}")
        if value is None and name in optional:
            continue
        if not isinstance(value, str):
            raise Refused(f"content.{name} must be a string")
        if name not in _MAY_BE_EMPTY and not value.strip():
            raise Refused(f"content.{name} should not be empty")
        checked[name] = value
    for name in required:
        if name not in checked:
            raise Refused(f"content.{name} is required for type {kind}")
    return checked


def check_signal(kind: str, signal: str | None, metadata: dict[str, object] | None) -> None:
    """Refuse a signal that an agent cannot send with this type, or whose metadata is incomplete."""
    if signal is None:
        return
    if signal not in ("auth", "select") or kind != "elicitation":
        raise Refused(f"Signal {signal} cannot be used with an activity of type {kind}.")
    metadata = metadata or {}
    if signal == "auth" and not isinstance(metadata.get("url"), str):
        raise Refused("signalMetadata.url is required for auth")
    if signal == "select":
        options = metadata.get("options")
        if not isinstance(options, list) or not options:
            raise Refused("signalMetadata.options is required for select")
        for option in options:
            if not isinstance(option, dict) or not isinstance(option.get("value"), str):
                raise Refused("every option needs a value")
            if not isinstance(option.get("label", ""), str):
                raise Refused("the label of an option must be a string")


def plan_of(plan: object) -> object:
    """The whole plan, replaced each time: an array although the scalar says object (agent-interaction)."""
    if plan is None:
        return None
    if not isinstance(plan, list):
        raise Refused("plan must be an array")
    for step in plan:
        if not isinstance(step, dict) or set(step) != {"content", "status"}:
            raise Refused("every step of a plan has content and status")
        if not isinstance(step["content"], str) or not step["content"].strip():
            raise Refused("the content of a step should not be empty")
        if step["status"] not in _PLAN_STATUSES:
            raise Refused(f"the status of a step must be one of {', '.join(_PLAN_STATUSES)}")
    return plan


def summary_of(summary: object) -> str | None:
    """The title of a session, or None to clear it."""
    if summary is None:
        return None
    if not isinstance(summary, str) or not summary.strip() or len(summary) > _SUMMARY_LIMIT:
        raise Refused(f"summary must be 1 to {_SUMMARY_LIMIT} characters")
    if any(forbidden in summary for forbidden in "\r\n\0"):
        raise Refused("summary must be one line")
    return summary


def links_of(links: tuple[Link, ...], changes: Mapping[str, Any]) -> tuple[Link, ...]:
    """The links of a session after an update."""
    if changes.get("externalUrls") is not None:  # replaces all; then added and removed are ignored
        links = tuple(Link(label=link["label"], url=link["url"]) for link in changes["externalUrls"])
    else:
        removed = changes.get("removedExternalUrls") or ()
        kept = [link for link in links if link.url not in removed]
        for link in changes.get("addedExternalUrls") or ():
            kept = [old for old in kept if old.url != link["url"]] + [Link(label=link["label"], url=link["url"])]
        links = tuple(kept)
    if len({link.url for link in links}) != len(links):
        raise Refused("externalUrls must be unique by url")
    for link in links:
        if not link.url.startswith(("http://", "https://")) or not link.label.strip():
            raise Refused("externalUrls need a label and an http(s) url")
    return links
