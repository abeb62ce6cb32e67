"""What Linear's reply headers tell of the quota. Pure.

Source  linear.app/developers/rate-limiting: X-RateLimit-{Requests,Complexity}-{Limit,Remaining,Reset}, resets in ms
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.record import Record

LONGEST_WAIT_S = 3600.0  # the period of the quota
_KINDS = ("Requests", "Complexity", "Endpoint-Requests")


class Quota(Record):
    """The requests of the hour; each None when Linear did not say.

    limit      how many there are
    remaining  how many are left
    reset_at   when they are whole again; seconds since the epoch
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None


def read_quota(headers: Mapping[str, str]) -> Quota:
    """The quota of requests, as the headers of a reply tell it; nonsense counts as nothing."""
    limit = _number(headers, "X-RateLimit-Requests-Limit")
    if limit is None:
        return Quota()  # a reply from something that is not Linear
    remaining = _number(headers, "X-RateLimit-Requests-Remaining")
    reset_ms = _number(headers, "X-RateLimit-Requests-Reset")
    return Quota(
        limit=limit if limit > 0 else None,
        remaining=remaining,
        reset_at=None if reset_ms is None else reset_ms / 1000,
    )


def seconds_until_reset(headers: Mapping[str, str], quota: Quota, now: float) -> float | None:
    """How long to wait: what Retry-After says, else until the quotas that are used up are whole, else None.

    Between one second and one hour, since clocks differ.
    """
    after_s = _number(headers, "Retry-After")
    if after_s is not None:
        return _bounded(after_s)
    resets = []
    for kind in _KINDS:
        reset_ms = _number(headers, f"X-RateLimit-{kind}-Reset")
        if reset_ms is not None and _number(headers, f"X-RateLimit-{kind}-Remaining") == 0:
            resets.append(reset_ms / 1000)
    if not resets and quota.reset_at is not None:
        resets.append(quota.reset_at)
    return _bounded(max(resets) - now) if resets else None


def _bounded(seconds: float) -> float:
    return min(max(float(seconds), 1.0), LONGEST_WAIT_S)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name) or headers.get(name.lower())
    if text is None or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if 0 <= number < 1e18 else None
