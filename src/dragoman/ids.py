"""Every identifier has a type of its own, and those we make are derived, so that making one twice gives the same one.

An outward write may be repeated after a crash. It carries an id derived from what it is (session, turn, part, stage):
the repetition carries the same id and is refused or absorbed by the other side.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import NamedTuple, NewType

OrganizationId = NewType("OrganizationId", str)  # Linear's tenant, UUID
SessionId = NewType("SessionId", str)  # Linear agent session, UUID, or `library_session_id`; the key of everything
IssueId = NewType("IssueId", str)  # UUID; the issue *key* is "ENG-12"
CommentId = NewType("CommentId", str)  # UUID of a comment in Linear; UUID v4, as activities have, for those we write
UserId = NewType("UserId", str)  # UUID of a person in Linear
ActivityId = NewType("ActivityId", str)  # UUID v4, made by us for what we post, by Linear for what people post
HostId = NewType("HostId", str)  # one data folder with its OpenCode server and workspaces
RunId = NewType("RunId", str)  # ours: "<session>/<turn>", one per prompt-to-settled run
AskId = NewType("AskId", str)  # OpenCode permission ("per_…") or question ("que_…") request
AgentThread = NewType("AgentThread", str)  # OpenCode session, "ses_…"
MessageId = NewType("MessageId", str)  # OpenCode message, "msg_…"
PartId = NewType("PartId", str)  # OpenCode part of a message, "prt_…"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def library_session_id(issue: str, user: str, at: float, chance: str) -> SessionId:
    """The id of a session that a program makes: `session_<issue>_<user>_<ms>_<random>`.

    at      seconds since the epoch
    chance  tells two of one millisecond apart
    """
    return SessionId(f"session_{issue}_{user}_{int(at * 1000)}_{chance}")


class Thread(NamedTuple):
    """A thread of comments: the issue it is on, and its first comment."""

    issue: IssueId
    root: CommentId


def thread_session_id(thread: Thread) -> SessionId:
    """The id of the conversation in a thread of comments: `comment_<issue>_<root>`."""
    return SessionId(f"comment_{thread.issue}_{thread.root}")


def thread_of(session: SessionId) -> Thread | None:
    """The thread of comments that a session is held in; None for all other sessions."""
    kind, _, rest = session.partition("_")
    issue, _, root = rest.partition("_")
    return Thread(IssueId(issue), CommentId(root)) if kind == "comment" and issue and root else None


def run_id(session: SessionId, turn: int) -> RunId:
    """The run of a session's turn, counted from 1."""
    return RunId(f"{session}/{turn}")


def session_of(run: RunId) -> SessionId:
    """The session that a run belongs to."""
    return SessionId(run.rpartition("/")[0])


def activity_id(session: SessionId, turn: int, stage: str = "final") -> ActivityId:
    """The id of what we post at a stage of a turn.

    Linear wants UUID v4; ours has its shape (version and variant bits) over a digest.
    The final activity of a turn depends on session and turn alone, since parts change when a run is resumed.
    """
    digest = hashlib.sha256(f"{session}\0{turn}\0{stage}".encode()).digest()
    return ActivityId(str(uuid.UUID(bytes=digest[:16], version=4)))


def message_id(run: RunId, ordinal: int, sent_at: float) -> MessageId:
    """The id of the `ordinal`-th message that we send in a run, in OpenCode's format.

    sent_at  seconds since the epoch; OpenCode's own ids begin with the time (12 hex digits of ms * 4096, modulo 2^48)
    """
    return MessageId("msg_" + _opencode_suffix(f"{run}\0{ordinal}", sent_at))


def part_id(message: MessageId) -> PartId:
    """The id of the one text part of a message that we send."""
    return PartId("prt_" + message.removeprefix("msg_"))


def file_part_id(message: MessageId, number: int) -> PartId:
    """The id of a file that goes with a message that we send, counted from 0."""
    clock, letters = message[4:16], _letters(f"{message}\0file\0{number}")
    return PartId(f"prt_{clock}{letters}")


def _opencode_suffix(name: str, at: float) -> str:
    clock = (int(at * 1000) * 4096) % (1 << 48)
    return f"{clock:012x}{_letters(name)}"


def _letters(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:12], "big")
    letters = []
    for _ in range(14):
        number, letter = divmod(number, 62)
        letters.append(_BASE62[letter])
    return "".join(letters)
