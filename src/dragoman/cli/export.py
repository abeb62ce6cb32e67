"""A session as a file: whole for programs (json, ndjson), or to be read (markdown). json and ndjson can be replayed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from dragoman import logs
from dragoman.cli.journal import plain, tell
from dragoman.core.limits import Rules
from dragoman.core.session import Session
from dragoman.ids import SessionId
from dragoman.ledger import read
from dragoman.ledger.read import JournalLine, Line, body_of
from dragoman.ledger.tx import Tx
from dragoman.record import Record

Form = Literal["json", "ndjson", "markdown"]
FORMATS: tuple[Form, ...] = get_args(Form)
EVERYTHING = 10_000_000  # lines


class Heard(Record):
    """A line of the journal. `v` is the version in which the event was stored; `cut`: long texts in it were cut."""

    n: int
    at: float
    kind: str
    v: int = 0
    cut: bool = False
    event: dict[str, Any] | None = None


class Exported(Record):
    """All of a session.

    rules  the operator's limits as they are at the export; the machine decides by them
    """

    session: Session
    rules: Rules
    journal: tuple[Heard, ...] = ()
    messages: tuple[Line, ...] = ()


class Head(Record):
    """The first line of ndjson."""

    session: Session
    rules: Rules


class Unreadable(Exception):
    """The text is no exported session; the message says why."""


def take(tx: Tx, session: SessionId, rules: Rules) -> Exported:
    """Everything about a session that is there. Raises LookupError when it is not."""
    details = read.details(tx, session)
    if details is None:
        raise LookupError(session)
    return Exported(
        session=details.session,
        rules=rules,
        journal=tuple(_heard(line) for line in read.journal_after(tx, session, limit=EVERYTHING)),
        messages=tuple(read.conversation(tx, session, EVERYTHING)),
    )


def written(exported: Exported, form: Form) -> str:
    """The text of the file, ending in a line break; without secrets."""
    match form:
        case "json":
            return msgspec.json.format(_encoded(exported), indent=2).decode() + "\n"
        case "ndjson":
            records = (Head(session=exported.session, rules=exported.rules), *exported.journal, *exported.messages)
            return "".join(_encoded(record).decode() + "\n" for record in records)
        case "markdown":
            return logs.masked("\n".join(_markdown(exported)) + "\n")


def read_back(text: str) -> Exported:
    """What `written` made of json or ndjson. Raises Unreadable."""
    try:
        if not text.lstrip().startswith('{"type":"Head"'):
            return msgspec.json.decode(text, type=Exported)
        first, *rest = [msgspec.json.decode(line, type=Head | Heard | Line) for line in text.splitlines() if line]
    except msgspec.DecodeError as error:
        raise Unreadable(f"this is no session that was exported as json or ndjson: {error}") from None
    if not isinstance(first, Head):
        raise Unreadable("the first line does not tell of the session")
    return Exported(
        session=first.session,
        rules=first.rules,
        journal=tuple(record for record in rest if isinstance(record, Heard)),
        messages=tuple(record for record in rest if isinstance(record, Line)),
    )


def _encoded(record: Record) -> bytes:
    return msgspec.json.encode(logs.masked_within(msgspec.to_builtins(record)))


def _heard(line: JournalLine) -> Heard:
    body = body_of(line)
    event = body.get("value")
    return Heard(
        n=line.n,
        at=line.at,
        kind=line.kind,
        v=int(body.get("v", 0)),
        cut=bool(body.get("cut")),
        event=event if isinstance(event, dict) else None,
    )


# ── to be read ───────────────────────────────────────────────────────────
def _markdown(exported: Exported) -> list[str]:
    session = exported.session
    title = plain(f"{session.issue.key} {session.issue.title}") if session.issue is not None else session.id
    lines = [f"# {title}", "", f"- Session: `{session.id}`", f"- Turns: {session.turns}"]
    if session.workspace is not None:
        lines += [f"- Repository: {session.workspace.repository}, branch `{session.workspace.branch}`"]
    lines += ["", "## Conversation"]
    for said in exported.messages:
        lines += [
            "",
            f"**{plain(said.author or said.role)}**, {_at(said.at)}, turn {said.turn}",
            "",
            *_quoted(said.text),
        ]
    lines += ["", "## Journal", "", "| time (UTC) | turn | event | what |", "|---|---|---|---|"]
    for heard in exported.journal:
        body = json.dumps({"value": heard.event})
        told = tell(JournalLine(n=heard.n, at=heard.at, kind=heard.kind, body=body))
        what = told.what[:200].replace("|", "\\|")
        lines += [f"| {_at(heard.at)} | {told.turn or ''} | {heard.kind} | {what} |"]
    return lines


def _quoted(text: str) -> list[str]:
    # Quoted: what people and the agent wrote must not pass for a part of this document.
    return [f"> {line}".rstrip() for line in text.splitlines()] or ["> "]


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
