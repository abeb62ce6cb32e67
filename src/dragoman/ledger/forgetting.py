"""Forgetting an issue: the wish is a job in the queue, so that it survives a crash; the session's row goes last.

Whoever asks need not be the process that does it: the report of how it ended lies under the number of the wish.

What stays: sums that were counted, how many turns a session had (see 0010_forgotten.sql), the keys by which a repeated delivery is known (ids, no words; without them Linear's
next try would begin the work anew), and the audit trail, which is append-only by purpose.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from dragoman.core.session import Session
from dragoman.errors import LedgerError
from dragoman.ids import HostId, SessionId
from dragoman.ledger import audit, hosts, queries
from dragoman.ledger.audit import ALLOWED, Decision
from dragoman.ledger.codec import decode_session, encode
from dragoman.ledger.pools import Job
from dragoman.ledger.tx import Tx
from dragoman.record import Record

NAME = "forget"  # begins the name of the job; the issue follows
BATCH = 500  # rows of each kind in one call

_SQL = queries.load("forgetting")
_WORDS = ("erase_journal", "erase_messages", "erase_effects", "erase_deliveries")


class Wish(Record):
    """What somebody wants forgotten.

    issue  its key, "ENG-12"
    stop   stop a turn that is under way, instead of refusing
    """

    issue: str
    stop: bool = False


class Report(Record, omit_defaults=False):
    """How a wish ended. Counts only: the report must not keep what was to be forgotten.

    ended       false while it is being carried out
    refused     why nothing was forgotten; empty when it was
    left        what could not be removed, a sentence each
    sessions, rows, threads, workspaces  how many were removed; threads are OpenCode's sessions
    """

    ended: bool = False
    refused: str = ""
    left: tuple[str, ...] = ()
    sessions: int = 0
    rows: int = 0
    threads: int = 0
    workspaces: int = 0


class Known(Record):
    """A session of the issue. `session` is None when its row cannot be read."""

    id: SessionId
    host: HostId
    live: bool
    issue_key: str | None
    session: Session | None


def sessions(tx: Tx, issue: str) -> list[Known]:
    """All sessions of an issue, oldest first.

    issue  its key, in upper case; also one that it had before it was moved to another team
    """
    found = []
    for id_, host, live, issue_key, body in tx.execute(_SQL["sessions"], (issue, issue)).fetchall():
        try:
            session = decode_session(body)
        except LedgerError:
            session = None
        found.append(Known(id=id_, host=host, live=bool(live), issue_key=issue_key, session=session))
    return found


def pull_requests(tx: Tx, session: SessionId) -> list[str]:
    """Addresses of the pull requests that a session opened."""
    return [str(address) for (address,) in tx.execute(_SQL["pull_requests"], (session,)).fetchall()]


def ask(tx: Tx, wish: Wish) -> int:
    """Queue a wish, or bring the same one that waits up to date; its number. The audit trail tells of it."""
    for known in sessions(tx, wish.issue):
        organization = known.session.organization if known.session is not None else ""
        decision = Decision(
            source="cli",
            organization=organization,
            session=known.id,
            team="",
            person="",
            name="",
            action=NAME,
            verdict=ALLOWED,
        )
        audit.append(tx, decision)
    job = Job(name=f"{NAME} {wish.issue}", body=msgspec.json.encode(wish).decode())
    tx.wake("system")
    waiting = tx.execute(_SQL["asked"], (job.name,)).fetchone()
    if waiting is None:
        return int(tx.execute(_SQL["ask"], (job.name, tx.now, tx.now, encode(job))).fetchone()[0])
    tx.execute(_SQL["ask_again"], (encode(job), tx.now, waiting[0]))
    return int(waiting[0])


def wish_of(job: Job) -> Wish:
    """What a job is about. Raises msgspec.DecodeError."""
    return msgspec.json.decode(job.body, type=Wish)


def on_their_way(tx: Tx, session: SessionId) -> bool:
    """Whether people are still to read something of a session, or to get what it made."""
    return tx.execute(_SQL["on_their_way"], (session,)).fetchone() is not None


def erase_words(tx: Tx, session: SessionId) -> int:
    """Remove a batch of what was said and done in a session; call it again until it returns 0."""
    return sum(tx.execute(_SQL[name], (session, BATCH)).rowcount for name in _WORDS)


def erase_rows(tx: Tx, session: SessionId) -> bool:
    """Remove a session and all that is left of it at once; False, and nothing is removed, when a turn is under way."""
    if tx.execute(_SQL["is_live"], (session,)).fetchone() is not None:
        return False
    while erase_words(tx, session):
        pass
    tx.execute(_SQL["bury"], (tx.now, session))
    for name in ("erase_waiting", "erase_turns", "erase_status_changes", "erase_progress", "erase_session"):
        tx.execute(_SQL[name], (session,))
    return True


def erase_session(tx: Tx, session: SessionId, wish: int, report: Report) -> bool:
    """Remove a session and all that is left of it; False, and nothing is removed, when a turn is under way.

    report  how far the wish has come with this
    """
    if not erase_rows(tx, session):
        return False
    put_report(tx, wish, report)
    return True


def resumed(tx: Tx, session: Session) -> Session:
    """A new session, which goes on counting its turns if it was forgotten before."""
    row = tx.execute(_SQL["turns_before"], (session.id,)).fetchone()
    return session if row is None else replace(session, turns=int(row[0]))


def put_report(tx: Tx, wish: int, report: Report) -> None:
    """Say how far a wish has come, or how it ended."""
    tx.execute(_SQL["old_reports"])
    hosts.put_value(tx, f"forget:{wish}", msgspec.json.encode(report).decode())


def begun(tx: Tx, wish: int) -> Report:
    """How far a wish had come, or that it begins."""
    told = hosts.get_value(tx, f"forget:{wish}")
    return Report() if told is None else msgspec.json.decode(told, type=Report)


def report_of(tx: Tx, wish: int) -> Report | None:
    """How a wish ended; None while it has not."""
    report = begun(tx, wish)
    return report if report.ended else None


def drop_report(tx: Tx, wish: int) -> None:
    """The report was read."""
    tx.execute(_SQL["drop_report"], (f"forget:{wish}",))
