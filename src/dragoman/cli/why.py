"""`dragoman why`: session or simple answer, and with what; as it was decided, or as it would be."""

from __future__ import annotations

import asyncio

import click
import msgspec
from msgspec.structs import replace

from dragoman import config, logs
from dragoman.cli.as_json import echo_json
from dragoman.cli.journal import plain
from dragoman.cli.ledger_file import fail, fail_settings, look_if_there
from dragoman.core.choosing import PRIORITIES, Choice, Reason, Way
from dragoman.core.events.linear import Issue, Prompt, Suggestion
from dragoman.core.placing import would_be
from dragoman.core.session import Choosing, Session
from dragoman.core.status import status
from dragoman.core.taking_up import facts_of_issue
from dragoman.core.text import one_line
from dragoman.core.triggers import asks_for_guide
from dragoman.errors import ConfigurationError, LinearError
from dragoman.ids import IssueId
from dragoman.ledger import read
from dragoman.ledger.tx import Tx
from dragoman.linear.client import open_linear
from dragoman.record import Record

# What is asked first comes first: whether, where, and then with what.
_ORDER = (
    ("trigger", "mode"),
    ("routing", "repository"),
    ("template", "plan"),
    ("agent",),
    ("model",),
    ("permissions",),
)


class Told(Record, omit_defaults=False):
    """What is shown.

    dry_run  nobody has asked for it: it is what would be decided
    status   of the session that was decided about; empty in a dry run
    choice   None when nothing was decided yet
    """

    issue: str
    dry_run: bool
    request: str
    session: str = ""
    status: str = ""
    choice: Choice | None = None
    reasons: tuple[Reason, ...] = ()


class Whole(Choice, omit_defaults=False, tag=Choice.__name__):
    """A choice with all that it says, the usual included."""


@click.command("why")
@click.argument("issue")
@click.option("--say", metavar="TEXT", help="What would follow if somebody mentioned the agent with these words.")
@click.option("--delegate", is_flag=True, help="What would follow if somebody delegated the issue.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(issue: str, say: str | None, delegate: bool, as_json: bool) -> None:
    """Say why a request became a session or a simple answer, where it is worked on, and why with this agent, model,
    template and priority.

    ISSUE is its key, ENG-12. Without options: what was decided for its newest session; for an issue without one, what
    would follow from a delegation. A dry run reads the issue in Linear, or what the ledger knows of it, and writes
    nothing anywhere. Exit codes: 0, 1 no such issue or unreadable, 78 wrong settings.
    """
    try:
        settings = config.load()
    except ConfigurationError as error:
        fail_settings(error)
    logs.keep_secret(settings.secrets())
    key = issue.upper()
    known = look_if_there(settings.ledger_url, lambda tx: _newest(tx, key))
    if known is not None and say is None and not delegate:
        told = _decided(key, known, settings)
    else:
        kind: Way = "mention" if say is not None and not delegate else "delegation"
        prompt = Prompt(text=say or "", kind=kind)
        chosen = look_if_there(settings.ledger_url, lambda tx: _chosen(tx, key)) or ""
        read_now, suggestions = asyncio.run(_read(settings, key, prompt, chosen))
        found = read_now or (known.issue if known else None)
        if found is None:
            fail(f"There is no issue {key} that we may see, and no session on it.")
        told = _would_be(found, prompt, settings, chosen, suggestions)
    if as_json:
        if told.choice is not None:
            told = replace(told, choice=msgspec.convert(told.choice, Whole, from_attributes=True))
        echo_json(told)
        return
    for line in _lines(told):
        click.echo(line)


def _newest(tx: Tx, key: str) -> Session | None:
    found = read.sessions(tx, issue_key=key, limit=1)
    details = read.details(tx, found[0].id) if found else None
    return details.session if details is not None else None


def _chosen(tx: Tx, key: str) -> str:
    """The repository that people chose for the issue before; empty when they were not asked."""
    found = read.sessions(tx, issue_key=key, limit=20)
    details = (read.details(tx, one.id) for one in found)
    return next((one.session.chosen for one in details if one is not None and one.session.chosen), "")


async def _read(
    settings: config.Settings, key: str, prompt: Prompt, chosen: str
) -> tuple[Issue | None, tuple[Suggestion, ...] | None]:
    """The issue in Linear, None when it cannot be read, which is said; and Linear's suggestions where they would count."""
    linear = open_linear(
        settings.linear_api_url,
        access_token=settings.linear_access_token,
        client_id=settings.linear_client_id,
        client_secret=settings.linear_client_secret,
    )
    try:
        async with linear:
            issue = await linear.issue(IssueId(key))  # Linear takes the key as well
            facts = facts_of_issue(issue, prompt, read=True)
            if would_be(facts, settings.rules, chosen=chosen, may_ask=True).repository:
                return issue, None
            candidates = tuple((place.host, place.name) for place in settings.rules.routing.places)
            if len(candidates) < 2:
                return issue, None
            try:
                return issue, await linear.suggestions(issue.id, None, candidates)
            except LinearError as error:
                click.echo(logs.masked(f"Linear suggests no repository for {key}: {error}"), err=True)
                return issue, ()
    except LinearError as error:
        click.echo(logs.masked(f"{key} cannot be read in Linear: {error}"), err=True)
        return None, None


def _decided(key: str, session: Session, settings: config.Settings) -> Told:
    choice, phase = session.choice, session.phase
    asked: tuple[Reason, ...] = ()
    if isinstance(phase, Choosing):
        among = ", ".join(phase.decision.among)
        asked = (*phase.decision.trace, Reason(what="repository", chosen="", because=f"people are asked: {among}"))
    return Told(
        issue=_title(key, session.issue),
        dry_run=False,
        request="",
        session=session.id,
        status=status(session),
        choice=choice,
        reasons=_complete(choice, session.issue, settings) if choice is not None else asked,
    )


def _would_be(
    issue: Issue,
    prompt: Prompt,
    settings: config.Settings,
    chosen: str,
    suggestions: tuple[Suggestion, ...] | None,
) -> Told:
    rules = settings.rules
    facts = facts_of_issue(issue, prompt, read=True)
    request = "a delegation" if prompt.kind == "delegation" else f"a mention: “{one_line(prompt.text, 100)}”"
    if asks_for_guide(prompt.text, rules.handling) and prompt.kind == "mention":
        guide = Reason(what="mode", chosen="guide", because="the whole message asks for help")
        return Told(issue=_title(issue.key, issue), dry_run=True, request=request, reasons=(guide,))
    choice = would_be(facts, rules, chosen=chosen, suggestions=suggestions)
    return Told(
        issue=_title(issue.key, issue),
        dry_run=True,
        request=request,
        choice=choice,
        reasons=_complete(choice, issue, settings),
    )


def _complete(choice: Choice, issue: Issue | None, settings: config.Settings) -> tuple[Reason, ...]:
    """The trace, with what the service's own settings fill in. Whatever decides more adds its lines to the trace."""
    decided = {one.what for one in choice.trace if one.chosen}
    of_issue = issue.priority if issue is not None else 0
    defaults = (
        Reason(what="agent", chosen=settings.opencode_agent, because="OPENCODE_AGENT"),
        Reason(
            what="model",
            chosen=settings.opencode_model or "OpenCode's own",
            because="OPENCODE_MODEL" if settings.opencode_model else "OPENCODE_MODEL is not set",
        ),
        Reason(what="permissions", chosen="OpenCode's own", because="no trigger gives any"),
        Reason(what="priority", chosen=PRIORITIES[of_issue] or "none", because="the issue's"),
    )
    return (*choice.trace, *(one for one in defaults if one.what not in decided))


def _title(key: str, issue: Issue | None) -> str:
    return f"{key} “{one_line(issue.title, 80)}”" if issue is not None else key


def _lines(told: Told) -> list[str]:
    head = (
        f"{told.issue}: dry run for {told.request}; nothing was written"
        if told.dry_run
        else (f"{told.issue}: session {told.session}, {told.status}")
    )
    if not told.reasons:
        return [
            plain(head),
            "  Nothing is kept of how it was decided: it has not begun, or began with an older version.",
        ]
    reasons = sorted(told.reasons, key=lambda one: next((n for n, group in enumerate(_ORDER) if one.what in group), 9))
    rows = ((plain(one.what), plain(one.chosen) or "-", plain(one.because)) for one in reasons)
    return [plain(head), *(f"  {what:<12} {chosen:<24} {because}" for what, chosen, because in rows)]
