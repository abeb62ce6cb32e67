"""The law of the lanes, under random histories of several workers, crashes and time.

The model is a list of effects per lane; the ledger has to agree with it after every step.
"""

from __future__ import annotations

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragoman.core.effects import AbortRun, BeginIssue, Effect, lane_of
from dragoman.ids import HostId, SessionId
from dragoman.ledger import effects, turns
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Pool
from dragoman.ledger.sqlite import SqliteTx
from dragoman.ledger.sqlite_file import open_memory
from dragoman.ledger.tx import Tx
from tests.builders import HOST, a_final_post, a_fleeting_post, a_post, a_run, a_session, a_start, a_step_to, a_tick

LEASE_S = 10.0
SESSIONS = [SessionId("s1"), SessionId("s2")]
POOLS: list[Pool] = ["linear", "start", "abort"]


def effect_of(kind: str, session: SessionId, number: int) -> Effect:
    name = f"{session}-{number}"
    match kind:
        case "post":
            return a_post(name)
        case "fleeting":
            return a_fleeting_post(name)
        case "final":
            return a_final_post(name)
        case "start":
            return a_start(session)
        case "begin":
            return BeginIssue(issue=None, start=True, delegate=False)
        case _:
            return AbortRun(run=a_run(session), thread=None, directory=None)


class Lanes(RuleBasedStateMachine):
    """Two sessions, any number of workers; a crash is a worker that never comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = open_memory()
        self.now = 1_000.0
        self.number = 0
        self.inserted: set[int] = set()
        self.ended: dict[int, str] = {}
        self.held: dict[int, Claimed] = {}
        self.lost: list[Claimed] = []

    def teardown(self) -> None:
        self.connection.close()

    def tx(self) -> SqliteTx:
        return SqliteTx(self.connection.cursor(), self.now, set())

    def rows(self) -> list[tuple[int, str, str | None, int, float | None, str | None, str | None]]:
        found = self.connection.execute(
            "SELECT n, session, lane, head, done_at, outcome, claim FROM effects ORDER BY n"
        ).fetchall()
        return [tuple(row) for row in found]

    @rule(
        session=st.sampled_from(SESSIONS),
        kinds=st.lists(
            st.sampled_from(["post", "fleeting", "final", "start", "begin", "abort"]), min_size=1, max_size=4
        ),
    )
    def ask(self, session: SessionId, kinds: list[str]) -> None:
        wanted = []
        for kind in kinds:
            self.number += 1
            wanted.append(effect_of(kind, session, self.number))
        turns.receive(self.tx(), session, a_tick(session), new=lambda: a_session(session), turn_of=a_step_to(*wanted))
        self.inserted |= {row[0] for row in self.rows()}

    @rule(pool=st.sampled_from(POOLS), limit=st.integers(1, 3))
    def claim(self, pool: Pool, limit: int) -> None:
        taken = effects.claim(self.tx(), pool, host=HOST, limit=limit, lease_s=LEASE_S)
        assert len(taken) <= limit
        for claimed in taken:
            assert claimed.n not in self.ended
            if claimed.n in self.held:
                # Only a claim that has ended may be taken over.
                assert self.held[claimed.n].until <= self.now
                self.lost.append(self.held[claimed.n])
            if claimed.lane is not None:
                assert claimed.n == min(
                    n
                    for n, *rest in self.rows()
                    if rest[0] == claimed.session and rest[1] == claimed.lane and rest[3] is None
                )
            self.held[claimed.n] = claimed
        if len(taken) < limit:
            free = self.connection.execute(
                "SELECT count(*) FROM effects WHERE pool = ? AND head = 1 AND due_at <= ?", (pool, self.now)
            )
            assert free.fetchone()[0] == 0

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["finish", "park", "retry", "renew", "tell"]))
    def end(self, data: st.DataObject, how: str) -> None:
        n = data.draw(st.sampled_from(sorted(self.held)))
        claimed = self.held[n]
        gone = n in self.ended
        assert self.act(how, claimed) is not gone
        if gone or how != "renew":
            del self.held[n]
        else:
            self.held[n] = Claimed(
                **{f: getattr(claimed, f) for f in claimed.__struct_fields__} | {"until": self.now + LEASE_S}
            )

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), how=st.sampled_from(["finish", "park", "retry", "renew", "tell"]))
    def come_back_too_late(self, data: st.DataObject, how: str) -> None:
        before = self.rows()
        assert not self.act(how, data.draw(st.sampled_from(self.lost)))
        assert self.rows() == before

    def act(self, how: str, claimed: Claimed) -> bool:
        tx: Tx = self.tx()
        match how:
            case "finish":
                return effects.finish(tx, claimed)
            case "park":
                return effects.park(tx, claimed, "no use")
            case "retry":
                return effects.retry(tx, claimed, 3.0, "later")
            case "renew":
                return effects.renew(tx, claimed, LEASE_S)
            case _:
                assert claimed.session is not None
                return turns.finish_with(tx, claimed, a_tick(claimed.session), turn_of=a_step_to()) is not None

    @rule(seconds=st.sampled_from([1.0, 4.0, LEASE_S, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        """The process is killed and starts again: what it held is free, and its memory is gone."""
        effects.release_host(self.tx(), HOST)
        self.lost += self.held.values()
        self.held.clear()

    @rule()
    def another_host_starts(self) -> None:
        before = self.rows()
        effects.release_host(self.tx(), HostId("host-b"))
        assert self.rows() == before

    @invariant()
    def the_head_is_the_lowest_unfinished_row(self) -> None:
        seen: set[tuple[str, str]] = set()
        for _n, session, lane, head, done_at, _outcome, _claim in self.rows():
            if done_at is not None:
                assert head == 0
            elif lane is None:
                assert head == 1
            else:
                assert head == ((session, lane) not in seen)
                seen.add((session, lane))

    @invariant()
    def only_heads_are_claimed_so_a_lane_has_one_claim_at_most(self) -> None:
        assert all(head == 1 for _n, _s, _l, head, _d, _o, claim in self.rows() if claim is not None)

    @invariant()
    def nothing_is_lost_and_what_has_ended_stays_ended(self) -> None:
        rows = {n: (done_at, outcome) for n, _s, _l, _h, done_at, outcome, _c in self.rows()}
        assert set(rows) == self.inserted
        assert all((done_at is None) == (outcome is None) for done_at, outcome in rows.values())
        for n, outcome in self.ended.items():
            assert rows[n][1] == outcome
        self.ended = {n: outcome for n, (_done, outcome) in rows.items() if outcome is not None}

    @invariant()
    def only_fleeting_activities_are_dropped(self) -> None:
        found = self.connection.execute("SELECT count(*) FROM effects WHERE outcome = 'dropped' AND expires_at IS NULL")
        assert found.fetchone()[0] == 0


Lanes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLanes = Lanes.TestCase


def test_lanes_of_effects_are_those_of_the_core() -> None:
    connection: sqlite3.Connection = open_memory()
    wanted = [effect_of(kind, SESSIONS[0], 1) for kind in ("post", "start", "begin", "abort")]
    turns.receive(
        SqliteTx(connection.cursor(), 0.0, set()), SESSIONS[0], a_tick(), new=a_session, turn_of=a_step_to(*wanted)
    )
    lanes = [lane for (lane,) in connection.execute("SELECT lane FROM effects ORDER BY n").fetchall()]
    connection.close()
    assert lanes == [lane_of(effect) for effect in wanted]
