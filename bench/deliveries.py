"""Signed webhooks, made in Python where their rate is what we set."""

from __future__ import annotations

import hmac
import time
import uuid
from dataclasses import dataclass
from functools import cache

from bench.native import DELIVERY, SECRET

_SESSION, _COMMENT = b"SSSSSSSS-SSSS-4SSS-8SSS-SSSSSSSSSSSS", b"CCCCCCCC-CCCC-4CCC-8CCC-CCCCCCCCCCCC"
_ISSUE, _TIME = b"IIIIIIII-IIII-4III-8III-IIIIIIIIIIII", b"1234567890123"


@dataclass(frozen=True)
class Signed:
    """A delivery as it is sent."""

    session: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


def make() -> Signed:
    """A mention that opens a new session on an issue of its own."""
    session = str(uuid.uuid4())
    body = _template()
    for mark, value in (
        (_SESSION, session.encode()),
        (_COMMENT, str(uuid.uuid4()).encode()),
        (_ISSUE, str(uuid.uuid4()).encode()),
        (_TIME, str(int(time.time() * 1000)).encode()),
    ):
        body = body.replace(mark, value)
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex().encode()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"linear-delivery", str(uuid.uuid4()).encode()),
        (b"linear-event", b"AgentSessionEvent"),
        (b"linear-signature", signature),
    ]
    return Signed(session=session, headers=headers, body=body)


@cache
def _template() -> bytes:
    return DELIVERY.read_bytes()
