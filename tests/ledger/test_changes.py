"""What has changed since a moment: told by the journal's numbers, and by what left."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given

from dragoman.core.session import Message
from dragoman.ids import SessionId
from dragoman.ledger import changes, turns
from dragoman.ledger.changes import Changes, Cursor, Place
from dragoman.ledger.cleanup import DEPARTURES_S, cleanup
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import a_session, a_step_to, a_tick, records
from tests.ledger_clock import HeldClock


async def speak(ledger: SqliteLedger, id_: str, *texts: str) -> None:
    session = a_session(SessionId(id_))
    step = a_step_to(messages=[Message(role="user", text=text) for text in texts])
    await ledger.turn(turns.receive, session.id, a_tick(session.id), new=lambda: session, turn_of=step)


async def forget(ledger: SqliteLedger, id_: str) -> None:
    def gone(tx: Tx) -> None:
        tx.execute("DELETE FROM journal WHERE session = ?", (id_,))
        tx.execute("DELETE FROM messages WHERE session = ?", (id_,))
        tx.execute("DELETE FROM sessions WHERE id = ?", (id_,))

    await ledger.turn(gone)


async def since(ledger: SqliteLedger, cursor: Cursor, limit: int = 100) -> Changes:
    found = await ledger.read(changes.since, cursor, limit)
    assert found is not None
    return found


def said(found: Changes) -> dict[str, Sequence[str]]:
    return {copy.id: [each.line.text for each in copy.lines] for copy in found.copies}


@given(records(Cursor))
def test_a_cursor_survives_being_written(cursor: Cursor) -> None:
    assert Cursor.of(str(cursor)) == (cursor if min(cursor.journal, cursor.messages, cursor.departures) >= 0 else None)


@pytest.mark.parametrize("text", ["", "1.2", "1.2.3.4", "a.b.c", "1.2.", "١.٢.٣", "1.2.99999999999999999999"])
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert Cursor.of(text) is None


async def test_each_change_is_told_once_and_only_the_new_lines(ledger: SqliteLedger) -> None:
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    first = await since(ledger, Cursor())
    assert said(first) == {"s1": ["one"], "s2": ["two"]}
    assert first.stats is not None
    assert first.stats.total == 2
    await speak(ledger, "s1", "three", "four")
    second = await since(ledger, first.cursor)
    assert said(second) == {"s1": ["three", "four"]}
    third = await since(ledger, second.cursor)
    assert (third.copies, third.gone, third.cursor) == ((), (), second.cursor)


async def test_no_line_is_passed_over_when_it_takes_several_steps(ledger: SqliteLedger) -> None:
    for number in range(10):
        await speak(ledger, f"s{number % 4}", f"line {number}")
    cursor, told = Cursor(), set[str]()
    for _ in range(20):
        found = await since(ledger, cursor, 3)
        told |= {text for texts in said(found).values() for text in texts}
        cursor = found.cursor
        if found.stats is not None:
            break
    assert told == {f"line {number}" for number in range(10)}
    assert cursor == await ledger.read(changes.head)


async def test_what_was_forgotten_is_told_also_when_its_numbers_are_given_out_again(ledger: SqliteLedger) -> None:
    await speak(ledger, "s1", "one")
    await speak(ledger, "s2", "two")
    seen = (await since(ledger, Cursor())).cursor
    await forget(ledger, "s2")
    await speak(ledger, "s3", "three")
    assert (await ledger.read(changes.head)).journal == seen.journal
    found = await since(ledger, seen)
    assert found.gone == ("s2",)
    assert said(found) == {"s3": ["three"]}


async def test_a_cursor_that_this_ledger_never_gave_cannot_be_followed(ledger: SqliteLedger) -> None:
    await speak(ledger, "s1", "one")
    for cursor in (Cursor(journal=99), Cursor(messages=99), Cursor(departures=1)):
        assert await ledger.read(changes.since, cursor) is None


async def test_a_copy_that_is_far_behind_is_told_to_begin_anew(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "FAR", 3)
    for _ in range(4):
        await speak(ledger, "s1")
    assert await ledger.read(changes.since, Cursor()) is None
    assert await ledger.read(changes.since, Cursor(journal=1)) is not None


async def test_what_left_is_known_for_a_month_and_its_newest_number_for_ever(
    ledger: SqliteLedger, clock: HeldClock
) -> None:
    for id_ in ("s1", "s2"):
        await speak(ledger, id_)
        await forget(ledger, id_)
    newest = (await ledger.read(changes.head)).departures
    assert newest > 1
    await ledger.turn(lambda tx: tx.execute("UPDATE departures SET at = ?", (clock.now,)))
    clock.now += DEPARTURES_S + 1
    assert await ledger.turn(cleanup) == newest - 1
    assert await ledger.turn(cleanup) == 0
    assert (await ledger.read(changes.head)).departures == newest
    assert await ledger.read(changes.since, Cursor()) is None  # who has not heard of them begins anew
    assert await ledger.read(changes.since, Cursor(departures=newest)) is not None


async def test_a_sweep_meets_every_session_once_and_cuts_long_conversations(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "ROOM", 4)
    monkeypatch.setattr(changes, "SESSIONS", 3)
    for number in range(8):
        await speak(ledger, f"s{number}", *(f"{number}.{each}" for each in range(number)))
    place: Place | None = Place()
    told: dict[str, list[str]] = {}
    while place is not None:
        swept = await ledger.read(changes.sweep, place)
        assert sum(len(copy.lines) for copy in swept.copies) <= 4
        for copy in swept.copies:
            assert [each.n for each in copy.lines] == sorted(each.n for each in copy.lines)
            assert all(copy.after < each.n <= (copy.upto or 10**9) for each in copy.lines)
            told.setdefault(copy.id, []).extend(each.line.text for each in copy.lines)
        place = swept.place
    assert told == {f"s{number}": [f"{number}.{each}" for each in range(number)] for number in range(8)}


async def test_a_sweep_that_was_in_the_middle_of_a_forgotten_session_goes_on_with_the_next(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "ROOM", 2)
    await speak(ledger, "s1", "one", "two", "three")
    await speak(ledger, "s2", "four")
    swept = await ledger.read(changes.sweep, Place())
    assert swept.place is not None
    assert swept.place.within == "s1"
    await forget(ledger, "s1")
    after = await ledger.read(changes.sweep, swept.place)
    assert [[each.line.text for each in copy.lines] for copy in after.copies] == [["four"]]


async def test_a_row_that_this_program_cannot_read_is_copied_as_far_as_it_is_known(ledger: SqliteLedger) -> None:
    await speak(ledger, "s1", "one")
    await ledger.turn(lambda tx: tx.execute("UPDATE sessions SET body = '{\"v\": 99}'"))
    (copy,) = (await since(ledger, Cursor())).copies
    assert (copy.session, copy.status, copy.issue_key) == (None, "creating", "ENG-12")


async def test_a_ledger_is_named_once(ledger: SqliteLedger) -> None:
    assert await ledger.read(changes.ledger_id) is None
    assert await ledger.turn(changes.name_ledger, "first") == "first"
    assert await ledger.turn(changes.name_ledger, "second") == "first"
    assert await ledger.read(changes.ledger_id) == "first"


async def test_only_sessions_that_are_not_there_are_unknown(ledger: SqliteLedger) -> None:
    await speak(ledger, "s1")
    assert await ledger.read(changes.unknown, [SessionId("s1"), SessionId("s2")]) == ("s2",)
