"""The contract with readers: which keys there are, what lies under them, and that a session's lie together."""

from __future__ import annotations

import json
from binascii import crc_hqx
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dragoman.ids import SessionId
from dragoman.projection import layout
from dragoman.projection.layout import MessageRow, SessionRow, fields, line, messages_key, moment, session_key

ROW = SessionRow(
    id=SessionId("s1"),
    organization="org",
    host="host",
    status="active",
    status_at=0.5,
    phase="Resting",
    live=False,
    created_at=0.0,
    updated_at=1.5,
)


def slot(key: str) -> int:
    """The slot of a key in a cluster: redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec, CRC16 of the
    part between the first "{" and the next "}", if there is anything between them."""
    _, brace, rest = key.partition("{")
    tag, end, _ = rest.partition("}")
    return crc_hqx((tag if brace and end and tag else key).encode(), 0) % 16_384


def test_the_slot_is_computed_as_the_servers_do() -> None:
    assert slot("123456789") == 0x31C3
    assert slot("{user1000}.following") == slot("{user1000}.followers")
    assert slot("foo{}{bar}") != slot("bar")


@given(
    st.uuids().map(str)
    | st.from_regex(r"session_[A-Za-z0-9-]{1,12}_[a-z0-9]{1,8}_[0-9]{13}_[a-z0-9]{6}", fullmatch=True)
)
def test_the_keys_of_a_session_lie_in_one_slot(id_: str) -> None:
    session = SessionId(id_)
    assert slot(session_key(session)) == slot(messages_key(session)) == slot(id_)


def test_every_field_is_there_and_a_text() -> None:
    assert fields(ROW) == {
        "id": "s1", "organization": "org", "host": "host", "status": "active", "status_at": "1970-01-01T00:00:00.500Z", "phase": "Resting", "live": "0",
        "created_at": "1970-01-01T00:00:00.000Z", "updated_at": "1970-01-01T00:00:01.500Z",
        "issue": "", "issue_key": "", "issue_title": "", "team": "", "creator": "", "thread": "", "repository": "",
        "branch": "", "turns": "0",
    }  # fmt: skip


def test_a_line_is_json_in_an_order_that_stays() -> None:
    row = MessageRow(
        n=7, turn=1, at=moment(0.25), role="user", text="grüß\n“dich”", author="Ann", linear_id=None, opencode_id=None,
        tokens=3, cost=0.5,
    )  # fmt: skip
    assert json.loads(line(row)) == {
        "n": 7, "turn": 1, "at": "1970-01-01T00:00:00.250Z", "role": "user", "text": "grüß\n“dich”", "author": "Ann",
        "linear_id": None, "opencode_id": None, "tokens": 3, "cost": 0.5,
    }  # fmt: skip
    assert line(row) == line(row)


def test_the_page_for_readers_names_every_key_and_field() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/redis.md").read_text(encoding="utf-8")
    keys = (
        layout.ABOUT,
        layout.WRITER,
        layout.STATS,
        layout.INDEX,
        session_key(SessionId("ID")),
        messages_key(SessionId("ID")),
    )
    for name in (*keys, *fields(ROW), *MessageRow.__struct_fields__):
        assert f"`{name}`" in page, name
