"""Which sessions and effects something is about: what doors, performers and the follower go by.

All of it is for `ledger.read`; it also works inside a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from dragoman import logs
from dragoman.core.effects import Effect
from dragoman.core.session import Session, Starting
from dragoman.errors import LedgerError
from dragoman.ids import HostId, IssueId, OrganizationId, SessionId
from dragoman.ledger import queries
from dragoman.ledger.codec import decode_effect, decode_session
from dragoman.ledger.pools import Job
from dragoman.ledger.tx import Tx

_SQL = queries.load("find")
_log = logs.get("ledger")


def open_runs(tx: Tx, host: HostId) -> list[Session]:
    """The sessions of `host` with a turn under way and an agent thread."""
    return [session for session in _readable(tx, "open_runs", host) if session.thread is not None]


def working_runs(tx: Tx, host: HostId) -> list[Session]:
    """The sessions of `host` that OpenCode works for, whole: what the follower follows."""
    return _readable(tx, "working_runs", host)


def effects_of(tx: Tx, session: SessionId) -> list[Effect]:
    """What was decided for the agent in a session, done or not, oldest first."""
    return _readable_effects(tx, "effects_of", session)


def lane_of_people(tx: Tx, session: SessionId) -> list[Effect]:
    """What still waits to be shown in a session, oldest first."""
    return _readable_effects(tx, "lane_of_people", session)


def live_sessions_of(tx: Tx, organization: OrganizationId) -> list[SessionId]:
    """The sessions of an organization that have a turn under way."""
    return [SessionId(id_) for (id_,) in tx.execute(_SQL["live_sessions_of"], (organization,)).fetchall()]


def blocked_by(tx: Tx, organization: OrganizationId, issue: IssueId) -> list[Session]:
    """The sessions of an organization that wait for an issue to be done."""
    return [
        session
        for session in _readable(tx, "starting", organization)
        if isinstance(session.phase, Starting) and any(blocker.id == issue for blocker in session.phase.blocked)
    ]


def sessions_of_issue(tx: Tx, issue: IssueId, limit: int = 20) -> list[Session]:
    """The sessions of an issue, newest first."""
    return [decode_session(body) for (body,) in tx.execute(_SQL["sessions_of_issue"], (issue, limit)).fetchall()]


def around_live(tx: Tx, issue: IssueId) -> list[Session]:
    """The sessions of an issue, if one of them has a turn under way: those first, then the newest."""
    return _readable(tx, "around_live", issue)


def concerned_by_issue(tx: Tx, issue: IssueId, newest: int = 20) -> list[SessionId]:
    """The sessions that news of an issue concerns: all that have a turn under way, and the newest, which may be
    written to again."""
    rows = tx.execute(_SQL["concerned_by_issue"], (issue, issue, newest)).fetchall()
    return [SessionId(id_) for (id_,) in rows]


def idle(tx: Tx, sessions: Sequence[SessionId], idle_s: float) -> list[Session]:
    """Those among them without a turn under way that nothing was heard of for so long. Costs a look at each row alone."""
    return [found for one in sessions for found in _readable(tx, "idle", one, tx.now - idle_s)]


def unused(
    tx: Tx, host: HostId, idle_s: float, *, after: tuple[float, int] = (0.0, 0), limit: int = 100
) -> list[tuple[tuple[float, int], Session | None]]:
    """The sessions of a host without a turn that nothing was heard of for so long, longest ago first; None = unreadable.

    after  the place of the last one that was looked at; each comes with its own
    """
    found: list[tuple[tuple[float, int], Session | None]] = []
    for n, at, body in tx.execute(_SQL["unused_between"], (host, tx.now - idle_s, *after, limit)).fetchall():
        session = None
        with suppress(LedgerError):
            session = decode_session(body)
        found.append(((at, n), session))
    return found


def is_to_be_cleared(tx: Tx, session: SessionId) -> bool:
    """Whether the workspace of a session is to be removed already."""
    return tx.execute(_SQL["clearing"], (session,)).fetchone() is not None


def watched_pull_requests(tx: Tx) -> list[tuple[SessionId, str]]:
    """The sessions that wait for news of a pull request, and its URL."""
    return [(SessionId(id_), url) for id_, url in tx.execute(_SQL["watched"]).fetchall()]


def watching(tx: Tx, repository: str, number: int | None = None) -> list[SessionId]:
    """The sessions that wait for news of a pull request, or of any of a repository.

    repository  its page, "https://github.com/owner/repo"
    """
    if number is None:
        rows = tx.execute(_SQL["watching_any"], (f"{repository}/pull/", f"{repository}/pull/"))
    else:
        rows = tx.execute(_SQL["watching"], (f"{repository}/pull/{number}",))
    return [SessionId(id_) for (id_,) in rows.fetchall()]


def count_sessions(tx: Tx, issue: IssueId, since: float) -> int:
    """How many sessions of `issue` were opened since then; one that is being opened in this turn is not among them."""
    return int(tx.execute(_SQL["count_sessions"], (issue, since)).fetchone()[0])


def _readable(tx: Tx, name: str, *of: str | float) -> list[Session]:
    """The sessions that a query finds. One that this program cannot read must not hide the others."""
    found = []
    for id_, body in tx.execute(_SQL[name], of).fetchall():
        try:
            found.append(decode_session(body))
        except LedgerError as error:
            _log.error("session.unreadable", session=id_, error=str(error))
    return found


def _readable_effects(tx: Tx, name: str, session: SessionId) -> list[Effect]:
    """The same for effects; whoever claims an unreadable one logs it."""
    found: list[Effect] = []
    for (body,) in tx.execute(_SQL[name], (session,)).fetchall():
        with suppress(LedgerError):
            if not isinstance(effect := decode_effect(body), Job):
                found.append(effect)
    return found
