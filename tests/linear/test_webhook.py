import ast
import inspect
import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import ConfigurationError
from dragoman.linear import webhook
from dragoman.linear.webhook import (
    BadSignature,
    MissingSignature,
    UnacceptableDelivery,
    UnreadableDelivery,
    check_secrets,
    open_delivery,
)
from tests.linear.recorded import NOW, SECRET, changed, recording, sign, signed, webhook_recordings, without

BODY = recording("created-by-mention")


@pytest.mark.parametrize("name", webhook_recordings())
def test_every_recorded_delivery_opens_with_the_signature_it_came_with(name: str) -> None:
    headers = webhook_recordings()[name]
    delivery = open_delivery(headers, recording(name), secrets=[SECRET], now=NOW)
    assert delivery.id == headers["Linear-Delivery"]
    assert delivery.payload.type == json.loads(recording(name))["type"]
    assert not delivery.odd


def test_one_changed_byte_breaks_the_signature() -> None:
    for at in range(0, len(BODY), 97):
        forged = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
        with pytest.raises(BadSignature):
            open_delivery({"linear-signature": sign(BODY)}, forged, secrets=[SECRET], now=NOW)


def test_any_of_several_secrets_may_have_signed() -> None:
    for secret in ("old", "new"):
        headers = {"linear-signature": sign(BODY, secret)}
        assert open_delivery(headers, BODY, secrets=["old", "new"], now=NOW).payload.action == "created"
    with pytest.raises(BadSignature):
        open_delivery({"linear-signature": sign(BODY, "third")}, BODY, secrets=["old", "new"], now=NOW)


@pytest.mark.parametrize("secrets", [[], [""], ["  "], ["", " "]])
def test_without_a_real_secret_nothing_is_accepted(secrets: list[str]) -> None:
    for secret in ("", " ", "  "):
        with pytest.raises(BadSignature):
            open_delivery({"linear-signature": sign(BODY, secret)}, BODY, secrets=secrets, now=NOW)
    with pytest.raises(ConfigurationError, match="LINEAR_WEBHOOK_SECRET"):
        check_secrets(secrets)


def test_secrets_lose_the_whitespace_around_them() -> None:
    assert check_secrets([" a", "b "]) == ("a", "b")
    with pytest.raises(ConfigurationError):
        check_secrets(["a", ""])


@pytest.mark.parametrize("headers", [{}, {"content-type": "x"}, {"linear-signature": ""}, {"linear-signature": "  "}])
def test_a_missing_signature_is_told_from_a_wrong_one(headers: dict[str, str]) -> None:
    with pytest.raises(MissingSignature) as refused:
        open_delivery(headers, BODY, secrets=[SECRET], now=NOW)
    assert refused.value.status == 400


@pytest.mark.parametrize("value", ["0", "ü" * 64, "zz" * 32, sign(BODY)[:-1], sign(BODY) + "0", "sha512=" + sign(BODY)])
def test_a_wrong_signature_is_refused(value: str) -> None:
    with pytest.raises(BadSignature) as refused:
        open_delivery({"linear-signature": value}, BODY, secrets=[SECRET], now=NOW)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"LINEAR-SIGNATURE": sign(BODY)},
        {"Linear-Signature": f"  {sign(BODY)}\t"},
        {"linear-signature": sign(BODY).upper()},
        {"linear-signature": "sha256=" + sign(BODY)},
        {b"Linear-Signature": sign(BODY).encode()},
        [(b"host", b"x"), (b"linear-signature", sign(BODY).encode())],
        [("Linear-Signature", sign(BODY)), ("Linear-Delivery", "a")],
    ],
)
def test_case_and_whitespace_of_headers_do_not_matter(headers: webhook.Headers) -> None:
    assert open_delivery(headers, BODY, secrets=[SECRET], now=NOW).payload.action == "created"


def test_two_signatures_are_refused_even_if_one_fits() -> None:
    headers = [("linear-signature", sign(BODY)), ("Linear-Signature", sign(BODY, "x"))]
    for order in (headers, headers[::-1]):
        with pytest.raises(BadSignature):
            open_delivery(order, BODY, secrets=[SECRET], now=NOW)


def test_the_first_delivery_id_counts_and_is_bounded() -> None:
    signature = ("linear-signature", sign(BODY))
    two = open_delivery(
        [signature, ("linear-delivery", "a"), ("linear-delivery", "b")], BODY, secrets=[SECRET], now=NOW
    )
    assert two.id == "a"
    long = open_delivery([signature, ("linear-delivery", "a" * 9000)], BODY, secrets=[SECRET], now=NOW)
    assert long.id == "a" * 128
    assert open_delivery([signature, ("linear-delivery", " ")], BODY, secrets=[SECRET], now=NOW).id is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"[" * 60_000,
        b"[" * 60_000 + b"]" * 60_000,
        b'{"x":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"agentSession":' + b'{"a":' * 60_000 + b"1" + b"}" * 60_001,
        b'{"webhookTimestamp": NaN}',
        b'{"x": NaN}',
        b'{"webhookTimestamp": Infinity}',
        b'{"type": "\xff"}',
        b'{"x": "\xff"}',
        b'{"x": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b'{} {"type":"x"}',
        b'{"type": 5, "x"',
    ],
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableDelivery) as refused:
        signed(body)
    assert refused.value.status == 400


def test_half_a_character_costs_no_message() -> None:
    """Linear's texts may be cut in the middle of an emoji; refused, the person would wait for ever."""
    delivery = signed(b'{"type": "AgentSessionEvent", "promptContext": "cut \\ud83d", "x": "\\\\ud83d \\ud83d\\ude00"}')
    assert delivery.payload.prompt_context == "cut \ufffd"


def test_the_signature_is_checked_before_the_body_is_read() -> None:
    with pytest.raises(BadSignature):
        open_delivery({"linear-signature": "00"}, b"{", secrets=[SECRET], now=NOW)


def test_age_is_told_and_never_refused() -> None:
    stamp = 1_795_166_104.903
    for age_s in (-90.0, 0.0, 59.0, 61.0, 6 * 3600.0, 9 * 3600.0, 1e9):
        assert signed(BODY, now=stamp + age_s).age_s == pytest.approx(age_s, abs=1e-3)


@pytest.mark.parametrize(
    "body",
    [
        without("created-by-mention", "webhookTimestamp"),
        changed("created-by-mention", webhookTimestamp=None),
        changed("created-by-mention", webhookTimestamp="1795166104903"),
        changed("created-by-mention", webhookTimestamp=True),
        changed("created-by-mention", webhookTimestamp=[1]),
        changed("created-by-mention", webhookTimestamp=10**400),
        changed("created-by-mention", agentSession=[]),
        changed("created-by-mention", agentSession__id=7),
        b"{}",
    ],
)
def test_a_signed_body_of_unexpected_shape_is_odd_and_no_error(body: bytes) -> None:
    assert signed(body).odd


def test_an_odd_body_still_says_type_and_organization() -> None:
    delivery = signed(changed("created-by-mention", guidance="no list"))
    assert (delivery.payload.type, delivery.payload.action) == ("AgentSessionEvent", "created")
    assert delivery.payload.organization_id
    assert delivery.age_s is not None


def mutations(rounds: int) -> Iterable[bytes]:
    draw = random.Random(7)
    pieces = [
        b'"',
        b"\\",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
        b"null",
        b"1e999",
        b"NaN",
        b"\xff",
        b"\x00",
        b",",
        b":",
        b"-",
        b"",
    ]
    seeds = [recording(name) for name in webhook_recordings()]
    for _ in range(rounds):
        body = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 4)):
            at, length = draw.randrange(len(body)), draw.randint(0, 12)
            body[at : at + length] = draw.choice(pieces) if draw.random() < 0.7 else draw.randbytes(draw.randint(1, 6))
        yield bytes(body)


def test_a_mangled_body_is_odd_or_unreadable_and_never_anything_else() -> None:
    opened = unreadable = 0
    for body in mutations(20_000):
        try:
            signed(body)
        except UnreadableDelivery:
            unreadable += 1
        else:
            opened += 1
    assert opened > 1000
    assert unreadable > 1000


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["linear-signature", "Linear-Delivery", "x"]), st.text())),
    st.binary(max_size=40),
)
def test_no_forgery_and_no_other_error(headers: list[tuple[str, str]], body: bytes) -> None:
    with pytest.raises(UnacceptableDelivery):
        open_delivery(headers, body, secrets=[SECRET], now=NOW)


def test_signatures_are_compared_in_constant_time() -> None:
    tree = ast.parse(inspect.getsource(webhook))
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "compare_digest" in called
    function = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "_is_signed")
    assert not [node for node in ast.walk(function) if isinstance(node, ast.Compare)]
