"""`dragoman sessions complete` and `reactivate`: a command becomes an event, heard in a transaction of its own."""

from __future__ import annotations

from functools import partial

import click

from dragoman import config
from dragoman.cli.ledger_file import change, fail
from dragoman.core.step import step
from dragoman.ids import SessionId
from dragoman.ledger import control
from dragoman.ledger.control import Command


@click.command("complete")
@click.argument("session")
@click.option("--reason", default="", help="Kept in the session's conversation.")
def complete(session: str, reason: str) -> None:
    """End a session: a turn under way is stopped with one final answer. A later message in Linear opens it again.

    SESSION is its whole id.
    """
    _ask(session, "complete", "completed", reason)


@click.command("reactivate")
@click.argument("session")
def reactivate(session: str) -> None:
    """Make a session active again that is over or has failed; it waits for a message then.

    SESSION is its whole id.
    """
    _ask(session, "reactivate", "active")


def _ask(session: str, command: Command, wanted: str, reason: str = "") -> None:
    turn_of = partial(step, rules=config.load_rules())
    answer = change(
        lambda tx: control.ask(tx, SessionId(session), command, source="cli", turn_of=turn_of, reason=reason)
    )
    if answer is None:
        fail(
            f"No session has the id {session!r}, whole as it has to be here. `dragoman sessions list` shows those that there are."
        )
    if answer.refused:
        fail(answer.refused)
    click.echo(f"Session {session}: {wanted} is asked for; `dragoman sessions show {session}` tells how it stands.")
