"""Trouble on the GraphQL side, on command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from dragoman.clock import Clock
from dragoman.record import Record
from dragoman.sim.graphql import GraphQL, Reply
from dragoman.sim.quota import Quota
from dragoman.sim.refusals import Refused, as_reply, forbidden, not_authenticated, not_found, rate_limited

KINDS = (
    "server_error",  # HTTP `status` (503), nothing executed
    "rate_limited",  # HTTP 400 with code RATELIMITED and the Reset headers, nothing executed
    "too_many",  # HTTP 429 with Retry-After, nothing executed
    "hang",  # no answer until `release`; nothing executed
    "hang_after",  # executed, then no answer until `release`
    "lose_reply",  # executed, then the connection is cut in the middle of the answer
    "gone",  # "Entity not found", permanent
    "forbidden",  # permanent
    "refused",  # HTTP 400 for no reason that Linear documents, nothing executed
    "unauthorized",  # HTTP 401 AUTHENTICATION_ERROR
)
_LONGEST_HANG_S = 600.0


class Fault(Record):
    """One kind of trouble.

    kind           one of KINDS
    times          how many requests it hits; None = until cleared
    operation      only requests whose first top-level field is this ("agentActivityCreate"); "" = all
    content_type   only activities of this type ("response"); "" = all
    skip           how many requests that fit go through before
    status         HTTP status of server_error
    retry_after_s  what the headers of rate_limited and too_many say
    """

    kind: str
    times: int | None = 1
    operation: str = ""
    content_type: str = ""
    skip: int = 0
    status: int = 503
    retry_after_s: float = 1.0


class Cut(Exception):
    """Close the connection without a (whole) answer."""


class Faults:
    """The troubles in force, in the order they were ordered; the first that fits a request hits it.

    told  is called after each hit
    """

    def __init__(self, clock: Clock, told: Callable[[], None] = lambda: None) -> None:
        self._told = told
        self._clock = clock
        self._standing: list[tuple[Fault, int | None]] = []
        self._release = asyncio.Event()
        self.hits: dict[str, int] = {}  # kind -> requests hit so far

    def order(self, *faults: Fault) -> None:
        """Put troubles in force.

        Raises ValueError for an unknown kind
        """
        for fault in faults:
            if fault.kind not in KINDS:
                raise ValueError(f"{fault.kind} is no fault; known are {', '.join(KINDS)}")
            self._standing.append((fault, fault.times))

    def clear(self) -> None:
        """End all troubles and let hanging requests go (their connections are cut)."""
        self._standing.clear()
        self.release()

    def release(self) -> None:
        """Let hanging requests go: their connections are cut."""
        self._release.set()
        self._release = asyncio.Event()

    async def answer(self, graphql: GraphQL, quota: Quota, authorization: str | None, body: bytes) -> Reply:
        """Answer a request through whatever trouble is in force.

        Raises Cut when the connection is to be closed without a whole answer
        """
        fault = self._take(graphql, body) if self._standing else None
        if fault is None:
            return graphql.answer(authorization, body)
        self.hits[fault.kind] = self.hits.get(fault.kind, 0) + 1
        if fault.kind in ("hang_after", "lose_reply"):
            graphql.answer(authorization, body)
        self._told()
        if fault.kind in ("hang", "hang_after"):
            with contextlib.suppress(TimeoutError):  # nobody waits that long: cut as well
                await asyncio.wait_for(self._release.wait(), _LONGEST_HANG_S)
        if fault.kind in ("hang", "hang_after", "lose_reply"):
            raise Cut
        return self._refusal(fault, quota)

    def _take(self, graphql: GraphQL, body: bytes) -> Fault | None:
        operation = graphql.operation(body)
        for place, (fault, left) in enumerate(self._standing):
            if fault.operation not in ("", operation):
                continue
            if fault.content_type and _content_type(body) != fault.content_type:
                continue
            if fault.skip:
                self._standing[place] = (replace(fault, skip=fault.skip - 1), left)
                continue
            if left is not None:
                if left <= 1:
                    del self._standing[place]
                else:
                    self._standing[place] = (fault, left - 1)
            return fault
        return None

    def _refusal(self, fault: Fault, quota: Quota) -> Reply:
        limited = rate_limited(quota.requests.limit)
        match fault.kind:
            case "server_error":
                return Reply(status=fault.status, body=b"upstream error", headers=(("content-type", "text/plain"),))
            case "rate_limited":
                headers = quota.headers() | {
                    "x-ratelimit-requests-remaining": "0",
                    "x-ratelimit-requests-reset": str(int((self._clock.now() + fault.retry_after_s) * 1000)),
                }
                return _refused(400, limited, headers)
            case "too_many":
                return _refused(429, limited, quota.headers() | {"retry-after": f"{fault.retry_after_s:g}"})
            case "gone":
                return _refused(200, not_found("AgentSession"), quota.headers())
            case "forbidden":
                return _refused(200, forbidden(), quota.headers())
            case "refused":
                body = b'{"errors":[{"message":"Bad Request"}]}'
                return Reply(status=400, body=body, headers=(("content-type", "application/json"),))
            case _:
                return _refused(401, not_authenticated(), {})


def _refused(status: int, refused: Refused, headers: dict[str, str]) -> Reply:
    body = msgspec.json.encode(as_reply(refused))
    return Reply(status=status, body=body, headers=(("content-type", "application/json"), *headers.items()))


def _content_type(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["variables"]["input"]["content"]["type"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
