"""The one queue. A claim takes heads of lanes; whoever holds the claim's token ends it, and nobody else does.

A waiting head (due later, or claimed) holds its lane. A parked row counts as done for its lane.
All functions run inside a transaction; what they return holds once it is committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from dragoman import logs
from dragoman.core.activities import is_final, is_fleeting
from dragoman.core.effects import Effect, Post, Remind, ShipLater, lane_of
from dragoman.core.session import Session
from dragoman.errors import LedgerError
from dragoman.ids import HostId, SessionId
from dragoman.ledger import queries
from dragoman.ledger.codec import decode_effect, encode
from dragoman.ledger.pools import ANY_HOST, Job, Pool, host_key, pool_of
from dragoman.ledger.tx import Tx, Value
from dragoman.record import Record

FLEETING_S = 20.0  # an ephemeral activity that is later than this is not worth sending
NEAR_S = 60.0  # what is due so soon is left when the clock was set back: most of it was queued or claimed after that
ERROR_LIMIT = 2_000  # characters of an error that are kept

_SQL = queries.load("effects")
_JOB_FORWARD = _SQL["job_forward"]
_INSERT, _JOB_WAITS, _CLAIM, _END = _SQL["insert"], _SQL["job_waits"], _SQL["claim"], _SQL["end"]
_ADVANCE, _DROP_FLEETING, _RETRY, _RENEW = _SQL["advance"], _SQL["drop_fleeting"], _SQL["retry"], _SQL["renew"]
_RELEASE_HOST, _NEXT_DUE, _BRING_FORWARD = _SQL["release_host"], _SQL["next_due"], _SQL["bring_forward"]
_log = logs.get("ledger")


class Claimed(Record):
    """An effect that is ours to perform until the claim ends.

    n           its number in the ledger
    session     None for jobs
    lane        None for those that overtake
    attempts    how often it was claimed, this time included
    token       names this claim
    until       when the claim ends, by the database's clock
    created_at  when it was decided, by the database's clock
    """

    n: int
    session: SessionId | None
    lane: str | None
    pool: Pool
    effect: Effect | Job
    attempts: int
    token: str
    until: float
    created_at: float


# ── inserting ────────────────────────────────────────────────────────────
def insert(tx: Tx, session: Session, effects: Sequence[Effect]) -> int:
    """Queue what a step asks for and return how many rows that made.

    With a final activity, fleeting ones that are not under way lose their point: those queued earlier are dropped,
    those before it in `effects` are not queued.
    """
    last_final = max((i for i, effect in enumerate(effects) if _is_final_post(effect)), default=-1)
    if last_final >= 0:
        _drop_fleeting(tx, session.id)
        effects = [effect for i, effect in enumerate(effects) if i > last_final or not _is_fleeting_post(effect)]
    if effects:
        tx.executemany(_INSERT, [_row(tx, session, effect) for effect in effects])
    return len(effects)


def insert_job(tx: Tx, job: Job, *, after_s: float = 0.0) -> bool:
    """Queue a job unless one of its name is waiting or under way; return whether it was queued.

    One that waits longer than it would now comes forward.
    """
    due_at = tx.now + after_s
    if tx.execute(_JOB_WAITS, (job.name,)).fetchone():
        tx.execute(_JOB_FORWARD, (due_at, job.name, due_at))
        return False
    tx.execute(_INSERT, (None, None, ANY_HOST, "system", job.name, tx.now, due_at, None, encode(job), None, None))
    tx.wake("system")
    return True


def _row(tx: Tx, session: Session, effect: Effect) -> Sequence[Value]:
    now, lane, pool = tx.now, lane_of(effect), pool_of(effect)
    tx.wake(pool)
    return (
        session.id,
        lane,
        host_key(pool, session.host),
        pool,
        type(effect).__name__,
        now,
        now + effect.after_s if isinstance(effect, Remind | ShipLater) else now,
        now + FLEETING_S if _is_fleeting_post(effect) else None,
        encode(effect),
        session.id,
        lane,
    )


def _is_final_post(effect: Effect) -> bool:
    return isinstance(effect, Post) and is_final(effect.activity)


def _is_fleeting_post(effect: Effect) -> bool:
    return isinstance(effect, Post) and is_fleeting(effect.activity)


# ── claiming ─────────────────────────────────────────────────────────────
def claim(tx: Tx, pool: Pool, *, host: HostId, limit: int, lease_s: float) -> list[Claimed]:
    """Take up to `limit` effects of `pool` that are due and free, in the order in which they were queued.

    host     of the process that claims
    lease_s  how long nobody else may take them; `renew` in time
    Fleeting activities that come up too late are dropped on the way, and what this program cannot read is parked: one
    such row must not keep everything behind it from being done.
    """
    return claim_with(tx, _CLAIM, (pool, host_key(pool, host), tx.now), host=host, limit=limit, lease_s=lease_s)


def claim_with(
    tx: Tx, statement: str, chosen: Sequence[Value], *, host: HostId, limit: int, lease_s: float
) -> list[Claimed]:
    """Like `claim`, with another choice of rows.

    statement  an UPDATE … RETURNING with the columns that `claim` has; its parameters are token, host, end of the claim,
               `chosen` and the number of rows
    """
    claimed: list[Claimed] = []
    while room := limit - len(claimed):
        token, until = secrets.token_hex(8), tx.now + lease_s
        rows = tx.execute(statement, (token, host, until, *chosen, room)).fetchall()
        ended = False
        for n, session, lane, row_pool, kind, created_at, attempts, expires_at, body in rows:
            if expires_at is not None and expires_at <= tx.now:
                tx.execute(_END, (tx.now, "dropped", None, n, token))
                _advance(tx, session, lane)
                ended = True
                continue
            try:
                effect = decode_effect(body)
            except LedgerError as error:
                _log.error("effect.unreadable", n=n, effect=kind, session=session, error=str(error))
                tx.execute(_END, (tx.now, "parked", str(error)[:ERROR_LIMIT], n, token))
                if lane is not None:
                    _advance(tx, session, lane)
                ended = True
                continue
            claimed.append(
                Claimed(
                    n=n,
                    session=session,
                    lane=lane,
                    pool=row_pool,
                    effect=effect,
                    attempts=attempts,
                    token=token,
                    until=until,
                    created_at=created_at,
                )
            )
        if not ended:
            break
    return sorted(claimed, key=lambda one: one.n)


def next_due(tx: Tx, pool: Pool, host: HostId) -> float | None:
    """When the next effect of `pool` may be claimed, claims that end included; None when there is nothing to wait for.

    By the database's clock: sleep for the difference to `tx.now`.
    """
    row = tx.execute(_NEXT_DUE, (pool, host_key(pool, host))).fetchone()
    return None if row is None else float(row[0])


def renew(tx: Tx, claimed: Claimed, lease_s: float) -> bool:
    """Keep a claim for `lease_s` from now; False when it was lost."""
    return tx.execute(_RENEW, (tx.now + lease_s, claimed.n, claimed.token)).rowcount == 1


def release_host(tx: Tx, host: HostId) -> int:
    """Let what an earlier process of `host` had claimed fall due at once; for the start of a host's only process."""
    rows = tx.execute(_RELEASE_HOST, (tx.now, host)).fetchall()
    for (pool,) in rows:
        tx.wake(pool)
    return len(rows)


def bring_forward(tx: Tx, by_s: float) -> int:
    """The clock was set back by `by_s`: what was to be done at some moment waits no longer for it than it would have.

    Returns  how many effects
    """
    rows = tx.execute(_BRING_FORWARD, (tx.now, by_s, by_s, tx.now + NEAR_S)).fetchall()
    for (pool,) in rows:
        tx.wake(pool)
    return len(rows)


# ── ending ───────────────────────────────────────────────────────────────
def finish(tx: Tx, claimed: Claimed) -> bool:
    """It is done; False when the claim was lost, and then nothing changed."""
    return _end(tx, claimed, "done", None)


def drop(tx: Tx, claimed: Claimed) -> bool:
    """It has lost its point and was not done; False when the claim was lost."""
    return _end(tx, claimed, "dropped", None)


def park(tx: Tx, claimed: Claimed, error: str) -> bool:
    """It cannot be done and trying again is no use; its lane goes on. False when the claim was lost."""
    return _end(tx, claimed, "parked", error[:ERROR_LIMIT])


def retry(tx: Tx, claimed: Claimed, after_s: float, error: str) -> bool:
    """Try again in `after_s` seconds; its lane waits. False when the claim was lost."""
    parameters = (tx.now + after_s, error[:ERROR_LIMIT], claimed.n, claimed.token)
    if tx.execute(_RETRY, parameters).rowcount != 1:
        return False
    tx.wake(claimed.pool)
    return True


def _end(tx: Tx, claimed: Claimed, outcome: str, error: str | None) -> bool:
    if tx.execute(_END, (tx.now, outcome, error, claimed.n, claimed.token)).rowcount != 1:
        return False
    if claimed.lane is not None:
        _advance(tx, claimed.session, claimed.lane)
    return True


def _drop_fleeting(tx: Tx, session: SessionId) -> None:
    if tx.execute(_DROP_FLEETING, (tx.now, session, tx.now)).rowcount:
        _advance(tx, session, "linear")


def _advance(tx: Tx, session: str | None, lane: str) -> None:
    for (pool,) in tx.execute(_ADVANCE, (session, lane)).fetchall():
        tx.wake(pool)
