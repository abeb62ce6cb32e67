import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import DuplicateWrite, LinearError
from dragoman.linear.graphql import InputRefused, RateLimited, Unauthorized, decipher, request_body
from dragoman.linear.quota import Quota, read_quota
from tests.linear.recorded import recording

NOW = 1_795_166_110.0
HTML = b"<html><body>Bad gateway</body></html>"


def failed(message: str, *, data: object = None, **extensions: object) -> bytes:
    return json.dumps({"data": data, "errors": [{"message": message, "extensions": extensions}]}).encode()


def answer(status: int, body: bytes, headers: dict[str, str] | None = None, *, own_id: bool = False) -> Any:
    return decipher(status, headers or {}, body, now=NOW, own_id=own_id)


def test_a_request_is_one_document_with_its_variables() -> None:
    body = json.loads(request_body("ActivityCreate", {"input": {"id": "ü"}}))
    assert body["query"].startswith("mutation ActivityCreate($input: AgentActivityCreateInput!) {")
    assert body["variables"] == {"input": {"id": "ü"}}


def test_data_is_data() -> None:
    assert answer(200, recording("graphql-agentActivityCreate-ok"))["agentActivityCreate"]["success"] is True
    assert answer(200, b'{"data": {"issue": null}}') == {"issue": None}
    assert answer(200, b'{"data": {"title": "cut \\ud83d"}}') == {"title": "cut \ufffd"}


@pytest.mark.parametrize(
    "status, body, kind, retryable",
    [
        (400, recording("graphql-ratelimited-400"), RateLimited, True),
        (200, recording("graphql-ratelimited-400"), RateLimited, True),
        (401, recording("graphql-ratelimited-400"), RateLimited, True),
        (200, failed("slow down", type="ratelimited"), RateLimited, True),
        (429, HTML, RateLimited, True),
        (429, b"{}", RateLimited, True),
        (401, recording("graphql-authentication-error-401"), Unauthorized, True),
        (200, failed("no", code="AUTHENTICATION_ERROR"), Unauthorized, True),
        (401, b"", Unauthorized, True),
        (401, b'{"error": "invalid"}', Unauthorized, True),
        (403, failed("no access", type="forbidden", code="FORBIDDEN"), LinearError, False),
        (200, failed("no access", type="forbidden"), LinearError, False),
        (200, failed("Entity not found: AgentSession"), LinearError, False),
        (400, failed("Entity not found", type="invalid input", code="INPUT_ERROR", userError=True), LinearError, False),
        (400, failed('Variable "$input" got invalid value', code="GRAPHQL_VALIDATION_FAILED"), InputRefused, False),
        (
            400,
            failed("body is too long", type="invalid input", code="INPUT_ERROR", userError=True),
            InputRefused,
            False,
        ),
        (403, failed("no access to this input", type="forbidden", code="INPUT_ERROR"), LinearError, False),
        (200, failed("Nope", userError=True), InputRefused, False),
        (200, failed("Only the owning app", type="user error"), InputRefused, False),
        (200, failed("lock", type="lock timeout"), LinearError, True),
        (500, failed("oops", type="internal error", code="INTERNAL_SERVER_ERROR"), LinearError, True),
        (200, failed("something never seen"), LinearError, True),
        (400, failed("something never seen"), InputRefused, False),
        (408, failed("something never seen"), LinearError, True),
        (500, HTML, LinearError, True),
        (502, HTML, LinearError, True),
        (503, b"", LinearError, True),
        (403, HTML, LinearError, True),
        (200, HTML, LinearError, True),
        (200, b"[]", LinearError, True),
        (200, b"null", LinearError, True),
        (200, b"{}", LinearError, True),
        (200, b'{"data": null}', LinearError, True),
        (200, b'{"data": 5, "errors": 5}', LinearError, True),
        (200, b'{"data": {"issue": {}}, "errors": "text"}', LinearError, True),
        (200, b"[" * 60_000, LinearError, True),
        (302, b"", LinearError, True),
    ],
)
def test_who_must_act_on_a_refusal(status: int, body: bytes, kind: type[LinearError], retryable: bool) -> None:
    error = answer(status, body)
    assert type(error) is kind
    assert error.retryable is retryable


@pytest.mark.parametrize(
    "status, message",
    [
        (200, "conflict on insert of AgentActivity: an entity with id 0d4e already exists"),
        (400, "Entity AgentActivity with id 0d4e already exists"),
        (200, "duplicate key value violates unique constraint"),
        (200, "The id is already in use"),
        (200, "id must be unique"),
        (409, "Conflict"),
    ],
)
def test_a_taken_id_is_a_duplicate_only_when_the_id_was_ours(status: int, message: str) -> None:
    body = failed(message, type="invalid input", userError=True)
    assert isinstance(answer(status, body, own_id=True), DuplicateWrite)
    other = answer(status, body)
    assert not isinstance(other, DuplicateWrite)
    assert other.retryable is False


@pytest.mark.parametrize(
    "message, kind",
    [
        ("options must be unique", InputRefused),
        ("body is invalid", InputRefused),
        ("Entity not found: AgentSession", LinearError),
    ],
)
def test_other_refusals_of_a_write_with_our_id_are_no_duplicates(message: str, kind: type[LinearError]) -> None:
    error = answer(200, failed(message, type="invalid input"), own_id=True)
    assert type(error) is kind
    assert not error.retryable


def test_quota_wins_over_what_else_is_said() -> None:
    both = json.dumps(
        {"errors": [{"message": "already exists"}, {"message": "x", "extensions": {"code": "RATELIMITED"}}]}
    ).encode()
    assert isinstance(answer(200, both, own_id=True), RateLimited)


def test_an_error_beside_a_written_mutation_is_no_failure() -> None:
    written = {"agentActivityCreate": {"success": True, "agentActivity": None}}
    assert answer(200, failed("cannot read back", data=written)) == written
    assert isinstance(answer(200, failed("half", data={"issue": {"id": "x"}})), LinearError)


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        (
            {
                "X-RateLimit-Requests-Limit": "5000",
                "X-RateLimit-Requests-Remaining": "0",
                "X-RateLimit-Requests-Reset": str(int((NOW + 90) * 1000)),
            },
            90.0,
        ),
        (
            {
                "X-RateLimit-Requests-Limit": "5000",
                "X-RateLimit-Requests-Remaining": "12",
                "X-RateLimit-Requests-Reset": str(int((NOW + 90) * 1000)),
                "X-RateLimit-Complexity-Remaining": "0",
                "X-RateLimit-Complexity-Reset": str(int((NOW + 30) * 1000)),
            },
            30.0,
        ),
        ({"X-RateLimit-Requests-Limit": "5000", "X-RateLimit-Requests-Reset": str(int((NOW - 5) * 1000))}, 1.0),
        ({"X-RateLimit-Requests-Limit": "many", "X-RateLimit-Requests-Reset": "soon"}, None),
    ],
)
def test_how_long_linear_wants_us_to_stay_away(headers: dict[str, str], expected: float | None) -> None:
    for lowered in (headers, {name.lower(): value for name, value in headers.items()}):
        error = answer(400, recording("graphql-ratelimited-400"), lowered)
        assert error.retry_after_s == (None if expected is None else pytest.approx(expected, abs=0.01))


def test_a_retry_time_of_an_outage_is_heard() -> None:
    assert answer(503, HTML, {"Retry-After": "4"}).retry_after_s == 4.0


def test_quota_headers_are_read_and_nonsense_is_not() -> None:
    headers = {"X-RateLimit-Requests-Limit": "5000", "X-RateLimit-Requests-Remaining": "17"}
    assert read_quota(headers) == Quota(limit=5000, remaining=17)
    assert read_quota({"X-RateLimit-Requests-Remaining": "17"}) == Quota()
    assert read_quota({"X-RateLimit-Requests-Limit": "nan", "X-RateLimit-Requests-Remaining": "1e999"}) == Quota()
    assert read_quota({"X-RateLimit-Requests-Limit": "0"}).limit is None


def test_messages_are_one_bounded_line() -> None:
    error = answer(200, failed("a\n" * 5000))
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@settings(max_examples=300, deadline=None)
@given(
    st.integers(200, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["data", "errors", "message", "extensions", "code", "type"]), inner, max_size=3
            )
        ),
    ),
    st.booleans(),
)
def test_any_reply_is_data_or_an_error(status: int, reply: object, own_id: bool) -> None:
    said = answer(status, json.dumps(reply).encode(), own_id=own_id)
    assert isinstance(said, dict | LinearError)


@pytest.mark.parametrize("body", [b"", recording("graphql-authentication-error-401")])
def test_a_refused_token_names_the_settings_it_comes_from(body: bytes) -> None:
    error = decipher(401, {}, body, now=NOW)
    assert isinstance(error, Unauthorized)
    assert "LINEAR_ACCESS_TOKEN, or of LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET" in str(error)
