"""`dragoman replay`: an exported session goes through the machine again, and each decision is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

import click
import msgspec

from dragoman import logs
from dragoman.cli.export import Exported, Heard, Unreadable, read_back
from dragoman.cli.journal import plain
from dragoman.cli.ledger_file import fail
from dragoman.core.effects import Effect, Post
from dragoman.core.session import Session
from dragoman.core.step import step
from dragoman.errors import LedgerError
from dragoman.ledger import codec
from dragoman.record import Record


class Decision(Record):
    """What the machine decided.

    event    None when the stored one cannot be read
    effects  that it asked for, in order
    """

    heard: Heard
    before: Session
    after: Session
    effects: tuple[Effect, ...] = ()
    readable: bool = True


def decisions(exported: Exported) -> Iterator[Decision]:
    """Fold the journal through the machine, from a session of which nothing has happened yet."""
    known = exported.session
    session = Session(id=known.id, organization=known.organization, host=known.host)
    for heard in exported.journal:
        try:
            stored = msgspec.json.encode({"v": heard.v, "value": heard.event}).decode()
            event = codec.decode_event(stored)
        except LedgerError:
            yield Decision(heard=heard, before=session, after=session, readable=False)
            continue
        decided = step(session, event, heard.at, exported.rules)
        yield Decision(heard=heard, before=session, after=decided.session, effects=decided.effects)
        session = decided.session


@click.command("replay")
@click.argument("file", type=click.File(encoding="utf-8"))
def command(file: TextIO) -> None:
    """Play a session again from FILE, which `dragoman sessions export --format json` (or ndjson) wrote; - is standard input.

    Nothing is done and nobody is asked: each line tells an event, the phase before and after it, and the effects it
    asked for. Exit codes: 0 it ends where the stored session stands, 1 it does not or FILE cannot be read.
    """
    try:
        exported = read_back(file.read())
    except (Unreadable, UnicodeDecodeError) as error:
        fail(f"{file.name}: {error}")
    end: Session | None = None
    doubts = 0
    for decision in decisions(exported):
        click.echo(logs.masked(_told(decision)))
        doubts += decision.heard.cut or not decision.readable
        end = decision.after
    sys.exit(_judge(exported.session, end, doubts))


def _told(decision: Decision) -> str:
    heard = decision.heard
    before, after = (type(session.phase).__name__ for session in (decision.before, decision.after))
    phases = before if before == after else f"{before} → {after}"
    mark = "" if decision.readable else "  [the stored event cannot be read: skipped]"
    if heard.cut and decision.readable:
        mark = "  [texts of the stored event are cut]"
    effects = ", ".join(_effect(effect) for effect in decision.effects)
    at = datetime.fromtimestamp(heard.at, UTC).strftime("%H:%M:%S.%f")[:-3]
    return f"{at}  {plain(heard.kind):<16} {phases:<20}  {effects or '-'}{mark}"


def _effect(effect: Effect) -> str:
    if isinstance(effect, Post):
        return f"Post {type(effect.activity).__name__}"
    return type(effect).__name__


def _judge(stored: Session, end: Session | None, doubts: int) -> int:
    """Say whether the end is that of the stored session; the exit code."""
    if doubts:
        click.echo(
            f"{doubts} event(s) were stored with long texts cut, or cannot be read: what depends on those differs."
        )
    if end == stored:
        click.echo("The end is exactly the stored session.")
        return 0
    click.echo("The end is not the stored session:" if end else "The journal is empty: nothing to compare.")
    for name in Session.__struct_fields__ if end else ():
        was, is_ = getattr(stored, name), getattr(end, name)
        if was != is_:
            click.echo(logs.masked(f"  {name}: stored {plain(str(was))[:200]}, played {plain(str(is_))[:200]}"))
    click.echo(
        "Reasons: cut events, masked secrets, another version, or other rules: changed since, or not at hand at the export."
    )
    return 1
