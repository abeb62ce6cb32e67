"""Recordings of a real server (1.18.33), and a fold of their events into what REST would have said at a moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dragoman.ids import AgentThread, MessageId, RunId
from dragoman.opencode import wire, wire_events
from dragoman.opencode.inbound import Fact, RunView, Verdict
from dragoman.opencode.picture import Snapshot

FOLDER = Path(__file__).parent.parent / "recordings" / "opencode"
RUN = RunId("5e551011-0000-4000-8000-000000000001/1")


class Recording:
    """One trace: its events, the thread it is about, and the user messages that were sent in it."""

    def __init__(self, name: str) -> None:
        lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
        raw: list[dict[str, Any]] = [json.loads(line)["ev"] for line in lines]
        threads = {
            event["properties"]["info"]["id"]: event["properties"]["info"]
            for event in raw
            if event["type"] == "session.created" and "parentID" not in event["properties"]["info"]
        }
        self.thread = AgentThread(next(iter(threads)))
        self.directory: str = threads[self.thread]["directory"]
        self.events = [event for each in raw if (event := decoded(each)) is not None]
        self.messages = tuple(dict.fromkeys(self._sent()))

    def _sent(self) -> Iterable[MessageId]:
        for event in self.events:
            if isinstance(event, wire_events.PartUpdated):
                part = event.properties.part
                if part.type == "text" and part.time is None and not part.synthetic and part.sessionID == self.thread:
                    yield MessageId(part.messageID)

    def view(self) -> RunView:
        return RunView(RUN, self.thread, self.directory, self.messages or (MessageId("msg_never_stored"),))

    def told(self) -> list[Fact]:
        """What a view tells that hears every event once."""
        view = self.view()
        found: list[Fact] = []
        for event in self.events:
            view.apply_event(event)
            found += view.facts()
        return found

    def outcome(self) -> Verdict | None:
        """How the run ended, by all events and two snapshots a few seconds apart."""
        view = self.view()
        for event in self.events:
            view.apply_event(event)
        return agreed(view, Rest(self, self.events))


class Rest:
    """What the server would answer after these events."""

    def __init__(self, recording: Recording, events: Iterable[wire_events.WireEvent]) -> None:
        self.thread = recording.thread
        self.infos: dict[str, wire.MessageInfo] = {}
        self.parts: dict[str, dict[str, wire.Part]] = {}
        self.statuses: dict[str, wire.Status] = {}
        self.children: list[str] = []
        self.permissions: dict[str, wire.Permission] = {}
        self.questions: dict[str, wire.QuestionRequest] = {}
        for event in events:
            self.hear(event)

    def hear(self, event: wire_events.WireEvent) -> None:
        match event:
            case wire_events.MessageUpdated():
                self.infos[event.properties.info.id] = event.properties.info
            case wire_events.PartUpdated():
                part = event.properties.part
                self.parts.setdefault(part.messageID, {})[part.id] = part
            case wire_events.SessionStatus():
                self.statuses[event.properties.sessionID] = event.properties.status
            case wire_events.SessionIdle():
                self.statuses[event.properties.sessionID] = wire.Status("idle")
            case wire_events.SessionCreated() if event.properties.info.parentID == self.thread:
                self.children.append(event.properties.info.id)
            case wire_events.PermissionAsked():
                self.permissions[event.properties.id] = event.properties
            case wire_events.QuestionAsked():
                self.questions[event.properties.id] = event.properties
            case wire_events.PermissionReplied() | wire_events.QuestionReplied() | wire_events.QuestionRejected():
                self.permissions.pop(event.properties.requestID, None)
                self.questions.pop(event.properties.requestID, None)
            case _:
                pass

    def snapshot(self, at: float) -> Snapshot:
        idle = wire.Status("idle")
        return Snapshot(
            at=at,
            status=self.statuses.get(self.thread, idle),
            messages=[
                wire.Message(info, list(self.parts.get(info.id, {}).values()))
                for info in self.infos.values()
                if info.sessionID == self.thread
            ],
            permissions=list(self.permissions.values()),
            questions=list(self.questions.values()),
            children={child: self.statuses.get(child, idle) for child in self.children},
        )


def agreed(view: RunView, rest: Rest) -> Verdict | None:
    """The verdict on which two reads, five seconds apart, agree; None when they do not."""
    view.apply_snapshot(rest.snapshot(1_000.0))
    first = view.settled()
    view.apply_snapshot(rest.snapshot(1_005.0))
    second = view.settled(first)
    return second if second is not None and second.confirmed else None


def decoded(event: dict[str, Any]) -> wire_events.WireEvent | None:
    """An event as the stream would hand it out; None for kinds that are not read."""
    payload = json.dumps({"directory": "/", "payload": event}, separators=(",", ":")).encode()
    kind, _ = wire_events.peek(payload)
    return wire_events.decode_envelope(payload).payload if kind in wire_events.KINDS else None


def messages_of(name: str) -> list[wire.Message]:
    """A list of messages as REST gave it."""
    return msgspec.json.decode((FOLDER / f"{name}_messages.json").read_bytes(), type=list[wire.Message])
