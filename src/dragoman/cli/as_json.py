"""Output for programs: JSON on standard output, without secrets."""

from __future__ import annotations

import click
import msgspec

from dragoman import logs


def echo_json(value: object) -> None:
    """Print records, or plain values with records in them, as JSON that a person can read, too."""
    masked = logs.masked_within(msgspec.to_builtins(value))
    click.echo(msgspec.json.format(msgspec.json.encode(masked), indent=2).decode())
