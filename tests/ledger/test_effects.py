from __future__ import annotations

import pytest

from dragoman.core.effects import AbortRun, Effect, Remind
from dragoman.ids import HostId, SessionId
from dragoman.ledger import effects, read, turns
from dragoman.ledger.effects import Claimed
from dragoman.ledger.pools import Job, Pool
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import (
    HOST,
    SESSION,
    a_final_post,
    a_fleeting_post,
    a_post,
    a_reminder,
    a_run,
    a_session,
    a_start,
    a_step_to,
    a_tick,
)
from tests.ledger_clock import HeldClock

OTHER = SessionId("5e551011-0000-4000-8000-000000000002")
ABORT = AbortRun(run=a_run(), thread=None, directory=None)


async def queue(ledger: SqliteLedger, *wanted: Effect, session: SessionId = SESSION, host: HostId = HOST) -> None:
    """Have a turn of the session ask for these effects."""
    await ledger.turn(
        turns.receive, session, a_tick(), new=lambda: a_session(session, host=host), turn_of=a_step_to(*wanted)
    )


async def claim(
    ledger: SqliteLedger, pool: Pool = "linear", *, host: HostId = HOST, limit: int = 100, lease_s: float = 60
) -> list[Claimed]:
    return await ledger.turn(effects.claim, pool, host=host, limit=limit, lease_s=lease_s)


async def waiting(ledger: SqliteLedger, session: SessionId = SESSION) -> list[read.EffectLine]:
    details = await ledger.read(read.details, session)
    assert details is not None
    return list(details.effects)


# ── lanes ────────────────────────────────────────────────────────────────
async def test_a_lane_gives_one_effect_at_a_time_in_order(ledger: SqliteLedger) -> None:
    posts = [a_post("one"), a_post("two"), a_post("three")]
    await queue(ledger, posts[0])
    await queue(ledger, posts[1], posts[2])
    for post in posts:
        (claimed,) = await claim(ledger)
        assert claimed.effect == post
        assert await claim(ledger) == []
        assert await ledger.turn(effects.finish, claimed)
    assert await waiting(ledger) == []


async def test_lanes_and_sessions_do_not_wait_for_one_another(ledger: SqliteLedger) -> None:
    await queue(ledger, a_post("one"), a_start())
    await queue(ledger, a_post("two"), session=OTHER)
    assert [c.session for c in await claim(ledger)] == [SESSION, OTHER]
    assert [c.effect for c in await claim(ledger, "start")] == [a_start()]


async def test_what_has_no_lane_overtakes(ledger: SqliteLedger) -> None:
    await queue(ledger, a_start(), ABORT, ABORT)
    assert [c.effect for c in await claim(ledger, "start")] == [a_start()]
    assert [c.effect for c in await claim(ledger, "abort")] == [ABORT, ABORT]


async def test_no_more_is_claimed_than_asked_for_and_the_longest_waiting_first(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    for name in ("c", "a", "b"):
        await queue(ledger, a_post(name), session=SessionId(name))
        clock.now += 1
    assert [c.session for c in await claim(ledger, limit=2)] == ["c", "a"]
    assert [c.session for c in await claim(ledger, limit=2)] == ["b"]


async def test_a_retried_effect_holds_its_lane_until_it_is_due(ledger: SqliteLedger, clock: HeldClock) -> None:
    await queue(ledger, a_post("one"), a_post("two"))
    (first,) = await claim(ledger)
    assert await ledger.turn(effects.retry, first, 5.0, "Linear answered 502")
    assert await claim(ledger) == []
    assert await ledger.read(effects.next_due, "linear", HOST) == clock.now + 5.0
    assert [(e.error, e.attempts) for e in await waiting(ledger)] == [("Linear answered 502", 1), (None, 0)]
    clock.now += 5.0
    (again,) = await claim(ledger)
    assert (again.n, again.attempts, again.effect) == (first.n, 2, first.effect)


async def test_a_parked_effect_counts_as_done_for_its_lane(ledger: SqliteLedger) -> None:
    await queue(ledger, a_post("one"), a_post("two"))
    (first,) = await claim(ledger)
    assert await ledger.turn(effects.park, first, "x" * 10_000)
    (second,) = await claim(ledger)
    assert second.effect == a_post("two")
    (parked,) = await ledger.read(read.parked)
    assert (parked.n, len(parked.error or "")) == (first.n, effects.ERROR_LIMIT)


# ── claims ───────────────────────────────────────────────────────────────
async def test_a_claim_that_was_not_renewed_falls_to_the_next_and_its_token_is_worth_nothing(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await queue(ledger, a_post("one"), a_post("two"))
    (lost,) = await claim(ledger, lease_s=10)
    assert lost.until == clock.now + 10
    clock.now += 10
    (taken,) = await claim(ledger)
    assert taken.n == lost.n
    for attempt in (
        ledger.turn(effects.finish, lost),
        ledger.turn(effects.park, lost, "no"),
        ledger.turn(effects.retry, lost, 0.0, "no"),
        ledger.turn(effects.renew, lost, 60),
    ):
        assert not await attempt
    assert await ledger.turn(effects.finish, taken)


async def test_a_renewed_claim_stays(ledger: SqliteLedger, clock: HeldClock) -> None:
    await queue(ledger, a_post("one"))
    (claimed,) = await claim(ledger, lease_s=10)
    clock.now += 9
    assert await ledger.turn(effects.renew, claimed, 10)
    clock.now += 9
    assert await claim(ledger) == []
    assert await ledger.turn(effects.finish, claimed)


async def test_an_expired_claim_that_nobody_took_can_still_be_finished_once(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await queue(ledger, a_post("one"))
    (claimed,) = await claim(ledger, lease_s=1)
    clock.now += 100
    assert await ledger.turn(effects.finish, claimed)
    assert not await ledger.turn(effects.finish, claimed)


async def test_the_start_of_a_hosts_only_process_frees_what_the_one_before_had_claimed(ledger: SqliteLedger) -> None:
    await queue(ledger, a_post("one"), a_start())
    await queue(ledger, a_post("two"), session=OTHER)
    (one, two), (start,) = await claim(ledger, limit=2), await claim(ledger, "start")
    assert await ledger.turn(effects.release_host, HostId("host-b")) == 0
    assert await ledger.turn(effects.release_host, HOST) == 3
    assert [c.n for c in await claim(ledger)] == [one.n, two.n]
    assert [c.n for c in await claim(ledger, "start")] == [start.n]
    assert not await ledger.turn(effects.finish, one)


async def test_only_the_sessions_host_may_touch_its_agent_and_anyone_may_write_to_linear(ledger: SqliteLedger) -> None:
    await queue(ledger, a_post("one"), a_start(), ABORT)
    other = HostId("host-b")
    assert await claim(ledger, "start", host=other) == []
    assert await claim(ledger, "abort", host=other) == []
    assert await ledger.read(effects.next_due, "start", other) is None
    assert len(await claim(ledger, "linear", host=other)) == 1
    assert len(await claim(ledger, "start")) == len(await claim(ledger, "abort")) == 1


# ── what cannot be read ──────────────────────────────────────────────────
@pytest.mark.parametrize("body", ["{", '{"v":1,"value":{"type":"Unheard"}}', '{"v":99,"value":{}}'])
async def test_a_row_that_cannot_be_read_is_parked_and_everything_behind_it_goes_on(
    ledger: SqliteLedger, body: str
) -> None:
    await queue(ledger, a_post("one"), a_post("two"), a_post("three"))
    await queue(ledger, a_post("elsewhere"), session=OTHER)
    spoil = "UPDATE effects SET body = ? WHERE n = 1"
    await ledger.turn(lambda tx: tx.execute(spoil, (body,)).rowcount)
    found = [claimed.effect for claimed in await claim(ledger, limit=2)]
    assert sorted(str(effect) for effect in found) == sorted(str(a_post(words)) for words in ("two", "elsewhere"))
    [parked] = await ledger.read(read.parked)
    assert parked.n == 1
    assert "a stored row" in (parked.error or "")


# ── time ─────────────────────────────────────────────────────────────────
async def test_a_reminder_comes_when_it_is_due(ledger: SqliteLedger, clock: HeldClock) -> None:
    await queue(ledger, a_reminder(600.0), a_reminder(30.0))
    assert await claim(ledger, "timers") == []
    assert await ledger.read(effects.next_due, "timers", HOST) == clock.now + 30.0
    clock.now += 30.0
    (claimed,) = await claim(ledger, "timers")
    assert isinstance(claimed.effect, Remind)
    assert claimed.effect.after_s == 30.0


async def test_nothing_to_do_is_nothing_to_wait_for(ledger: SqliteLedger) -> None:
    assert await ledger.read(effects.next_due, "linear", HOST) is None


async def test_a_claimed_effect_is_next_due_when_its_claim_ends(ledger: SqliteLedger, clock: HeldClock) -> None:
    await queue(ledger, a_post("one"))
    await claim(ledger, lease_s=42)
    assert await ledger.read(effects.next_due, "linear", HOST) == clock.now + 42


# ── fleeting activities ──────────────────────────────────────────────────
async def test_fleeting_activities_that_come_up_late_are_dropped_and_the_lane_goes_on(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await queue(ledger, a_fleeting_post("a"), a_fleeting_post("b"), a_post("durable"), a_fleeting_post("c"))
    clock.now += effects.FLEETING_S
    (claimed,) = await claim(ledger, limit=1)
    assert claimed.effect == a_post("durable")
    assert await ledger.turn(effects.finish, claimed)
    assert await claim(ledger) == []
    assert await waiting(ledger) == []


async def test_fleeting_activities_in_time_are_sent(ledger: SqliteLedger, clock: HeldClock) -> None:
    await queue(ledger, a_fleeting_post("a"))
    clock.now += effects.FLEETING_S - 1
    assert [c.effect for c in await claim(ledger)] == [a_fleeting_post("a")]


async def test_a_final_activity_drops_the_fleeting_ones_that_nobody_is_sending(ledger: SqliteLedger) -> None:
    await queue(ledger, a_fleeting_post("sending"), a_fleeting_post("a"), a_post("durable"), a_fleeting_post("b"))
    (sending,) = await claim(ledger)
    await queue(ledger, a_fleeting_post("c"), a_final_post(), a_fleeting_post("of the next turn"))
    left = []
    claimed = [sending]
    while claimed:
        left.append(claimed[0].effect)
        assert await ledger.turn(effects.finish, claimed[0])
        claimed = await claim(ledger)
    assert left == [a_fleeting_post("sending"), a_post("durable"), a_final_post(), a_fleeting_post("of the next turn")]


async def test_a_final_activity_behind_dropped_ones_is_head_at_once(ledger: SqliteLedger) -> None:
    await queue(ledger, a_fleeting_post("a"), a_fleeting_post("b"))
    await queue(ledger, a_final_post())
    assert [c.effect for c in await claim(ledger)] == [a_final_post()]


async def test_a_final_activity_drops_a_fleeting_one_whose_claim_has_expired(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    await queue(ledger, a_fleeting_post("a"))
    (lost,) = await claim(ledger, lease_s=5)
    clock.now += 5
    await queue(ledger, a_final_post())
    assert [c.effect for c in await claim(ledger)] == [a_final_post()]
    assert not await ledger.turn(effects.finish, lost)


async def test_a_final_activity_leaves_other_sessions_alone(ledger: SqliteLedger) -> None:
    await queue(ledger, a_fleeting_post("a"), session=OTHER)
    await queue(ledger, a_final_post())
    assert len(await waiting(ledger, OTHER)) == 1


# ── jobs ─────────────────────────────────────────────────────────────────
async def test_one_job_of_a_name_waits_at_a_time(ledger: SqliteLedger, clock: HeldClock) -> None:
    job = Job(name="cleanup")
    assert await ledger.turn(effects.insert_job, job, after_s=60)
    assert not await ledger.turn(effects.insert_job, job)
    assert await ledger.turn(effects.insert_job, Job(name="reconcile"))
    clock.now += 60
    claimed = await claim(ledger, "system")
    assert [(c.effect, c.session, c.lane) for c in claimed] == [(job, None, None), (Job(name="reconcile"), None, None)]
    assert not await ledger.turn(effects.insert_job, job)
    assert await ledger.turn(effects.finish, claimed[0])
    assert await ledger.turn(effects.insert_job, job)


async def test_a_job_has_no_session_that_could_hear_of_it(ledger: SqliteLedger) -> None:
    await ledger.turn(effects.insert_job, Job(name="cleanup"))
    (claimed,) = await claim(ledger, "system")
    with pytest.raises(ValueError, match="no session"):
        await ledger.turn(turns.finish_with, claimed, a_tick(), turn_of=a_step_to())


# ── waking the workers ───────────────────────────────────────────────────
async def test_workers_are_woken_for_what_is_new_and_for_what_comes_up(ledger: SqliteLedger) -> None:
    woken: list[set[str]] = []
    ledger.on_commit(lambda pools: woken.append(set(pools)))
    await queue(ledger, a_post("one"), a_post("two"), a_reminder(9.0))
    (claimed,) = await claim(ledger)
    await ledger.turn(effects.finish, claimed)
    (claimed,) = await claim(ledger)
    await ledger.turn(effects.retry, claimed, 1.0, "later")
    await ledger.turn(effects.release_host, HOST)
    assert woken == [{"linear", "timers"}, {"linear"}, {"linear"}]
