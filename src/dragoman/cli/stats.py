"""`dragoman stats`: how turns went, read from the ledger; no service is needed."""

from __future__ import annotations

import csv
import io

import click

from dragoman import logs
from dragoman.cli.as_json import echo_json
from dragoman.cli.journal import plain
from dragoman.cli.ledger_file import look
from dragoman.ledger import numbers
from dragoman.ledger.numbers import GROUPINGS, Figures, Grouping


def _span(_context: click.Context, _option: click.Parameter, value: str) -> float:
    try:
        return numbers.span_s(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("stats")
@click.option(
    "--since", default="7d", show_default=True, callback=_span, help="Turns that began since: 30min, 12h, 7d, 4w."
)
@click.option("--by", type=click.Choice(GROUPINGS), help="One line each; days are those of UTC.")
@click.option("--json", "as_json", is_flag=True, help="For programs; times in seconds, cost in US dollars.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets; the same fields.")
def command(since: float, by: Grouping | None, as_json: bool, as_csv: bool) -> None:
    """Show how turns went: outcomes, time until people saw something, time in all, asks, tokens, cost,
    pull requests.

    Needs only DRAGOMAN_DATA_DIR or SESSION_STORAGE_URL. Exit codes: 0, 1 unreadable, 2 wrong option, 78 wrong settings.
    """
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both.")
    report = look(lambda tx: numbers.report(tx, since, by))
    if as_json:
        echo_json(report)
        return
    rows = [*report.groups, report.total]
    if as_csv:
        click.echo(logs.masked(_csv(report.groups or rows)), nl=False)
        return
    click.echo(_HEADER)
    for row in rows:
        click.echo(_line(row).rstrip())


_HEADER = (
    f"{'GROUP':<18} {'SESS.':>5} {'TURNS':>5} {'OK':>4} {'FAIL':>4} {'STOP':>4} {'OPEN':>4}  "
    f"{'FIRST 50/95':>11} {'TURN 50/95':>11} {'ASKS':>4} {'TOKENS':>7} {'COST':>7} {'PRS':>3}"
)


def _line(row: Figures) -> str:
    first = f"{_time(row.first_p50_s)}/{_time(row.first_p95_s)}"
    whole = f"{_time(row.turn_p50_s)}/{_time(row.turn_p95_s)}"
    return (
        f"{_name(row.group):<18} {row.sessions:>5} {row.turns:>5} {row.answered:>4} {row.failed:>4} {row.stopped:>4} "
        f"{row.under_way:>4}  {first:>11} {whole:>11} {row.asks:>4} {_short(row.tokens):>7} {row.cost:>7.2f} "
        f"{row.pull_requests:>3}"
    )


def _name(group: str) -> str:
    """It fits its column; of owner/repository and provider/model the end says more."""
    name = plain(group)
    return name if len(name) <= 18 else f"…{name[-17:]}" if "/" in name else f"{name[:17]}…"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for most, size, unit in ((1, 0.001, "ms"), (60, 1, "s"), (7_200, 60, "m")):
        if seconds < most:
            return f"{seconds / size:.{int(unit == 's')}f}{unit}"
    return f"{seconds / 3_600:.0f}h"


def _short(number: int) -> str:
    return (
        str(number)
        if number < 100_000
        else f"{number / 1_000:.0f}k"
        if number < 10_000_000
        else f"{number / 1_000_000:.0f}M"
    )


def _csv(rows: list[Figures]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = Figures.__struct_fields__
    writer.writerow(fields)
    for row in rows:
        values = [getattr(row, field) for field in fields]
        writer.writerow([_harmless(values[0]), *("" if value is None else value for value in values[1:])])
    return text.getvalue()


def _harmless(name: str) -> str:
    # A name of somebody's choosing must not become a formula: owasp.org/www-community/attacks/CSV_Injection
    name = plain(name)
    return f"'{name}" if name[:1] in {"=", "+", "@"} or (name[:1] == "-" and name != "-") else name
