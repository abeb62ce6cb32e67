"""`dragoman audit`: who did what and whether they might, read from the ledger; no service is needed."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime

import click
import msgspec

from dragoman.cli.as_json import echo_json
from dragoman.cli.journal import plain
from dragoman.cli.ledger_file import look
from dragoman.ledger import audit, numbers
from dragoman.ledger.audit import Head

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="For programs; times are seconds since the epoch.")


@click.group("audit")
def command() -> None:
    """Look into the audit trail: who did what, and whether they might.

    Needs only DRAGOMAN_DATA_DIR or SESSION_STORAGE_URL.
    Exit codes: 0, 1 unreadable or the chain does not hold, 2 wrong option, 78 wrong settings.
    """


def _span(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    try:
        return numbers.span_s(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _known(_context: click.Context, _option: click.Parameter, value: str | None) -> Head | None:
    if value is None:
        return None
    found = _HEAD.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter("write it as `dragoman audit head` prints it: a number, a colon, 64 hex digits")
    return Head(n=int(found[1]), hash=found[2])


@command.command("list")
@click.option("--since", callback=_span, help="Only the last 30min, 12h, 7d, 4w.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The newest so many.")
@_AS_JSON
def list_decisions(since: float | None, refused: bool, limit: int, as_json: bool) -> None:
    """List decisions, newest first."""
    begin = time.time() - since if since is not None else 0.0
    found = look(lambda tx: audit.newest(tx, since=begin, refused=refused, limit=limit))
    if as_json:
        echo_json(found)
        return
    click.echo(f"{'N':>6}  {'AT (UTC)':<19}  {'PERSON':<20}  {'TEAM':<6}  {'ACTION':<10}  {'VERDICT':<17}  SESSION")
    for row in found:
        at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        nobody = "-" if row.source == "linear" else f"by {row.source}"
        person = plain(row.name or row.person or nobody)[:20]
        team, session = plain(row.team)[:6], plain(row.session)
        click.echo(f"{row.n:>6}  {at}  {person:<20}  {team:<6}  {row.action:<10}  {row.verdict:<17}  {session}")


@command.command("verify")
@click.option(
    "--head", "known", callback=_known, help="One that was kept elsewhere (N:HASH): it must be part of the chain still."
)
@_AS_JSON
def verify(known: Head | None, as_json: bool) -> None:
    """Walk the chain from its beginning and name the first row that was changed, removed or moved.

    That its end was cut off shows only against a head that was kept elsewhere: `dragoman audit head`.
    """
    flaw, head = look(lambda tx: (audit.verify(tx, known), audit.head(tx)))
    if as_json:
        click.echo(msgspec.json.encode({"holds": flaw is None, "flaw": flaw, "head": head}).decode())
    elif flaw is None:
        click.echo(f"All {head.n} rows hold. Head: {head.n}:{head.hash}")
    else:
        click.echo(f"The audit trail does not hold: {flaw.what}.", err=True)
    sys.exit(0 if flaw is None else 1)


@command.command("head")
@_AS_JSON
def head(as_json: bool) -> None:
    """Print the end of the chain, N:HASH, to be kept where whoever may write the ledger may not."""
    found = look(audit.head)
    click.echo(msgspec.json.encode(found).decode() if as_json else f"{found.n}:{found.hash}")
