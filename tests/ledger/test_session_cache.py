"""Sessions that are kept decoded: the same ones as without, whoever changes a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.core.events.operators import MessageAdded
from dragoman.core.session import Session
from dragoman.ids import SessionId
from dragoman.ledger import turns
from dragoman.ledger.codec import encode
from dragoman.ledger.session_cache import SessionCache
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from tests.builders import SESSION, a_session
from tests.ledger.conftest import OpenLedger

HELLO = MessageAdded(role="user", text="Hello.")


async def say(ledger: SqliteLedger) -> Session:
    outcome = await ledger.turn(turns.receive, SESSION, HELLO, new=a_session)
    assert outcome.session is not None
    return outcome.session


def named(name: str) -> Session:
    return a_session(SessionId(name))


def test_the_same_text_is_decoded_once_and_another_text_anew() -> None:
    cache = SessionCache(10)
    text = encode(named("one"))
    first = cache.decode(SessionId("one"), text)
    assert cache.decode(SessionId("one"), str(text.encode(), "utf-8")) is first
    changed = replace(first, turns=7)
    assert cache.decode(SessionId("one"), encode(changed)) == changed


def test_the_session_that_was_used_longest_ago_goes_first() -> None:
    cache = SessionCache(2)
    kept = {name: encode(named(name)) for name in ("one", "two", "three")}
    one = cache.decode(SessionId("one"), kept["one"])
    two = cache.decode(SessionId("two"), kept["two"])
    assert cache.decode(SessionId("one"), kept["one"]) is one
    cache.decode(SessionId("three"), kept["three"])
    assert len(cache) == 2
    assert cache.decode(SessionId("one"), kept["one"]) is one
    assert cache.decode(SessionId("two"), kept["two"]) is not two


def test_a_cache_of_none_keeps_nothing() -> None:
    cache = SessionCache(0)
    cache.decode(SessionId("one"), encode(named("one")))
    assert len(cache) == 0


async def test_what_was_stored_is_not_decoded_for_the_next_event(ledger: SqliteLedger) -> None:
    said = await say(ledger)
    assert await ledger.turn(turns.load, SESSION) is said


async def test_another_process_that_changes_a_session_is_seen(tmp_path: Path, open_ledger: OpenLedger) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ours, theirs = await open_ledger(url), await open_ledger(url)
    for count in range(1, 4):
        assert (await say(ours)).messages == 2 * count - 1
        assert (await say(theirs)).messages == 2 * count


async def test_what_was_undone_is_not_remembered(ledger: SqliteLedger) -> None:
    before = await say(ledger)

    def broken(tx: Tx) -> None:
        turns.receive(tx, SESSION, HELLO)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await ledger.turn(broken)
    assert await ledger.turn(turns.load, SESSION) == before
    assert (await say(ledger)).messages == before.messages + 1
