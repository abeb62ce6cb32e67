"""The command line: one file a verb."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

import dragoman

# verb -> module; imported only when it is used, so that `--help` stays quick
_VERBS: Mapping[str, str] = {
    "audit": "dragoman.cli.audit",
    "db": "dragoman.cli.db",
    "config": "dragoman.cli.config",
    "demo": "dragoman.cli.demo",
    "forget": "dragoman.cli.forget",
    "replay": "dragoman.cli.replay",
    "serve": "dragoman.cli.serve",
    "sessions": "dragoman.cli.sessions",
    "stats": "dragoman.cli.stats",
    "why": "dragoman.cli.why",
    "workspaces": "dragoman.cli.workspaces",
}
_HELP: Mapping[str, str] = {
    "audit": "Who did what and whether they might; verify the trail.",
    "db": "Tend what is stored: write the copy in Redis anew.",
    "config": "Check, show and explain the settings.",
    "demo": "Try it: a pretend Linear, the real OpenCode, no account.",
    "forget": "Remove all that is kept of an issue.",
    "replay": "Play an exported session again, decision by decision.",
    "serve": "Run the service between Linear and OpenCode.",
    "sessions": "List, show, watch or export sessions; complete or reactivate them.",
    "why": "Why a request became a session or not, and with what; or would.",
    "stats": "How turns went: outcomes, times, asks, tokens, cost.",
    "workspaces": "List workspaces; remove one, or have it back.",
}


class _Verbs(click.Group):
    """A group that loads a verb when it is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(_VERBS[cmd_name]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(dragoman.__version__, prog_name="dragoman")
def main() -> None:
    """Between Linear, where people ask, and OpenCode, where an agent works."""
    from dragoman import logs  # not for `--help`

    logs.mask_crashes()
