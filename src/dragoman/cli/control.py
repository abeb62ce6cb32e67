"""`dragoman sessions complete` and `reactivate`: a command becomes an event, heard in a transaction of its own."""

from __future__ import annotations

from functools import partial

import click

from dragoman import config
from dragoman.cli.ledger_file import change, fail
from dragoman.core.events import CompletionRequested, OperatorEvent, ReactivationRequested
from dragoman.core.session import Status, may_change, status
from dragoman.core.step import step
from dragoman.ids import SessionId
from dragoman.ledger import turns
from dragoman.ledger.tx import Tx


@click.command("complete")
@click.argument("session")
@click.option("--reason", default="", help="Kept in the session's conversation.")
def complete(session: str, reason: str) -> None:
    """End a session: a turn under way is stopped with one final answer. A later message in Linear opens it again."""
    _tell(SessionId(session), "completed", CompletionRequested(reason=reason))


@click.command("reactivate")
@click.argument("session")
def reactivate(session: str) -> None:
    """Make a session active again that is over or has failed; it waits for a message then."""
    _tell(SessionId(session), "active", ReactivationRequested())


def _tell(session: SessionId, wanted: Status, event: OperatorEvent) -> None:
    rules = config.load_rules()

    def hear(tx: Tx) -> str:
        before = turns.load(tx, session)
        if before is None:
            return f"No session has the id {session!r}. `dragoman sessions list` shows those that there are."
        known = status(before)
        if known == wanted or not may_change(known, wanted):
            return f"Session {session} is {known}; it cannot become {wanted}."
        turns.receive(tx, session, event, turn_of=partial(step, rules=rules))
        return ""

    if refused := change(hear):
        fail(refused)
    click.echo(f"Session {session}: {wanted} is asked for; `dragoman sessions show {session}` tells how it stands.")
