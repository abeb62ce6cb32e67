"""`dragoman workspaces`: what lies on disk, what was saved of it; removing one, and having it back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from dragoman import config, logs
from dragoman.cli.as_json import echo_json
from dragoman.cli.ledger_file import EX_CONFIG, fail, fail_settings, look
from dragoman.core.session import Session, live_turn
from dragoman.errors import ConfigurationError, GitError, Refusal
from dragoman.ledger import read
from dragoman.record import Record
from dragoman.repositories.rescue import remove_workspace, restore_workspace, saved_refs
from dragoman.repositories.trusted import TrustedRepository

LISTED = 1_000  # sessions, the newest
T = TypeVar("T")


class Kept(Record):
    """What there is of a session's workspace.

    state  "on disk"; "saved" when only our copy has it; "gone" when nothing is left; "unknown" when it is not on disk,
           and which copy would have it is not configured any more
    saved  the ref of our copy that holds it, empty without one
    """

    issue: str
    session: str
    repository: str
    branch: str
    directory: str
    state: str
    saved: str
    live: bool


@click.group("workspaces")
def command() -> None:
    """List workspaces; remove one, or have it back.

    A workspace is removed only after all it holds was saved in our own copy of its repository, committed or not; what
    the repository ignores is left out. The service may be running. Exit codes: 0, 1 refused or not found, 78 wrong
    settings.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_workspaces(as_json: bool) -> None:
    """List what is on disk and what was saved, newest session first."""
    found = _run(_kept(_sessions(None)))
    if as_json:
        echo_json(found)
        return
    click.echo(f"{'ISSUE':<10}  {'SESSION':<36}  {'STATE':<8}  {'BRANCH':<36}  WHERE")
    for one in found:
        state = "working" if one.live else one.state
        click.echo(f"{one.issue:<10}  {one.session:<36}  {state:<8}  {one.branch:<36}  {one.directory or one.saved}")
    if not found:
        click.echo("No workspace.", err=True)


@command.command("restore")
@click.argument("issue")
@click.option("--session", help="Which of the issue's sessions, by the beginning of its id.")
def restore(issue: str, session: str | None) -> None:
    """Put back the workspace of an issue's newest session: branch, commits, and every file as it was."""
    wanted = _choose(issue, session, "saved")
    made = _run(restore_workspace(_trusted(wanted), **_place(wanted)))
    click.echo(f"{made.directory} is back, on branch {made.branch}.")


@command.command("remove")
@click.argument("issue")
@click.option("--session", help="Which of the issue's sessions, by the beginning of its id.")
def remove(issue: str, session: str | None) -> None:
    """Save the workspace of an issue's newest session and remove it."""
    wanted = _choose(issue, session, "on disk")
    if live_turn(wanted) is not None:
        fail(f"Session {wanted.id} is at work. Stop it in Linear first.")
    removed = _run(remove_workspace(_trusted(wanted), **_place(wanted)))
    if removed is None:
        fail(f"Session {wanted.id} has no workspace.")
    click.echo(f"{removed.directory} is removed; all it held is saved as {removed.ref} ({removed.commit[:12]}).")
    click.echo(f"To have it back: dragoman workspaces restore {issue}")


def _sessions(issue: str | None) -> list[Session]:
    """Sessions that ever had a workspace, newest first."""
    key = issue.upper() if issue else None
    newest = look(lambda tx: read.sessions(tx, issue_key=key, limit=LISTED))
    found = look(lambda tx: [known.session for one in newest if (known := read.details(tx, one.id))])
    return [session for session in found if session.workspace is not None]


def _choose(issue: str, beginning: str | None, state: str) -> Session:
    sessions = [one for one in _sessions(issue) if beginning is None or one.id.startswith(beginning)]
    found = _run(_kept(sessions))
    fitting = [kept.session for kept in found if kept.state == state]
    for one in sessions:
        if one.id in fitting:
            return one
    for kept in found:
        if kept.state == "unknown":
            _trusted(next(one for one in sessions if one.id == kept.session))  # ends with a word
    what = "saved workspace that is not on disk" if state == "saved" else "workspace on disk"
    return fail(f"{issue} has no {what}. See: dragoman workspaces list")


async def _kept(sessions: list[Session]) -> list[Kept]:
    configured = {one.name for one in _workplace().repositories}
    found = []
    for session in sessions:
        place = session.workspace
        if place is None:
            continue
        known = place.repository in configured
        refs = [ref for ref in saved_refs(session.id, _key(session)) if known and await _trusted(session).resolve(ref)]
        there = await asyncio.to_thread(Path(place.directory).is_dir)
        found.append(
            Kept(
                issue=_key(session) or "",
                session=session.id,
                repository=place.repository,
                branch=place.branch,
                directory=place.directory if there else "",
                state="on disk" if there else "saved" if refs else "gone" if known else "unknown",
                saved=refs[0] if refs else "",
                live=live_turn(session) is not None,
            )
        )
    return found


def _trusted(session: Session) -> TrustedRepository:
    name = session.workspace.repository if session.workspace else ""
    place = _workplace()
    for one in place.repositories:
        if one.name == name:
            return TrustedRepository(place.data_dir / "repositories", one.name, one.url, base_branch=one.base_branch)
    return fail(
        f"{name} is not among the [[repositories]] any more. Add it again to reach what was saved of it.",
        code=EX_CONFIG,
    )


def _place(session: Session) -> dict[str, Any]:
    return {"root": _workplace().data_dir / "workspaces", "session": session.id, "issue_key": _key(session)}


def _workplace() -> config.Workplace:
    try:
        return config.load_workplace()
    except ConfigurationError as error:
        fail_settings(error)


def _key(session: Session) -> str | None:
    return session.issue.key if session.issue else None


def _run(work: Coroutine[Any, Any, T]) -> T:
    logs.configure(level="error")
    try:
        return asyncio.run(work)
    except (GitError, Refusal) as error:
        fail(str(error))
