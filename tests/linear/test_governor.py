import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import LinearError
from dragoman.linear.governor import RESERVE, Bucket, Dropped, Governor, Priority
from dragoman.linear.graphql import RateLimited
from dragoman.linear.quota import Quota
from tests.linear.held_clock import HeldClock, settle

F, ASK, ACK, PLAN, ACTION, EPHEMERAL = Priority


def drained(left: float, *, capacity: float = 1000.0) -> Bucket:
    bucket = Bucket(capacity=capacity, period_s=1000.0)
    bucket.answered(Quota(limit=int(capacity), remaining=int(left)), 0.0)
    return bucket


def admitted(bucket: Bucket, now: float = 0.0) -> set[Priority]:
    return {priority for priority in Priority if bucket.wait_s(priority, now) == 0}


@pytest.mark.parametrize(
    "left, may",
    [
        (1000, {F, ASK, ACK, PLAN, ACTION, EPHEMERAL}),
        (501, {F, ASK, ACK, PLAN, ACTION, EPHEMERAL}),
        (500, {F, ASK, ACK, PLAN, ACTION}),
        (201, {F, ASK, ACK, PLAN, ACTION}),
        (200, {F, ASK, ACK, PLAN}),
        (120, {F, ASK, ACK}),
        (50, {F, ASK}),
        (20, {F}),
        (1, {F}),
        (0, set()),
    ],
)
def test_each_priority_leaves_its_reserve_to_those_above(left: int, may: set[Priority]) -> None:
    assert admitted(drained(left)) == may


def test_reserves_grow_as_urgency_falls() -> None:
    shares = [RESERVE[priority] for priority in Priority]
    assert shares == sorted(shares)
    assert shares[0] == 0.0


def test_the_bucket_refills_over_its_period() -> None:
    bucket = drained(0)
    assert bucket.wait_s(F, 0.0) == pytest.approx(1.0)
    assert bucket.wait_s(ACTION, 0.0) == pytest.approx(201.0)
    assert bucket.left(300.0) == pytest.approx(300.0)
    assert bucket.left(5000.0) == 1000.0


def test_a_tiny_budget_still_admits_everybody_when_it_is_full() -> None:
    assert admitted(Bucket(capacity=1, period_s=10.0)) == set(Priority)


def test_linear_knows_better_what_is_left() -> None:
    bucket = Bucket(capacity=5000, period_s=3600.0)
    for _ in range(3):
        bucket.take(0.0)
    bucket.answered(Quota(limit=2500, remaining=100), 0.0)
    assert bucket.left(0.0) == 98.0  # two of ours are still on their way
    bucket.answered(Quota(), 0.0)
    assert bucket.left(0.0) == 98.0  # a lost reply teaches nothing
    bucket.answered(Quota(limit=2500, remaining=2600), 0.0)
    assert bucket.left(0.0) == 2500.0


def test_at_the_reset_the_budget_is_whole_though_nobody_sent_anything() -> None:
    bucket = Bucket(capacity=5000, period_s=3600.0)
    bucket.take(0.0)
    bucket.answered(Quota(limit=5000, remaining=0, reset_at=10.0), 0.0)
    assert bucket.wait_s(ACTION, 0.0) == pytest.approx(2.0, abs=0.1)
    assert bucket.left(10.0) == pytest.approx(5000.0)
    # A reset that is over, or far away, is no reason to hurry or to dawdle.
    for reset_at in (5.0, 90_000.0):
        bucket.answered(Quota(limit=5000, remaining=0, reset_at=reset_at), 20.0)
        assert bucket.wait_s(F, 20.0) == pytest.approx(0.72)


def test_closed_is_closed_for_all_until_the_time_is_over() -> None:
    bucket = drained(1000)
    bucket.close(60.0)
    bucket.close(30.0)
    assert admitted(bucket, 0.0) == set()
    assert bucket.wait_s(F, 10.0) == 50.0
    assert admitted(bucket, 60.0) == set(Priority)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Priority), st.floats(0, 30)), max_size=80), st.integers(5, 200))
def test_no_priority_ever_eats_into_the_reserve_above_it(asks: list[tuple[Priority, float]], capacity: int) -> None:
    bucket, now = Bucket(capacity=capacity, period_s=600.0), 0.0
    taken = 0
    for priority, pause in asks:
        now += pause
        if bucket.wait_s(priority, now) == 0:
            bucket.take(now)
            taken += 1
            full = bucket.left(now) >= capacity - 1 - 1e-9
            assert full or bucket.left(now) >= capacity * RESERVE[priority] - 1e-6
        else:
            assert bucket.left(now) < capacity * RESERVE[priority] + 1
    assert taken <= capacity + now * capacity / 600.0 + 1


# ── the shell that waits ─────────────────────────────────────────────────
def governor(clock: HeldClock, left: int, *, capacity: int = 1000) -> Governor:
    gate = Governor(clock, capacity=capacity, period_s=float(capacity))  # one request a second
    gate.answered(Quota(limit=capacity, remaining=left))
    return gate


async def test_a_fleeting_activity_is_dropped_and_never_waits() -> None:
    gate = governor(HeldClock(), 500)
    with pytest.raises(Dropped):
        await gate.admit(EPHEMERAL)
    await gate.admit(ACTION)
    assert gate.left() == 499


async def test_a_wait_beyond_patience_is_refused_at_once_with_the_time_to_come_again() -> None:
    gate = governor(HeldClock(), 100)
    with pytest.raises(RateLimited) as refused:
        await gate.admit(ACTION, patience_s=10.0)
    assert refused.value.retry_after_s == pytest.approx(101.0)
    assert refused.value.retryable


async def test_those_who_wait_pass_by_priority_and_then_in_order_of_arrival() -> None:
    clock = HeldClock()
    gate = governor(clock, 0)
    passed: list[str] = []

    async def go(name: str, priority: Priority) -> None:
        await gate.admit(priority, patience_s=900.0)
        passed.append(name)
        gate.answered(Quota())

    names = [("plan1", PLAN), ("ack1", ACK), ("final1", F), ("ack2", ACK), ("final2", F), ("plan2", PLAN), ("ask", ASK)]
    async with asyncio.TaskGroup() as group:
        for name, priority in names:
            group.create_task(go(name, priority))
            await settle()
        assert passed == []
        await clock.move(1.5)
        assert passed == ["final1"]
        await clock.move(1.0)
        assert passed == ["final1", "final2"]
        await clock.move(800.0)
    assert passed == ["final1", "final2", "ask", "ack1", "ack2", "plan1", "plan2"]
    await gate.close()


async def test_nobody_overtakes_one_of_the_same_priority_who_waits() -> None:
    clock = HeldClock()
    gate = governor(clock, 0)
    first = asyncio.create_task(gate.admit(F, patience_s=60.0))
    await settle()
    clock.jump(1.0)  # there is one now, and it belongs to the first
    second = asyncio.create_task(gate.admit(F, patience_s=60.0))
    await clock.move(0.1)
    assert first.done()
    assert not second.done()
    await clock.move(1.0)
    assert second.done()


async def test_good_news_from_linear_wakes_those_who_wait() -> None:
    clock = HeldClock()
    gate = governor(clock, 0)
    waiting = asyncio.create_task(gate.admit(F))
    await settle()
    gate.answered(Quota(limit=1000, remaining=900))
    await settle()
    assert waiting.done()


async def test_after_a_refusal_nobody_goes_until_the_reset() -> None:
    clock = HeldClock()
    gate = governor(clock, 1000)
    gate.refused(5.0)
    waiting = asyncio.create_task(gate.admit(F))
    await clock.move(4.9)
    assert not waiting.done()
    await clock.move(0.2)
    assert waiting.done()
    gate.refused(None)
    with pytest.raises(RateLimited) as refused:
        await gate.admit(F)
    assert refused.value.retry_after_s == pytest.approx(30.0)


async def test_one_who_leaves_the_queue_takes_nothing_with_him() -> None:
    clock = HeldClock()
    gate = governor(clock, 0)
    leaving = asyncio.create_task(gate.admit(F, patience_s=60.0))
    staying = asyncio.create_task(gate.admit(F, patience_s=60.0))
    await settle()
    leaving.cancel()
    await clock.move(1.1)
    assert leaving.cancelled()
    assert staying.done()


async def test_one_who_is_cancelled_in_the_moment_of_admission_gives_it_back() -> None:
    clock = HeldClock()
    gate = governor(clock, 0)
    leaving = asyncio.create_task(gate.admit(F, patience_s=60.0))
    await settle()
    gate.answered(Quota(limit=1000, remaining=10))
    for _ in range(100):
        if gate.left() == 9:  # the gatekeeper has let him pass, he has not yet noticed
            break
        await asyncio.sleep(0)
    assert not leaving.done()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    assert gate.left() == 10


async def test_patience_also_ends_for_one_who_is_overtaken() -> None:
    clock = HeldClock()
    gate = governor(clock, 50, capacity=1000)
    waiting = asyncio.create_task(gate.admit(ACK, patience_s=3.0))

    async def busy() -> None:
        for _ in range(6):
            await gate.admit(F, patience_s=3.0)
            gate.answered(Quota(limit=1000, remaining=40))
            await clock.sleep(0.5)

    rush = asyncio.create_task(busy())
    await clock.move(3.5)
    with pytest.raises(RateLimited):
        await waiting
    await rush
    await gate.close()


async def test_closing_ends_all_waiting() -> None:
    gate = governor(HeldClock(), 0)
    waiting = asyncio.create_task(gate.admit(F))
    await settle()
    await gate.close()
    with pytest.raises(LinearError, match="stopping"):
        await waiting


async def test_twenty_busy_sessions_lose_no_final_within_the_budget() -> None:
    clock, draw = HeldClock(), random.Random(3)
    gate = Governor(clock, capacity=500, period_s=3600.0)
    sent = dict.fromkeys(("final", "action", "dropped", "late"), 0)

    async def session() -> None:
        for _ in range(60):
            await clock.sleep(draw.uniform(0.5, 3.0))
            try:
                await gate.admit(EPHEMERAL)
                gate.answered(Quota())
            except Dropped:
                sent["dropped"] += 1
            try:
                await gate.admit(ACTION, patience_s=0.0)
                gate.answered(Quota())
                sent["action"] += 1
            except RateLimited:
                sent["late"] += 1
        await gate.admit(F)
        gate.answered(Quota())
        sent["final"] += 1

    sessions = [asyncio.create_task(session()) for _ in range(20)]
    for _ in range(300):
        await clock.move(1.0)
    assert all(task.done() for task in sessions)
    assert sent["final"] == 20
    assert sent["dropped"] > 0
    assert sent["late"] > 0
    assert sent["action"] + sent["late"] == 1200
    await gate.close()
