"""`dragoman forget`: removes what is kept of an issue. A running service does it; without one, this process does."""

from __future__ import annotations

import asyncio
import fcntl
import math
import sys
import time
from pathlib import Path

import click
import msgspec

from dragoman import config, logs
from dragoman.cli.as_json import echo_json
from dragoman.cli.journal import plain
from dragoman.cli.ledger_file import EX_CONFIG, change, fail, find, look
from dragoman.errors import ConfigurationError, Refusal, Theirs
from dragoman.ids import SessionId
from dragoman.ledger import forgetting
from dragoman.ledger.forgetting import Report, Wish
from dragoman.ledger.tx import Tx
from dragoman.record import Record
from dragoman.runtime.service import Service

LOOK_S = 0.2
QUIET_S = 3.0  # longer than that, somebody at a terminal wants to know what is waited for
AT_IT = "The service is at it. While OpenCode works for others, this takes up to five minutes."
REFUSED = 3  # exit code
_ELSEWHERE = (
    "backups of the data folder and of the ledger",
    "the service's log (it names sessions by their ids, not what was said) and the audit trail",
    "counts, the ids of forgotten sessions, and for nine days the keys by which a repeated delivery is known",
)


class Remains(Record, omit_defaults=False):
    """What there is of an issue that only others can remove.

    sessions       ids of the agent sessions in Linear
    url            of the issue; empty when it is not known
    branches       "owner/repo: branch", as the agent had them; pushed or not
    pull_requests  addresses
    """

    sessions: tuple[SessionId, ...] = ()
    url: str = ""
    branches: tuple[str, ...] = ()
    pull_requests: tuple[str, ...] = ()


@click.command("forget")
@click.argument("issue")
@click.option("--stop", is_flag=True, help="Stop a turn that is under way, instead of refusing.")
@click.option("--dry-run", is_flag=True, help="Only tell what there is.")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=600, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(issue: str, stop: bool, dry_run: bool, timeout_s: int, as_json: bool) -> None:
    """Remove all that is kept of ISSUE (ENG-12): sessions, conversations, journals, OpenCode's sessions, workspaces,
    attachments, and what is copied elsewhere. Tells what remains in Linear. It cannot be undone.

    A running service does it; when none runs, this process does, with the service's settings. May be repeated.
    Exit codes: 0 nothing is left, 1 not all could be removed, 3 refused: a turn is under way, 78 wrong settings.
    """
    key = issue.strip().upper()
    remains = look(lambda tx: _remains(tx, key))
    if dry_run:
        report = Report(sessions=len(remains.sessions))
    else:
        number = change(lambda tx: forgetting.ask(tx, Wish(issue=key, stop=stop)))
        report = _done(number, time.monotonic() + timeout_s)
    if as_json:
        told = {
            "issue": key,
            "dry_run": dry_run,
            **msgspec.to_builtins(report),
            "remains": msgspec.to_builtins(remains),
        }
        echo_json(told)
    else:
        for line in _told(key, report, remains, dry_run=dry_run):
            click.echo(plain(line) if not line.startswith("  ") else f"  {plain(line)}")
    sys.exit(REFUSED if report.refused else 1 if report.left else 0)


def _remains(tx: Tx, issue: str) -> Remains:
    known = forgetting.sessions(tx, issue)
    read = [one.session for one in known if one.session is not None]
    return Remains(
        sessions=tuple(one.id for one in known),
        url=next((one.issue.url for one in read if one.issue is not None and one.issue.url), ""),
        branches=tuple(
            dict.fromkeys(f"{one.workspace.repository}: {one.workspace.branch}" for one in read if one.workspace)
        ),
        pull_requests=tuple(address for one in known for address in forgetting.pull_requests(tx, one.id)),
    )


def _done(number: int, until: float) -> Report:
    """Wait for the report, doing it here when no service does; the process ends when it takes too long."""
    alone = None if _is_served(find()[0].folder) else _in_this_process(number, until)
    quiet_until = time.monotonic() + QUIET_S
    while alone is None and (alone := look(lambda tx: forgetting.report_of(tx, number))) is None:
        if time.monotonic() > quiet_until:
            quiet_until = math.inf
            click.echo(AT_IT, err=True)
        if time.monotonic() > until:
            fail("It is not done yet; the service goes on with it. Run this again to see.")
        time.sleep(LOOK_S)  # the service is another process, and the ledger's file calls nobody
    change(lambda tx: forgetting.drop_report(tx, number))
    return alone


def _is_served(folder: Path) -> bool:
    """Whether a process works on the data folder: it holds the lock."""
    try:
        with (folder / "dragoman.lock").open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _in_this_process(number: int, until: float) -> Report:
    try:
        settings = config.load()
    except ConfigurationError as error:
        fail("No service runs, so its settings are needed here.\n" + "\n".join(error.problems), code=EX_CONFIG)
    logs.configure(level="error")
    try:
        report = asyncio.run(_housekeep(settings, number, until))
    except (ConfigurationError, Refusal, Theirs) as error:
        fail(str(error))
    if report is None:
        fail("It is not done yet. It is kept: run this again, or start the service, which goes on with it.")
    return report


async def _housekeep(settings: config.Settings, number: int, until: float) -> Report | None:
    service = Service(settings, housekeeping=True)
    await service.start()
    try:
        while time.monotonic() < until:
            if (report := await service.ledger.read(forgetting.report_of, number)) is not None:
                return report
            await asyncio.sleep(LOOK_S)
        return None
    finally:
        await service.stop()


def _told(issue: str, report: Report, remains: Remains, *, dry_run: bool) -> list[str]:
    if report.refused:
        return [f"{issue} was not forgotten: {report.refused}."]
    if not remains.sessions and not report.sessions:
        rest = [f"Not removed: {left}" for left in report.left]
        return [f"Nothing is kept of {issue} (any more){', but for this:' if rest else '.'}", *rest]
    if dry_run:
        lines = [f"There are {report.sessions} session(s) of {issue}."]
    else:
        kept = f"{report.sessions} session(s) with {report.rows} rows"
        beside = f"{report.threads} session(s) of OpenCode, {report.workspaces} workspace(s)"
        lines = [f"Forgot {issue}: {kept}, {beside}."]
    lines += [f"Not removed: {left}" for left in report.left]
    lines += ["What remains in Linear, for people to delete there:"]
    lines += [f"  the issue {issue} with its comments and attachments {remains.url}"]
    lines += [
        f"  agent session {session} with all that was posted in it, files included" for session in remains.sessions
    ]
    lines += ["What remains elsewhere:"]
    lines += [f"  pull request {address}" for address in remains.pull_requests]
    lines += [f"  the branch, if it was pushed: {branch}" for branch in remains.branches]
    return [*lines, *(f"  {what}" for what in _ELSEWHERE)]
