"""The copy in Redis, against a real Valkey: it follows the ledger, and is right again whatever happened to Redis."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from dragoman.core.events.linear import Withdrawn
from dragoman.ids import SessionId
from dragoman.ledger import changes
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.projection.store import RedisStore
from dragoman.runtime.engine import Engine
from dragoman.runtime.projector import Projector
from tests.projection.conftest import (
    StartProjector,
    forget,
    in_ledger,
    in_redis,
    mention,
    speak,
    until_current,
    until_equal,
)
from tests.projection.valkey import Valkey
from tests.runtime.waiting import until


async def test_what_is_decided_stands_in_redis_soon_after(
    start: StartProjector, engine: Engine, valkey: Valkey
) -> None:
    projector = start()
    await until_current(projector, valkey, 0)
    await mention(engine, "s1", "please fix the parser")

    async def there() -> bool:
        return await valkey.texts("s1") == ["please fix the parser"]

    await until(there)
    found = await valkey.session("s1")
    assert (found["status"], found["issue_key"], found["live"], found["turns"]) == ("creating", "ENG-s1", "1", "1")
    assert await valkey.stats() == {"total": 1, "active": 1, "completed": 0, "error": 0, "timeout": 0}
    (line,) = await valkey.messages("s1")
    assert (line["role"], line["author"], line["turn"]) == ("user", "Ann", 1)
    await engine.tell(SessionId("s1"), Withdrawn(reason="unassigned"))

    async def stopping() -> bool:
        return (await valkey.session("s1"))["phase"] == "Stopping"

    await until(stopping)


async def test_a_turn_of_another_process_is_noticed_too(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    projector = start()
    await until_current(projector, valkey, 0)
    await speak(ledger, "s1", "from elsewhere")  # nobody tells the projector
    await until_equal(ledger, valkey)
    assert await valkey.texts("s1") == ["from elsewhere"]


async def test_a_burst_of_more_turns_than_one_step_holds_is_copied_whole(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    projector = start()
    await until_current(projector, valkey, 0)
    await asyncio.gather(*(speak(ledger, f"s{number % 7}", f"line {number}") for number in range(350)))
    await until_equal(ledger, valkey)
    assert sum(len(texts) for texts in (await in_redis(valkey)).values()) == 350


async def test_what_came_while_redis_was_away_stands_there_afterwards(
    start: StartProjector, engine: Engine, ledger: SqliteLedger, valkey: Valkey
) -> None:
    projector = start()
    await mention(engine, "before")
    await until_current(projector, valkey, 1)
    with capture_logs() as logged:
        await valkey.kill()
        await until(projector.trouble)
        # No turn waits for Redis: it is away until they are over.
        await asyncio.gather(*(mention(engine, f"during-{number}") for number in range(20)))
        aged = projector.age_s()
        await until(lambda: projector.age_s() > aged)
        await valkey.start()
        await until_equal(ledger, valkey)
        await until(lambda: projector.state() == "current")
    assert len(await in_redis(valkey)) == 21
    told = [line["event"] for line in logged if line["event"].startswith("projection.")]
    assert told.count("projection.behind") == 1, told  # once, however often it was tried
    assert told.count("projection.caught_up") == 1
    assert told.index("projection.behind") < told.index("projection.caught_up")


async def test_a_redis_that_was_flushed_is_filled_again(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "s1", "one", "two")
    await speak(ledger, "s2")
    start()
    await until_equal(ledger, valkey)
    before = await valkey.everything()
    await valkey.reader.flushall()
    await until_equal(ledger, valkey)

    async def as_before() -> bool:
        return await valkey.everything() == before

    await until(as_before)


async def test_a_redis_that_came_back_from_an_older_snapshot_catches_up(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    start()
    await speak(ledger, "s1", "one")
    await until_equal(ledger, valkey)
    await valkey.reader.save()
    await speak(ledger, "s1", "two")
    await speak(ledger, "s2", "three")
    await until_equal(ledger, valkey)
    await valkey.kill()
    await valkey.start()
    await until_equal(ledger, valkey)
    assert await in_redis(valkey) == {"s1": ["one", "two"], "s2": ["three"]}


async def test_a_forgotten_session_leaves_no_key(start: StartProjector, ledger: SqliteLedger, valkey: Valkey) -> None:
    projector = start()
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    await until_current(projector, valkey, 2)
    await forget(ledger, "s1")
    await until_current(projector, valkey, 1)
    assert await in_redis(valkey) == {"s2": ["two"]}


async def test_numbers_that_are_given_out_again_after_the_newest_session_was_forgotten_are_followed(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    projector = start()
    await until_current(projector, valkey, 2)
    await valkey.kill()
    head = await ledger.read(changes.head)
    await forget(ledger, "s2")
    await speak(ledger, "s3", "three")
    assert (await ledger.read(changes.head)).journal == head.journal  # the same number, another turn
    await valkey.start()
    await until_equal(ledger, valkey)
    await until_current(projector, valkey, 2)


async def test_a_forgotten_session_that_begins_anew_has_no_old_lines(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "s1", "one", "two")
    start()
    await until_equal(ledger, valkey)
    await valkey.kill()
    await forget(ledger, "s1")
    await speak(ledger, "s1", "again")
    await valkey.start()
    await until_equal(ledger, valkey)
    assert await valkey.texts("s1") == ["again"]


async def test_a_redis_that_is_too_far_behind_is_written_anew_without_being_emptied(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    projector = start()
    await speak(ledger, "s1", "one")
    await until_current(projector, valkey, 1)
    await valkey.reader.hset("dragoman:projection", "cursor", "999999.999999.0")  # of a ledger that was since restored
    await speak(ledger, "s1", "two")
    await until_equal(ledger, valkey)

    async def followed() -> bool:
        return (await valkey.about())["cursor"] == str(await ledger.read(changes.head))

    await until(followed)


async def test_a_turn_pays_nothing_for_it(ledger: SqliteLedger) -> None:
    """What the copy follows is written anyway: a turn adds one line to the journal and nothing to departures."""
    before = await ledger.read(changes.head)
    await speak(ledger, "s1", "one")
    after = await ledger.read(changes.head)
    assert (after.journal - before.journal, after.departures - before.departures) == (1, 0)


async def test_two_projectors_of_one_ledger_do_not_undo_one_another(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    one, two = start(), start()
    await asyncio.gather(*(speak(ledger, f"s{number % 5}", f"line {number}") for number in range(200)))
    await until_equal(ledger, valkey)
    await until(lambda: one.state() == two.state() == "current")


async def test_another_ledger_in_the_same_database_is_told_and_not_overwritten(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "ours", "one")
    ours = Projector(ledger, RedisStore(valkey.url))
    await ours.rebuild()
    await ours.close(1.0)  # from here on it gives no sign
    other = await SqliteLedger.open("memory://")
    try:
        await speak(other, "theirs", "two")
        stranger = start(of=other)
        await until(stranger.trouble)
        assert "another Dragoman" in stranger.trouble()
        assert await in_redis(valkey) == {"ours": ["one"]}
        await valkey.reader.delete("dragoman:writer")  # what a minute without a sign does

        async def taken_over() -> bool:
            return "theirs" in await valkey.reader.zrange("dragoman:sessions", 0, -1)

        await until(taken_over)
    finally:
        await other.close()


async def test_lines_that_the_ledger_has_forgotten_go_with_the_next_change(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    start()
    await speak(ledger, "s1", "old", "new")
    await until_equal(ledger, valkey)

    def forget_the_first(tx: Tx) -> None:
        tx.execute("DELETE FROM messages WHERE n = (SELECT min(n) FROM messages)")

    await ledger.turn(forget_the_first)
    await speak(ledger, "s1", "newer")
    await until_equal(ledger, valkey)
    assert await valkey.texts("s1") == ["new", "newer"]


async def test_a_session_leaves_redis_when_its_time_is_over_but_not_while_a_turn_is_under_way(
    start: StartProjector, ledger: SqliteLedger, engine: Engine, valkey: Valkey
) -> None:
    start(retention_days=1)
    await speak(ledger, "resting", "one")
    await mention(engine, "live")
    await until_equal(ledger, valkey)
    changed = await ledger.read(
        lambda tx: tx.execute("SELECT updated_at FROM sessions WHERE id = 'resting'").fetchone()[0]
    )
    for key in ("dragoman:{resting}:session", "dragoman:{resting}:messages"):
        assert await valkey.reader.pexpiretime(key) == int((changed + 86_400.0) * 1_000)
    assert await valkey.reader.pexpiretime("dragoman:{live}:session") == -1


async def test_a_session_whose_time_is_over_is_not_written_at_all(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "old", "one")
    await speak(ledger, "new", "two")
    await ledger.turn(lambda tx: tx.execute("UPDATE sessions SET updated_at = updated_at - 90000 WHERE id = 'old'"))
    projector = start(retention_days=1)
    await until_current(projector, valkey, 2)  # the numbers count all that the ledger has
    assert await in_redis(valkey) == {"new": ["two"]}


async def test_keys_that_were_evicted_are_back_after_a_sweep(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    projector = start()
    await until_equal(ledger, valkey)
    await valkey.reader.delete("dragoman:{s1}:session", "dragoman:{s2}:messages")
    await valkey.reader.zadd("dragoman:sessions", {"nobody": 1.0})
    projector.sweep_soon()
    await until_equal(ledger, valkey)


async def test_a_long_conversation_is_swept_in_parts(
    start: StartProjector, ledger: SqliteLedger, valkey: Valkey
) -> None:
    for part in range(4):
        await speak(ledger, "long", *(f"line {part}.{number}" for number in range(300)))
    await speak(ledger, "short", "one")
    start()
    await until_equal(ledger, valkey)
    assert len(await valkey.texts("long")) == 1_200


@pytest.mark.deep
async def test_ten_thousand_sessions_are_written_a_few_at_a_time(ledger: SqliteLedger, valkey: Valkey) -> None:
    def open_many(tx: Tx) -> None:
        tx.execute(
            "INSERT INTO sessions (id, organization, host, status, phase, live, created_at, updated_at, body) "
            "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 10000) "
            "SELECT 's' || n, 'org', 'host', 'active', 'Resting', 0, n, n, '{}' FROM counted"
        )
        tx.execute(
            "INSERT INTO messages (session, turn, at, role, text, tokens, cost) "
            "SELECT id, 1, updated_at, 'user', 'hello ' || id, 0, 0.0 FROM sessions"
        )

    await ledger.turn(open_many)
    held: list[int] = []
    read = ledger.read

    async def watched(function, *args, **kwargs):  # type: ignore[no-untyped-def]
        found = await read(function, *args, **kwargs)
        if isinstance(found, changes.Swept):
            held.append(sum(1 + len(copy.lines) for copy in found.copies))
        return found

    ledger.read = watched  # type: ignore[method-assign]
    projector = Projector(ledger, RedisStore(valkey.url))
    assert await projector.rebuild() == 10_000
    await projector.close(1.0)
    assert max(held) <= changes.SESSIONS + changes.ROOM
    assert len(held) >= 10_000 // changes.SESSIONS
    ledger.read = read  # type: ignore[method-assign]
    assert await in_redis(valkey) == await in_ledger(ledger)
