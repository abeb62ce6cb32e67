from __future__ import annotations

import json

import pytest
from hypothesis import given
from msgspec.structs import replace

from dragoman.core.effects import Effect
from dragoman.core.events import Event
from dragoman.core.events.linear import Prompt, Prompted, SessionOpened
from dragoman.core.events.opencode import Todo, TodosChanged
from dragoman.core.session import Session
from dragoman.errors import LedgerError
from dragoman.ledger.codec import (
    JOURNAL_LIMIT,
    decode_effect,
    decode_event,
    decode_session,
    encode,
    encode_for_journal,
)
from dragoman.ledger.pools import Job
from tests.builders import a_run, a_session, records


@given(records(Session))
def test_every_session_survives_a_round_trip(session: Session) -> None:
    assert decode_session(encode(session)) == session


@given(records(Effect))
def test_every_effect_survives_a_round_trip(effect: Effect) -> None:
    assert decode_effect(encode(effect)) == effect


@given(records(Event))
def test_every_event_survives_a_round_trip(event: Event) -> None:
    assert decode_event(encode(event)) == event


@given(records(Event))
def test_an_event_of_ordinary_size_is_in_the_journal_but_for_linears_context(event: Event) -> None:
    kept = event
    if isinstance(event, SessionOpened):
        kept = replace(event, prompt=replace(event.prompt, context=""))
    assert decode_event(encode_for_journal(event)) == kept


def test_a_job_survives_a_round_trip() -> None:
    job = Job(name="cleanup", body='{"since": 1}')
    assert decode_effect(encode(job)) == job


def test_long_texts_are_cut_in_the_journal_and_it_says_so() -> None:
    event = Prompted(prompt=Prompt(text="fix it", context="ß" * 100_000))
    body = encode_for_journal(event)
    assert len(body.encode()) < JOURNAL_LIMIT
    assert json.loads(body)["cut"] is True
    told = decode_event(body)
    assert isinstance(told, Prompted)
    assert told.prompt.text == "fix it"
    assert told.prompt.context.startswith("ßßß")
    assert told.prompt.context.endswith("…")


def test_what_no_cutting_makes_small_is_named_in_the_journal() -> None:
    body = encode_for_journal(
        TodosChanged(run=a_run(), todos=tuple(Todo(content=str(i), status="x") for i in range(5_000)))
    )
    assert json.loads(body) == {"v": 1, "cut": True, "value": {"type": "TodosChanged"}}


def test_a_row_of_another_version_is_refused_and_named() -> None:
    newer = encode(a_session()).replace('"v":1', '"v":7', 1)
    with pytest.raises(LedgerError, match="version 7") as caught:
        decode_session(newer)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "text", ["", "nonsense", '{"v":1,"value":{"type":"Session"}}', '{"v":1,"value":{"type":"Dream"}}']
)
def test_a_row_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(LedgerError):
        decode_session(text)


def test_fields_that_were_added_later_get_their_defaults() -> None:
    row = '{"v":1,"value":{"type":"Session","id":"s","organization":"o","host":"h"}}'
    assert decode_session(row) == Session(id="s", organization="o", host="h")  # type: ignore[arg-type]
