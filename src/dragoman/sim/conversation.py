"""What a scripted model reads from a request: which story plays, and how far it is.

The place in the story follows from the conversation alone, so a restarted or resumed agent goes on where it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.record import Record
from dragoman.sim.script import Say, Step, Story

_TAG = re.compile(r"\[story=([A-Za-z0-9_.-]+)\]")
# A request may come between tags that say whose words they are; a model would repeat the words alone.
_TAGGED = re.compile(r'<(\S+) kind="request">\n(.*?)\n</\1>', re.DOTALL)
_DIRECTORY = re.compile(r"Working directory:\s*(\S.*?)\s*$", re.MULTILINE)


class Place(Record):
    """Where a conversation stands.

    story   the story that plays; step  how many of its answers were given since it began
    script  "steps" or "after"
    key     the same for the same step of the same conversation, however often it is asked for
    users   all user texts, oldest first
    words   what the placeholders of a script stand for
    """

    story: str
    step: int
    script: str
    key: str
    users: tuple[str, ...]
    words: dict[str, str]


def place_of(messages: Sequence[Mapping[str, Any]], stories: Mapping[str, Story], default: str) -> Place:
    """Find the place: the newest user text with a tag [story=name] begins a story; without any tag the first
    user text begins the default one. Every answer of the model after that is one step.
    """
    name, begin = default, _first_user(messages)
    for number, message in enumerate(messages):
        tags = _TAG.findall(text_of(message)) if message.get("role") == "user" else []
        if tags:
            name, begin = tags[-1], number
    story = stories.get(name)
    step, script, length = 0, "steps", len(story.steps) if story else 1
    for message in messages[begin + 1 :]:
        if message.get("role") == "assistant":
            step += 1
        elif message.get("role") == "user" and step >= length:
            step, script, length = 0, "after", max(1, len(story.after)) if story else 1
    users = tuple(text_of(message) for message in messages if message.get("role") == "user")
    digest = hashlib.sha256("\0".join((*users, name, script, str(step))).encode()).hexdigest()[:16]
    return Place(story=name, step=step, script=script, key=digest, users=users, words=_words(messages, users))


def step_at(place: Place, stories: Mapping[str, Story]) -> Step:
    """What the model answers at a place."""
    story = stories.get(place.story)
    if story is None:
        return (Say(text=f"There is no story called {place.story}."),)
    steps = story.after if place.script == "after" else story.steps
    if place.step < len(steps):
        return steps[place.step]
    return (Say(text="You wrote: {newest}"),)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part["text"]) for part in content or () if isinstance(part, Mapping) and "text" in part)


def files_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The MIME types of what user messages hold beside text, as data URLs."""
    kinds = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) and message.get("role") == "user" else ():
            held = part.get("image_url", part.get("file")) if isinstance(part, Mapping) else None
            if isinstance(held, Mapping):
                address = str(held.get("url", held.get("file_data", "")))
                kinds.append(address.removeprefix("data:").partition(";")[0])
    return tuple(kinds)


def _first_user(messages: Sequence[Mapping[str, Any]]) -> int:
    return next((number for number, message in enumerate(messages) if message.get("role") == "user"), len(messages))


def _words(messages: Sequence[Mapping[str, Any]], users: Sequence[str]) -> dict[str, str]:
    system = "\n".join(text_of(message) for message in messages if message.get("role") == "system")
    directory = _DIRECTORY.search(system)
    tools: dict[str, str] = {}  # tool call id -> tool
    answer = result = ""
    for message in messages:
        for call in message.get("tool_calls") or ():
            tools[str(call.get("id"))] = str(call.get("function", {}).get("name"))
        if message.get("role") == "tool":
            result = text_of(message)
            if tools.get(str(message.get("tool_call_id"))) == "question":
                answer = result
    newest = users[-1] if users else ""
    if tagged := _TAGGED.findall(newest):
        newest = tagged[-1][1]
    newest = _TAG.sub("", newest).strip()
    return {"cwd": directory.group(1) if directory else ".", "newest": newest, "answer": answer, "result": result}
