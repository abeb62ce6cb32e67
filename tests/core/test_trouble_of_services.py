"""What went wrong at another service: the word, and the sentence that people read."""

from __future__ import annotations

import pytest

from dragoman import fallback, read_trouble
from dragoman.errors import NoAnswer, NotFound, OpenCodeDown, OpenCodeError


def test_t42_a_request_that_timed_out_is_said_to_have() -> None:
    assert "⏰ Request timed out" in read_trouble("Request timeout").words()


def test_t43_the_fallback_names_the_agent_and_the_service() -> None:
    said = fallback("OpenCode")
    assert "OpenCode Agent" in said
    assert "OpenCode does not answer" in said
    assert "Linear does not answer" in fallback("Linear", agent="Hermes")


def test_t44_a_network_error_is_one_and_no_time_out() -> None:
    trouble = read_trouble("Network error")
    assert trouble.is_network_error
    assert not trouble.is_timeout_error


@pytest.mark.parametrize(
    "error, cause, sign",
    [
        (OpenCodeDown("OpenCode did not answer GET /path within 15 s", cause="timeout"), "timeout", "⏰"),
        (OpenCodeDown("OpenCode could not be reached for GET /path: ClientConnectorError"), "network", "🔌"),
        (NotFound("OpenCode does not know it"), "not_found", "🔍"),
        (NoAnswer("The model's provider refused our credentials.", cause="credentials"), "credentials", "🔐"),
        (NoAnswer("silent for 600 s", cause="silent"), "timeout", "⏰"),
        (OpenCodeError("OpenCode answered POST /session with 418: teapot"), "other", "❌"),
        (TimeoutError(), "timeout", "⏰"),
        (ConnectionRefusedError(), "network", "🔌"),
        (ValueError("odd"), "other", "❌"),
        ("HTTP 401", "credentials", "🔐"),
        ("403 Forbidden", "credentials", "🔐"),
        ("404 page not found", "not_found", "🔍"),
        ("429 Too Many Requests", "rate_limit", "⏱️"),
        ("HTTP 500", "server", "🔧"),
        ("connection timed out", "timeout", "⏰"),
        ("connect ECONNREFUSED 127.0.0.1:1", "network", "🔌"),
    ],
)
def test_the_cause_is_read_from_an_error_or_its_words(error: BaseException | str, cause: str, sign: str) -> None:
    trouble = read_trouble(error)
    assert trouble.cause == cause
    assert trouble.words("OpenCode").startswith(sign)
    assert "\n" not in trouble.words()
