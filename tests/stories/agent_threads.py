"""What a pretend OpenCode remembers: threads, their messages and parts, as dictionaries in OpenCode's own spelling.

Every change is told to whoever reads the event stream. What streams is not remembered until it has ended, as in the
real one: a server that dies forgets the text that was on its way.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

Wire = dict[str, Any]
Emit = Callable[[str, str, Wire], None]  # directory, kind, properties

RESUMED = "Your run was interrupted"  # how the service begins what it tells an agent that was cut
_numbers = itertools.count(1)


def new_id(prefix: str) -> str:
    """An id that sorts by age."""
    return f"{prefix}_{int(time.time() * 1000) * 4096 % (1 << 48):012x}{next(_numbers):014d}"


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


class Thread:
    """An OpenCode session. `partial` is the text that streams now, `allowed` what "always" covers."""

    def __init__(self, directory: str, body: Wire, emit: Emit, *, parent: str | None = None) -> None:
        self.id = new_id("ses")
        self.directory = directory
        self.title = str(body.get("title") or "New session")
        self.metadata: Wire = body.get("metadata") or {}
        self.rules: list[Wire] = body.get("permission") or []
        self.parent = parent
        self.messages: list[Wire] = []
        self.status: Wire = {"type": "idle"}
        self.partial: dict[str, str] = {}
        self.allowed: set[str] = set()
        self.fresh: set[str] = set()  # user messages that came while nothing ran: they begin a run
        self._emit = emit
        self.emit("session.created", info=self.info())

    def info(self) -> Wire:
        """As `GET /session/:id` shows it."""
        info = {
            "id": self.id,
            "slug": "quiet-meadow",
            "version": "1.18.33",
            "projectID": "p",
            "directory": self.directory,
            "title": self.title,
            "metadata": self.metadata,
            "time": {"created": now_ms(), "updated": now_ms()},
        }
        return info | ({"parentID": self.parent} if self.parent else {})

    def emit(self, kind: str, **properties: Any) -> None:
        """Tell the readers of the stream."""
        self._emit(self.directory, kind, {"sessionID": self.id, **properties})

    def set_status(self, kind: str, **more: Any) -> None:
        """Be idle, busy or waiting to retry; idle is told twice over, as the real one does."""
        self.status = {"type": kind, **more}
        self.emit("session.status", status=self.status)
        if kind == "idle":
            self.emit("session.idle")

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return bool(self.status["type"] != "idle")

    # ── messages ─────────────────────────────────────────────────────────
    def message(self, message_id: str) -> Wire | None:
        """One message."""
        return next((known for known in self.messages if known["info"]["id"] == message_id), None)

    def users(self) -> list[Wire]:
        """What was said to the agent, oldest first; what OpenCode tells itself is left out."""
        return [known for known in self.messages if known["info"]["role"] == "user" and not is_own(known)]

    def admit(self, body: Wire) -> bool:
        """Store a prompt; whether it must be answered (again). Known ids overwrite the stored text."""
        message_id = str(body.get("messageID") or new_id("msg"))
        parts = [
            {**part, "id": part.get("id") or new_id("prt"), "messageID": message_id, "sessionID": self.id}
            for part in body["parts"]
        ]
        known = self.message(message_id)
        if known is not None:
            known["parts"] = parts
            after = self.messages[self.messages.index(known) + 1 :]
            newer = any(other["info"]["role"] == "user" for other in after)
            return newer or not _answered(after)
        if not self.busy and self._rested() and RESUMED not in "".join(part.get("text", "") for part in parts):
            self.fresh.add(message_id)
        info = {"id": message_id, "role": "user", "sessionID": self.id, "time": {"created": now_ms()}}
        self.put({"info": info | {"agent": body.get("agent"), "model": body.get("model")}, "parts": parts})
        return True

    def _rested(self) -> bool:
        if not self.messages:
            return True
        last = self.messages[-1]["info"]
        return bool(last["role"] == "assistant" and "completed" in last["time"])

    def put(self, message: Wire) -> Wire:
        """Add a message with its parts."""
        self.messages.append(message)
        self.emit("message.updated", info=message["info"])
        for part in message["parts"]:
            self.emit("message.part.updated", part=part, time=now_ms())
        return message

    def answer(self, parent: str, *, summary: bool = False) -> Wire:
        """Begin an assistant message."""
        info: Wire = {
            "id": new_id("msg"),
            "parentID": parent,
            "role": "assistant",
            "mode": "compaction" if summary else "build",
            "agent": "build",
            "path": {"cwd": self.directory, "root": self.directory},
            "cost": 0,
            "tokens": {"input": 100, "output": 20, "reasoning": 0, "cache": {"read": 0, "write": 0}},
            "modelID": "story",
            "providerID": "scripted",
            "time": {"created": now_ms()},
            "sessionID": self.id,
        }
        return self.put({"info": info | ({"summary": True} if summary else {}), "parts": []})

    def finish(self, message: Wire, finish: str) -> None:
        """End an assistant message, in the two writes of the real one."""
        self.put_part(message, {"id": new_id("prt"), "type": "step-finish", "reason": finish, "cost": 0.0001})
        message["info"]["finish"] = finish
        self.emit("message.updated", info=message["info"])
        message["info"]["time"]["completed"] = now_ms()
        self.emit("message.updated", info=message["info"])

    # ── parts ────────────────────────────────────────────────────────────
    def put_part(self, message: Wire, part: Wire) -> Wire:
        """Add or change a part of a message."""
        part |= {"messageID": message["info"]["id"], "sessionID": self.id}
        for place, known in enumerate(message["parts"]):
            if known["id"] == part["id"]:
                message["parts"][place] = part
                break
        else:
            message["parts"].append(part)
        self.emit("message.part.updated", part=part, time=now_ms())
        return part

    def begin_text(self, message: Wire, kind: str) -> Wire:
        """Begin a text or reasoning part."""
        return self.put_part(message, {"id": new_id("prt"), "type": kind, "text": "", "time": {"start": now_ms()}})

    def stream(self, message: Wire, part: Wire, piece: str) -> None:
        """One piece of a text; it is not remembered before the text has ended."""
        self.partial[part["id"]] = self.partial.get(part["id"], "") + piece
        self.emit("message.part.delta", messageID=message["info"]["id"], partID=part["id"], field="text", delta=piece)

    def end_text(self, message: Wire, part: Wire) -> None:
        """The text is whole, or was cut by an abort: what there is of it is kept."""
        text = self.partial.pop(part["id"], part["text"])
        self.put_part(message, {**part, "text": text, "time": {**part["time"], "end": now_ms()}})

    def put_tool(self, message: Wire, part_id: str, tool: str, **state: Any) -> Wire:
        """A state of a tool call."""
        return self.put_part(
            message, {"id": part_id, "type": "tool", "tool": tool, "callID": f"call_{part_id}", "state": state}
        )


def text_of(message: Wire) -> str:
    """The text of a message."""
    return "".join(part.get("text", "") for part in message["parts"])


def is_own(message: Wire) -> bool:
    """Whether OpenCode tells itself this: a compaction, or to go on after one."""
    return any(part["type"] == "compaction" or part.get("synthetic") for part in message["parts"])


def started_tool(message: Wire) -> bool:
    """Whether a tool call of the message was started."""
    return any(part["type"] == "tool" and part["state"]["status"] != "pending" for part in message["parts"])


def _answered(after: list[Wire]) -> bool:
    return bool(after) and after[-1]["info"].get("finish") == "stop" and "completed" in after[-1]["info"]["time"]
