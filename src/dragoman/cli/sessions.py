"""`dragoman sessions`: what happened and where each session stands, read from the ledger; no service is needed."""

from __future__ import annotations

import time
from datetime import datetime
from typing import get_args

import click

from dragoman import config
from dragoman.cli.as_json import echo_json
from dragoman.cli.control import complete, reactivate
from dragoman.cli.export import FORMATS, Form, take, written
from dragoman.cli.journal import plain, tell
from dragoman.cli.ledger_file import fail, look
from dragoman.core.session import Session, live_turn
from dragoman.core.status import Status
from dragoman.ids import SessionId
from dragoman.ledger import numbers, read
from dragoman.ledger.read import Details, EffectLine, JournalLine, Line, Summary
from dragoman.ledger.tx import Tx

WIDTH = 100  # columns
WATCH_S = 0.5  # between two looks at the journal
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="For programs; times are seconds since the epoch.")


@click.group("sessions")
def command() -> None:
    """List, show, watch or export sessions, complete or reactivate them.

    Needs only DRAGOMAN_DATA_DIR or SESSION_STORAGE_URL. Exit codes: 0, 1 not found or unreadable, 78 wrong settings.
    """


command.add_command(complete)
command.add_command(reactivate)


@command.command("list")
@click.option("--status", type=click.Choice(get_args(Status)), help="Only sessions of this status.")
@click.option("--issue", help="Only sessions of this issue, ENG-1.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The newest so many.")
@_AS_JSON
def list_sessions(status: Status | None, issue: str | None, limit: int, as_json: bool) -> None:
    """List sessions, newest first."""
    key = issue.upper() if issue else None
    found = look(lambda tx: read.sessions(tx, status=status, issue_key=key, limit=limit))
    if as_json:
        echo_json(found)
        return
    _print(f"{'ID':<36}  {'ISSUE':<10}  {'STATUS':<9}  {'PHASE':<8}  {'OPENED':<16}  {'MOVED'}")
    for one in found:
        _print(_row(one))
    if not found:
        click.echo("No session.", err=True)


@command.command("show")
@click.argument("session")
@_AS_JSON
def show(session: str, as_json: bool) -> None:
    """Show one session: where it stands, what was said, what happened, what is still to be done.

    SESSION is its id, or the beginning of it.
    """
    found = _chosen(session)
    if as_json:
        echo_json(read.as_json(found))
        return
    for line in _shown(found):
        _print(line)


@command.command("export")
@click.argument("session")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="json",
    show_default=True,
    help="json or ndjson can be replayed.",
)
def export(session: str, form: Form) -> None:
    """Write one session to standard output, whole: state, conversation, journal; secrets are masked. `replay` decides by
    the rules in the service's TOML file as it is now: run this in the service's folder, or with its DRAGOMAN_CONFIG.

    SESSION is its id, or the beginning of it.
    """
    found = _chosen(session).summary.id
    rules = config.load_rules()
    if form != "markdown" and not rules.routing.places:
        click.echo(
            "The service's TOML file is not here, so a replay of this goes by the defaults. See --help.", err=True
        )
    exported = look(lambda tx: take(tx, found, rules))
    click.echo(written(exported, form), nl=False)


@command.command("watch")
@click.argument("session")
@click.option("--until-settled", is_flag=True, help="End when no turn is under way.")
def watch(session: str, until_settled: bool) -> None:
    """Follow one session's journal until interrupted.

    SESSION is its id, or the beginning of it.
    """
    id_, seen, live = _chosen(session).summary.id, 0, True

    def news(tx: Tx) -> tuple[list[JournalLine], bool]:
        return read.journal_after(tx, id_, seen), id_ in numbers.live_turns(tx)

    try:
        while live or not until_settled:
            lines, live = look(news)
            for line in lines:
                _print(_event(line).removeprefix("  "))
                seen = line.n
            live = live or len(lines) == read.LINES
            if not lines:
                time.sleep(WATCH_S)  # the service is another process, and the ledger's file calls nobody
    except KeyboardInterrupt:
        return


def _chosen(session: str) -> Details:
    """The session that is meant; the process ends with a word when there is none, or several."""
    found = look(lambda tx: _find(tx, session))
    if isinstance(found, list):
        several = f"Several sessions begin with {session!r}: {', '.join(found)}" if found else None
        fail(several or f"No session has the id {session!r}. `dragoman sessions list` shows those that there are.")
    return found


def _find(tx: Tx, prefix: str) -> Details | list[SessionId]:
    """The one session that is meant, or those that could be."""
    ids = read.ids_beginning(tx, prefix) if prefix else []
    exact = [id_ for id_ in ids if id_ == prefix] or ids
    details = read.details(tx, exact[0]) if len(exact) == 1 else None
    return details if details is not None else exact


# ── for people ───────────────────────────────────────────────────────────
def _row(one: Summary) -> str:
    moved = _ago(time.time() - one.updated_at)
    return (
        f"{one.id:<36}  {plain(one.issue_key or '-'):<10}  {one.status:<9}  {one.phase:<8}  "
        f"{_at(one.created_at):%Y-%m-%d %H:%M}  {moved}"
    )


def _shown(details: Details) -> list[str]:
    one, session = details.summary, details.session
    lines = [
        f"Session  {one.id}",
        f"Issue    {_issue(session)}",
        f"Status   {one.status} ({_phase(session)})",
        f"Changes  {', '.join(f'{change.status} {_at(change.at):%m-%d %H:%M:%S}' for change in details.statuses)}",
        f"Opened   {_at(one.created_at):%Y-%m-%d %H:%M:%S}, last moved {_ago(time.time() - one.updated_at)}",
    ]
    if session.workspace is not None:
        lines += [f"Branch   {session.workspace.branch} of {session.workspace.repository}"]
        lines += [f"Folder   {session.workspace.directory}"]
    if session.thread is not None:
        lines += [f"Thread   {session.thread}"]
    lines += ["", "Conversation", *(map(_said, details.messages) if details.messages else ["  nothing yet"])]
    lines += ["", "Journal", *_journal(details)]
    lines += ["", "Still to be done", *(map(_open, details.effects) if details.effects else ["  nothing"])]
    return lines


def _issue(session: Session) -> str:
    return plain(f"{session.issue.key} {session.issue.title}") if session.issue is not None else "none"


def _phase(session: Session) -> str:
    turn, phase = live_turn(session), type(session.phase).__name__
    if turn is None:
        return f"{phase} after {session.turns} turns" if session.turns != 1 else f"{phase} after 1 turn"
    waits = f", waits: {turn.waiting}" if turn.waiting else ""
    return f"{phase}, turn {turn.number}, attempt {turn.attempts}{waits}"


def _said(line: Line) -> str:
    return f"  {_at(line.at):%m-%d %H:%M:%S}  {f'#{line.turn}':<4} {plain(line.author or line.role):<16}  {plain(line.text)}"


def _journal(details: Details) -> list[str]:
    return [_event(line) for line in details.journal]


def _event(line: JournalLine) -> str:
    told = tell(line)
    turn = f"#{told.turn}" if told.turn is not None else ""
    return f"  {_at(line.at):%m-%d %H:%M:%S}  {turn:<4} {line.kind:<16}  {told.what}"


def _open(effect: EffectLine) -> str:
    due = effect.due_at - time.time()
    when = (
        "under way" if effect.claimed else "in line" if not effect.head else f"due {_ago(-due)}" if due > 0 else "due"
    )
    tries = f", tried {effect.attempts}×" if effect.attempts else ""
    error = f": {plain(effect.error)}" if effect.error else ""
    return f"  {effect.kind:<18} {effect.lane or '-':<8} {when}{tries}{error}"


def _ago(seconds: float) -> str:
    """A span in one unit; a negative one lies ahead."""
    span = abs(seconds)
    words = f"{span:.0f} s"
    for size, name in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if span >= size:
            words = f"{span / size:.0f} {name}"
            break
    return f"in {words}" if seconds < 0 else f"{words} ago"


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds).astimezone()


def _print(line: str) -> None:
    click.echo((line if len(line) <= WIDTH else line[: WIDTH - 1] + "…").rstrip())
