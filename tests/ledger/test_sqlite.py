from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from dragoman.errors import ConfigurationError, LedgerError, Refusal
from dragoman.ids import SessionId
from dragoman.ledger import effects, hosts, read, turns
from dragoman.ledger.pools import Job
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import HOST, SESSION, a_post, a_reminder, a_session, a_step_to, a_tick
from tests.ledger.conftest import OpenLedger, columns
from tests.ledger_clock import HeldClock


async def put(ledger: SqliteLedger, key: str, value: str = "x") -> None:
    await ledger.turn(hosts.put_value, key, value)


def count_values(tx: Tx) -> int:
    return int(tx.execute("SELECT count(*) FROM meta").fetchone()[0])


def now(tx: Tx) -> float:
    return tx.now


# ── group commit ─────────────────────────────────────────────────────────
async def test_a_failing_turn_takes_none_of_its_group_with_it(ledger: SqliteLedger) -> None:
    def fail(tx: Tx, key: str) -> None:
        hosts.put_value(tx, key, "half")
        raise KeyError(key)

    together = [put(ledger, f"good-{i}") if i % 3 else ledger.turn(fail, f"bad-{i}") for i in range(30)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    assert [isinstance(outcome, KeyError) for outcome in outcomes] == [i % 3 == 0 for i in range(30)]
    assert await ledger.read(count_values) == 20


async def test_a_turn_beside_a_failing_one_happens_once(ledger: SqliteLedger) -> None:
    def add(tx: Tx) -> int:
        number = int(hosts.get_value(tx, "number") or 0) + 1
        hosts.put_value(tx, "number", str(number))
        return number

    def fail(tx: Tx) -> int:
        add(tx)
        raise KeyError

    counted = await asyncio.gather(
        *(ledger.turn(add) if i % 2 else ledger.turn(fail) for i in range(20)), return_exceptions=True
    )
    assert [number for number in counted if isinstance(number, int)] == list(range(1, 11))
    assert await ledger.read(hosts.get_value, "number") == "10"


async def test_a_failing_turn_wakes_nobody(ledger: SqliteLedger) -> None:
    woken: list[frozenset[str]] = []
    ledger.on_commit(woken.append)

    def fail(tx: Tx) -> None:
        tx.wake("linear")
        raise KeyError

    with pytest.raises(KeyError):
        await ledger.turn(fail)
    await ledger.turn(lambda tx: tx.wake("agent"))
    assert woken == [frozenset({"agent"})]


async def test_turns_that_wait_share_a_commit_and_keep_their_order(ledger: SqliteLedger) -> None:
    gate = threading.Event()
    seen: list[int] = []
    woken: list[frozenset[str]] = []
    ledger.on_commit(woken.append)

    def hold(_tx: Tx) -> None:
        assert gate.wait(60)

    def note(tx: Tx, number: int) -> None:
        seen.append(number)
        tx.wake("linear")

    first = asyncio.ensure_future(ledger.turn(hold))
    rest = [asyncio.ensure_future(ledger.turn(note, number)) for number in range(100)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *rest)
    assert seen == list(range(100))
    assert len(woken) <= 2  # one for each commit: the holding turn's group and the one after


async def test_a_turn_whose_caller_has_gone_is_not_run(ledger: SqliteLedger) -> None:
    gate, begun = threading.Event(), threading.Event()

    def hold(_: Tx) -> None:
        begun.set()
        gate.wait(60)

    first = asyncio.ensure_future(ledger.turn(hold))
    await asyncio.to_thread(begun.wait, 60)  # the writer has its group: none of the following is in it
    abandoned = [asyncio.ensure_future(put(ledger, f"abandoned-{number}")) for number in range(300)]
    await asyncio.sleep(0)
    for one in abandoned:
        one.cancel()
    await asyncio.gather(*abandoned, return_exceptions=True)
    gate.set()
    await first
    await put(ledger, "after")
    assert await ledger.read(hosts.get_value, "after") == "x"
    assert await ledger.read(count_values) == 1


async def test_too_many_waiting_turns_are_refused_for_now(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.ledger.sqlite.WAITING_LIMIT", 0)
    with pytest.raises(LedgerError) as caught:
        await put(ledger, "k")
    assert caught.value.retryable


# ── trouble ──────────────────────────────────────────────────────────────
async def test_a_full_disk_is_an_error_that_may_be_retried_and_passes(tmp_path: Path, open_ledger: OpenLedger) -> None:
    path = tmp_path / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    await put(ledger, "before")
    pages = await ledger.turn(lambda tx: int(tx.execute("PRAGMA page_count").fetchone()[0]))
    await ledger.turn(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
    outcomes = await asyncio.gather(
        *(put(ledger, f"big-{number}", "x" * 100_000) for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, LedgerError) and outcome.retryable for outcome in outcomes)
    assert await ledger.read(count_values) == 1
    await ledger.turn(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchall())
    await put(ledger, "after")
    assert await ledger.read(count_values) == 2
    assert columns(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_failed_commit_is_told_to_everyone_in_it_and_the_next_one_works(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(_group: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "_commit", sick)
        outcomes = await asyncio.gather(*(put(ledger, str(number)) for number in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, LedgerError) and outcome.retryable for outcome in outcomes)
    await put(ledger, "after")
    assert await ledger.read(count_values) == 1


async def test_a_log_that_cannot_be_emptied_undoes_no_turn_and_ends_no_ledger(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    for error, told in ((full, LedgerError), (ZeroDivisionError("a bug"), ZeroDivisionError)):

        def broken(_tx: Tx, error: Exception = error) -> bool:
            raise error

        monkeypatch.setattr("dragoman.ledger.sqlite._empty_log", broken)
        gate = threading.Event()

        def hold(_tx: Tx, gate: threading.Event = gate) -> bool:
            return gate.wait(100)

        holding = asyncio.ensure_future(ledger.turn(hold))
        together = asyncio.gather(put(ledger, repr(error)), ledger.wipe(), return_exceptions=True)
        await asyncio.sleep(0)  # both wait now behind the turn that holds, for one commit
        gate.set()
        await holding
        stored, wiped = await asyncio.wait_for(together, 60)
        assert stored is None
        assert isinstance(wiped, told)
        assert await ledger.read(hosts.get_value, repr(error)) is not None


async def test_a_connection_that_broke_is_replaced(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await put(ledger, "before")
    ledger._connection.close()
    with pytest.raises(LedgerError) as caught:
        await put(ledger, "during")
    assert caught.value.retryable
    await put(ledger, "after")
    assert await ledger.read(count_values) == 2


async def test_a_ledger_that_was_read_only_for_a_while_is_written_again(
    tmp_path: Path, open_ledger: OpenLedger
) -> None:
    path = tmp_path / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    await put(ledger, "before")
    ledger._connection.close()
    # What SQLite gives who opens a file that may not be written at that moment.
    ledger._connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5
    )
    with pytest.raises(LedgerError) as caught:
        await put(ledger, "during")
    assert caught.value.retryable
    await put(ledger, "after")
    assert await ledger.read(count_values) == 2


async def test_a_lock_that_another_process_keeps_is_an_error_that_may_be_retried(
    tmp_path: Path, open_ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.ledger.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError) as caught:
        await put(ledger, "during")
    assert caught.value.retryable
    assert await ledger.read(count_values) == 0  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    await put(ledger, "after")


async def test_a_mistake_in_our_sql_is_a_bug_and_no_passing_trouble(ledger: SqliteLedger) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await ledger.turn(lambda tx: tx.execute("SELECT nothing FROM nowhere").fetchall())
    await put(ledger, "after")


# ── reading ──────────────────────────────────────────────────────────────
async def test_reads_do_not_wait_for_a_turn_under_way(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    await put(ledger, "before")
    gate = threading.Event()
    holding = asyncio.ensure_future(ledger.turn(lambda _tx: gate.wait(100)))
    assert await asyncio.wait_for(ledger.read(count_values), 60) == 1
    assert not holding.done()
    gate.set()
    assert await holding


async def test_a_read_sees_what_was_acknowledged_just_before(ledger: SqliteLedger) -> None:
    for number in range(50):
        await put(ledger, str(number))
        assert await ledger.read(count_values) == number + 1


async def test_a_read_that_writes_is_refused(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(LedgerError):
        await ledger.read(hosts.put_value, "k", "v")
    assert await ledger.read(count_values) == 0


# ── the file ─────────────────────────────────────────────────────────────
async def test_nobody_else_may_read_the_files(tmp_path: Path, open_ledger: OpenLedger) -> None:
    path = tmp_path / "new" / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    await put(ledger, "k")
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    assert modes == {"ledger.db": "0o600", "ledger.db-wal": "0o600", "ledger.db-shm": "0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"


async def test_every_commit_is_synced_and_written_ahead(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    kept = await ledger.turn(
        lambda tx: [tx.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")]
    )
    assert kept == ["wal", 2]


async def test_a_ledger_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///ledger.db", f"sqlite:////{str(tmp_path / 'ledger.db').lstrip('/')}", "sqlite:///ledger.db"):
        ledger = await SqliteLedger.open(url)
        await put(ledger, url)
        await ledger.close()
    assert sorted(columns(tmp_path / "ledger.db", "SELECT key FROM meta")) == sorted(
        [("sqlite:///ledger.db",), (f"sqlite:///{tmp_path / 'ledger.db'}",)]
    )


async def test_a_schema_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await (await SqliteLedger.open(f"sqlite:///{path}")).close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO schema_version (version, name, applied_at) VALUES (99, 'future', '2099-01-01')")
    connection.commit()
    connection.close()
    with pytest.raises(Refusal, match="schema 99"):
        await SqliteLedger.open(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["postgresql://h/d", "redis://localhost:6379", "sqlite:///", "ledger.db", "sqlite:x"])
async def test_other_urls_are_refused_with_what_would_do(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        await SqliteLedger.open(url)


async def test_the_refusal_of_an_url_keeps_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await SqliteLedger.open("postgresql://me:hunter2@db/dragoman")
    assert "hunter2" not in str(caught.value)


async def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one " * 40)
    with pytest.raises(Refusal, match=r"notes\.txt"):
        await SqliteLedger.open(f"sqlite:///{path}")
    with pytest.raises(Refusal, match="cannot be opened"):
        await SqliteLedger.open(f"sqlite:///{tmp_path}")


# ── life ─────────────────────────────────────────────────────────────────
async def test_closing_commits_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = await SqliteLedger.open(f"sqlite:///{path}")
    waiting = [asyncio.ensure_future(put(ledger, str(number))) for number in range(600)]
    await asyncio.sleep(0)
    await ledger.close()
    await asyncio.gather(*waiting)
    assert columns(path, "SELECT count(*) FROM meta") == [(600,)]
    for late in (put(ledger, "late"), ledger.read(hosts.get_value, "late")):
        with pytest.raises(LedgerError, match="closed"):
            await late
    await ledger.close()


async def test_the_databases_clock_is_the_time_of_day(open_ledger: OpenLedger) -> None:
    ledger = await open_ledger("memory://")
    before = time.time()
    told = await ledger.turn(now)
    assert before - 1 < told < time.time() + 1


async def test_time_stands_still_within_a_transaction(tmp_path: Path, open_ledger: OpenLedger) -> None:
    ticks = iter(range(1, 1000))
    ledger = await open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=lambda: float(next(ticks)))

    def twice(tx: Tx) -> tuple[float, float]:
        return tx.now, tx.now

    first, again = await ledger.turn(twice)
    assert first == again
    assert (await ledger.turn(now)) > first


async def test_hosts_are_known_by_their_heartbeat(ledger: SqliteLedger, clock: HeldClock) -> None:
    await ledger.turn(hosts.beat, HOST, '{"pid": 1}')
    clock.now += 7
    assert await ledger.read(hosts.hosts) == [hosts.Host(id=HOST, silent_s=7.0, info='{"pid": 1}')]
    await ledger.turn(hosts.beat, HOST)
    assert await ledger.read(hosts.hosts) == [hosts.Host(id=HOST, silent_s=0.0, info="{}")]


async def test_a_clock_that_is_set_back_keeps_nothing_waiting(ledger: SqliteLedger, clock: HeldClock) -> None:
    await ledger.turn(hosts.beat, HOST)
    clock.now += 9
    await ledger.turn(effects.insert_job, Job(name="look"), after_s=600)
    await ledger.turn(
        turns.receive,
        SESSION,
        a_tick(),
        new=a_session,
        turn_of=a_step_to(a_post("one"), a_post("two"), a_reminder(900)),
    )
    (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=9, lease_s=30)
    await ledger.turn(effects.retry, claimed, 15, "no answer")
    clock.now += 1 - 3600
    assert await ledger.turn(hosts.beat, HOST) == 3590
    clock.now += 25  # the clock was ten seconds further than the last heartbeat knew
    for text in ("one", "two"):
        (claimed,) = await ledger.turn(effects.claim, "linear", host=HOST, limit=9, lease_s=30)
        assert claimed.effect == a_post(text)
        await ledger.turn(effects.finish, claimed)
    assert await ledger.turn(hosts.beat, HOST) == 0
    assert await ledger.read(effects.next_due, "system", HOST) == clock.now + 600 - 16
    assert await ledger.read(effects.next_due, "timers", HOST) == clock.now + 3600 + 900 - 26  # they go by that clock


async def test_single_values_are_replaced(ledger: SqliteLedger) -> None:
    assert await ledger.read(hosts.get_value, "k") is None
    await put(ledger, "k", "one")
    await put(ledger, "k", "two")
    assert await ledger.read(hosts.get_value, "k") == "two"


async def test_two_ledgers_in_memory_are_strangers(open_ledger: OpenLedger) -> None:
    one, two = await open_ledger("memory://"), await open_ledger("memory://")
    session = a_session(SessionId("only here"))
    await one.turn(turns.receive, session.id, a_tick(), new=lambda: session, turn_of=a_step_to(a_post("one")))
    assert len(await one.read(read.sessions)) == 1
    assert await two.read(read.sessions) == []
