"""How fast requests may come: a token bucket, told by the one moment at which it will be full again."""

from __future__ import annotations

from dragoman.record import Record

WINDOW_S = 60.0


class Paces(Record):
    """Most requests a minute, of one person and of one organization; a burst of that many is taken at once. 0 = no limit.

    Stops do not count: they must work always.
    """

    person: int = 60
    organization: int = 600


def admit(full_at: float, now: float, most: int) -> float | None:
    """When the bucket is full again once a request is taken now; None when it is empty.

    full_at  when it is full again as it stands; any moment of the past for a full one
    most     how many it holds, and how many drip into it in WINDOW_S
    Source   the generic cell rate algorithm, which is a token bucket in one number: ITU-T I.371, appendix
    """
    each_s = WINDOW_S / most
    if full_at > now + WINDOW_S + each_s:  # further away than it can be: the clock was set back
        full_at = now
    full_at = max(full_at, now)
    # Half an interval of grace: sums of floats must not refuse the last of `most`.
    return full_at + each_s if full_at - now <= WINDOW_S - each_s / 2 else None
