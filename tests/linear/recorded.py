"""Recorded bodies of Linear, and how to sign one of our own."""

import hmac
import json
from pathlib import Path
from typing import Any

from dragoman.linear.webhook import Delivery, open_delivery

FOLDER = Path(__file__).parent.parent / "recordings" / "linear"
SECRET = "test-webhook-signing-secret"
NOW = 1_795_166_110.0  # a few seconds after most of the recordings were stamped
APP_USER = "df3fc33e-32f3-4e65-bae7-6f8f36bdd55f"
ORGANIZATION = "5f1c2f0e-9f5a-4a3c-8d0e-0d6a2f9b7c11"


def recording(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def webhook_recordings() -> dict[str, dict[str, str]]:
    """Name of the recording -> the headers it came with."""
    signed = json.loads((FOLDER / "_signatures.json").read_bytes())
    return {name.removesuffix(".json"): entry["headers"] for name, entry in signed["files"].items()}


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def signed(body: bytes, *, now: float = NOW, delivery: str | None = "d-1") -> Delivery:
    headers = {"Linear-Signature": sign(body)} | ({"Linear-Delivery": delivery} if delivery else {})
    return open_delivery(headers, body, secrets=[SECRET], now=now)


def changed(name: str, **changes: Any) -> bytes:
    """A recording with other values; `a__b` reaches into `a`, and None becomes null."""
    body = json.loads(recording(name))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = body
        for parent in parents:
            place = place[parent]
        place[last] = value
    return json.dumps(body, ensure_ascii=False).encode()


def without(name: str, *paths: str) -> bytes:
    """A recording with fields left out."""
    body = json.loads(recording(name))
    for path in paths:
        *parents, last = path.split("__")
        place = body
        for parent in parents:
            place = place[parent]
        place.pop(last, None)
    return json.dumps(body).encode()
