"""From the bytes of a webhook to a verified delivery. Pure; nothing is believed before the signature holds.

Headers  Names count without case, values without surrounding whitespace. Two `Linear-Signature` headers are refused:
         which of them was meant cannot be known. A prefix `sha256=` is accepted.
Age      A delivery is never refused for its age: Linear's retries after 1 min, 1 h and 6 h keep the original
         timestamp, so that a strict window would lose every retry. The age is told; the caller judges.
         `Linear-Timestamp` is not covered by the signature and is not read.

Source  linear.app/developers/webhooks#securing-webhooks
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dragoman.errors import ConfigurationError
from dragoman.linear.wire import Payload
from dragoman.record import Record, without_halves

Headers = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]

_DELIVERY_ID_LIMIT = 128  # a UUID in fact; more than this is not kept
_decoder = msgspec.json.Decoder(Payload)


class UnacceptableDelivery(Exception):
    """The request has no effect. `status` is the HTTP status to answer with."""

    status = 400


class MissingSignature(UnacceptableDelivery):
    """No `Linear-Signature` header: not from Linear."""


class BadSignature(UnacceptableDelivery):
    """The signature was made with none of our secrets, or not over these bytes."""

    status = 401


class UnreadableDelivery(UnacceptableDelivery):
    """Signed, but no JSON object in UTF-8."""


class Delivery(Record):
    """A webhook that Linear signed.

    id       `Linear-Delivery`, the same for one payload; None when absent
    payload  what it says; fields of an unexpected shape make it `odd`, then only type, action and organization are kept
    age_s    seconds since Linear stamped it; negative when its clock is ahead; None when the stamp is missing or odd
    odd      whether it has a shape that we do not understand
    """

    id: str | None
    payload: Payload
    age_s: float | None
    odd: bool = False


def check_secrets(secrets: Sequence[str]) -> tuple[str, ...]:
    """Return the webhook secrets without surrounding whitespace; refuse a blank one and none at all.

    With an empty secret anybody could sign.
    Raises   ConfigurationError
    """
    stripped = tuple(secret.strip() for secret in secrets)
    if not stripped or not all(stripped):
        raise ConfigurationError(
            ["LINEAR_WEBHOOK_SECRET is empty: put the signing secret there that Linear shows in the app's settings."]
        )
    return stripped


def open_delivery(headers: Headers, body: bytes, *, secrets: Sequence[str], now: float) -> Delivery:
    """Check that `body` was signed by Linear, and decode it.

    headers  names in any case; bytes or text; a mapping or pairs
    body     the raw bytes, as they came
    secrets  any of them may have signed; blank ones never count
    now      seconds since the epoch
    Raises   MissingSignature, BadSignature, UnreadableDelivery; never anything else
    """
    signatures, delivery_id = _read_headers(headers)
    if not signatures:
        raise MissingSignature("the header Linear-Signature is missing")
    if len(signatures) > 1 or not _is_signed(signatures[0], body, secrets):
        raise BadSignature("the signature does not fit")
    payload, odd = _decode(body)
    age_s = _age_s(payload.webhook_timestamp, now)
    return Delivery(id=delivery_id, payload=payload, age_s=age_s, odd=odd or age_s is None)


def _read_headers(headers: Headers) -> tuple[list[bytes], str | None]:
    signatures: list[bytes] = []
    delivery_id = None
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lowered = name.lower()
        if lowered in {"linear-signature", b"linear-signature"}:
            signature = _as_bytes(value).strip()
            if signature:
                signatures.append(signature)
        elif lowered in {"linear-delivery", b"linear-delivery"} and delivery_id is None:
            delivery_id = _as_bytes(value).strip().decode("ascii", "replace")[:_DELIVERY_ID_LIMIT] or None
    return signatures, delivery_id


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "replace")


def _is_signed(signature: bytes, body: bytes, secrets: Sequence[str]) -> bool:
    given = signature.lower().removeprefix(b"sha256=")
    # Every secret is tried, so that the time taken does not tell which one fits.
    fits = [
        hmac.compare_digest(hmac.digest(secret.encode("utf-8", "replace"), body, "sha256").hex().encode(), given)
        for secret in secrets
        if secret.strip()
    ]
    return any(fits)


def _decode(body: bytes) -> tuple[Payload, bool]:
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into the fields that it skips
        return _decoder.decode(body), False
    except msgspec.ValidationError:
        return _decode_odd(body), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        whole = without_halves(body)
        if whole != body:  # Linear has cut a text in the middle of an emoji
            return _decode(whole)
        raise UnreadableDelivery("the body is no JSON object" if body.strip() else "No payload received") from None


def _decode_odd(body: bytes) -> Payload:
    """Read what little can be read of a body with unexpected shapes: enough to count it."""
    try:
        loose = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableDelivery("the body is no JSON object") from None
    if not isinstance(loose, dict):
        raise UnreadableDelivery("the body is no JSON object")
    stamp = loose.get("webhookTimestamp")
    texts = {name: text for name in ("type", "action", "organizationId") if isinstance(text := loose.get(name), str)}
    return Payload(
        type=texts.get("type"),
        action=texts.get("action"),
        organization_id=texts.get("organizationId"),
        webhook_timestamp=_as_float(stamp),
    )


def _as_float(stamp: object) -> float | None:
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return None
    try:
        return float(stamp)
    except OverflowError:
        return None


def _age_s(stamp_ms: float | None, now: float) -> float | None:
    if stamp_ms is None or not math.isfinite(stamp_ms):
        return None
    return now - stamp_ms / 1000
