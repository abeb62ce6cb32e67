"""`dragoman config`: whether the settings can be used, what is set and where, what a setting means."""

from __future__ import annotations

import sys

import click
import msgspec

from dragoman import config, logs
from dragoman.cli.as_json import echo_json
from dragoman.cli.journal import plain
from dragoman.config import Examined, describe

EX_CONFIG = 78  # sysexits.h


@click.group("config")
def command() -> None:
    """Check, show and explain the settings, as the service would read them when started here."""


@command.command("check")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(as_json: bool) -> None:
    """Tell all that is wrong or doubtful. Nothing is started, and nobody is asked.

    Exit codes: 0 the settings can be used, 78 they cannot.
    """
    examined = _examine()
    if as_json:
        told = {"usable": not examined.problems, "problems": examined.problems, "doubts": examined.settings.doubts}
        echo_json(told)
    else:
        click.echo(report(examined))
    sys.exit(EX_CONFIG if examined.problems else 0)


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--set", "only_set", is_flag=True, help="Only what somebody set.")
def show(as_json: bool, only_set: bool) -> None:
    """Show every setting: value, where it came from, default. Secrets are hidden. A “!” marks what cannot be used."""
    rows = [row for row in describe.rows(_examine()) if not only_set or row.source != "default"]
    if as_json:
        echo_json([msgspec.structs.asdict(row) for row in rows])
        return
    table = [("NAME", "VALUE", "SOURCE", "DEFAULT")]
    table += [
        (f"{row.name}{' !' if row.problem else ''}", row.value or "-", row.source, row.default or "-") for row in rows
    ]
    widths = [min(max(len(line[column]) for line in table), 48) for column in range(3)]
    for line in table:
        cells = [plain(cell).ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, plain(line[3])]).rstrip())


@command.command("explain")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(name: str, value: str | None, as_json: bool) -> None:
    """Explain one setting: a NAME, or a key of the TOML file such as session.while_busy. With VALUE: what that would mean.

    Exit codes: 0, 2 there is no such setting.
    """
    try:
        told = describe.explain(_examine(), name, value)
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from None
    if as_json:
        echo_json(msgspec.structs.asdict(told))
        return
    click.echo(told.name)
    click.echo(f"  {plain(told.about)}")
    click.echo(f"  {'type':<8} {told.kind}{f', in {told.unit}' if told.unit else ''}")
    for label in ("default", "example", "changes", "value", "source", "means"):
        click.echo(f"  {label:<8} {plain(getattr(told, label)) or '-'}")


@command.command("reference")
def reference() -> None:
    """Print all names with their defaults, as Markdown."""
    click.echo(describe.markdown())


def report(examined: Examined) -> str:
    """All that is wrong or doubtful, for a terminal."""
    lines = []
    if examined.problems:
        lines += [f"{len(examined.problems)} setting(s) need attention", *(f"  - {each}" for each in examined.problems)]
    else:
        lines += ["The settings can be used."]
    if examined.settings.doubts:
        lines += ["To be considered:", *(f"  - {doubt}" for doubt in examined.settings.doubts)]
    return logs.masked("\n".join(lines))


def _examine() -> Examined:
    examined = config.examine()
    logs.keep_secret(examined.settings.secrets())
    return examined
