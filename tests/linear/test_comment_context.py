"""The context of a comment, from the body of its webhook."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman import read_context
from tests.linear.recorded import changed, recording, without


def the_payload(**data: Any) -> dict[str, Any]:
    """A full payload, as the seed's tests had it."""
    comment: dict[str, Any] = {
        "id": "comment-1",
        "body": "@opencodeagent help me implement authentication",
        "createdAt": "2025-01-01T00:00:00Z",
        "issue": {
            "id": "issue-123",
            "title": "Add authentication",
            "description": "We need OAuth.",
            "team": {"id": "team-789", "name": "Engineering"},
        },
        "user": {"id": "user-456", "name": "Ann", "email": "ann@example.com"},
    }
    return {"type": "Comment", "action": "create", "data": comment | data}


def test_t24_s07_s12_a_full_payload_gives_the_nine_fields_exactly() -> None:
    context = read_context(the_payload())
    assert msgspec.to_builtins(context) == {
        "issueId": "issue-123",
        "issueTitle": "Add authentication",
        "issueDescription": "We need OAuth.",
        "userId": "user-456",
        "userName": "Ann",
        "teamId": "team-789",
        "commentId": "comment-1",
        "mentionText": "@opencodeagent help me implement authentication",
        "createdAt": "2025-01-01T00:00:00Z",
    }


def test_a_recorded_body_is_read_as_bytes_as_text_and_as_a_mapping() -> None:
    body = recording("comment-create-mention")
    context = read_context(body)
    assert context is not None
    assert context.mention_text == "@opencode Please implement this"
    assert context.team_id == "70c49a0d-6973-4563-a743-8504f1a5171b"
    assert context.issue_description == ""
    assert read_context(body.decode()) == read_context(json.loads(body)) == context


@pytest.mark.parametrize("name", ["issue-update-completed", "created-by-mention", "app-user-notification-issueMention"])
def test_t25_what_is_no_comment_gives_none(name: str) -> None:
    assert read_context(recording(name)) is None
    assert read_context(the_payload() | {"type": "Issue"}) is None


@pytest.mark.parametrize("data", [None, {}, [], "text", 7])
def test_t26_data_that_is_null_or_none_of_a_comment_gives_none(data: object) -> None:
    assert read_context({"type": "Comment", "action": "create", "data": data}) is None
    assert read_context({"type": "Comment", "action": "create"}) is None


@pytest.mark.parametrize(
    "body",
    [
        changed("comment-create-mention", data__issue=None),
        changed("comment-create-mention", data__user=None),
        changed("comment-create-mention", data__body=""),
        changed("comment-create-mention", data__issue__title=None),
        changed("comment-create-mention", data__user__name=7),
        without("comment-create-mention", "data__id"),
        without("comment-create-mention", "data__user"),
        recording("comment-create-artificial-session-root"),
    ],
)
def test_a_comment_without_issue_person_id_or_words_gives_none(body: bytes) -> None:
    assert read_context(body) is None


def test_half_a_character_in_the_words_does_no_harm() -> None:
    body = recording("comment-create-mention").replace(b"Please implement this", rb"Please \ud83d")
    context = read_context(body)
    assert context is not None
    assert context.mention_text == "@opencode Please �"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_json | st.binary(max_size=40) | st.builds(object), _json)
def test_it_never_throws_whatever_the_payload_is(payload: object, inside: object) -> None:
    assert read_context(payload) is None
    assert read_context({"type": "Comment", "data": inside}) is None
    assert read_context(the_payload(issue=inside)) is None
    assert read_context(the_payload(user=inside)) is None
