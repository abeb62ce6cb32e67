"""Linear's rate limits: leaky buckets of requests and of complexity points, refilled evenly over an hour.

Source  linear.app/developers/rate-limiting: property 0.1 points, object 1, a connection multiplies by its page size
"""

from __future__ import annotations

import math
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from dragoman.clock import Clock

REQUESTS_PER_HOUR = 5_000
POINTS_PER_HOUR = 2_000_000
POINTS_PER_QUERY = 10_000
_HOUR_S = 3600.0
_CONNECTIONS = frozenset(
    {"states", "labels", "attachments", "comments", "activities", "agentSessions", "agentActivities"}
)


class Bucket:
    """A leaky bucket. `limit` is both its size and what an hour brings back."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        self._level = float(limit)
        self._at = clock.now()

    def remaining(self) -> float:
        """What is left now."""
        now = self._clock.now()
        self._level = min(float(self.limit), self._level + (now - self._at) * self.limit / _HOUR_S)
        self._at = now
        return self._level

    def take(self, amount: float) -> bool:
        """Take `amount` when that much is left."""
        enough = self.remaining() >= amount
        if enough:
            self._level -= amount
        return enough

    def reset_ms(self) -> int:
        """When the bucket is full again, in milliseconds since the epoch, as Linear's headers say it."""
        missing = self.limit - self.remaining()
        return int((self._clock.now() + missing * _HOUR_S / self.limit) * 1000)


class Quota:
    """The buckets of one app in one organization."""

    def __init__(self, clock: Clock, *, requests: int = REQUESTS_PER_HOUR, points: int = POINTS_PER_HOUR) -> None:
        self.requests = Bucket(requests, clock)
        self.points = Bucket(points, clock)

    def take(self, points: int) -> bool:
        """Count one request of that complexity; False when a bucket is empty (nothing is counted then)."""
        if self.points.remaining() < points or not self.requests.take(1):
            return False
        return self.points.take(points)

    def headers(self, points: int | None = None) -> dict[str, str]:
        """The rate-limit headers of a reply."""
        headers = {
            "x-ratelimit-requests-limit": str(self.requests.limit),
            "x-ratelimit-requests-remaining": str(int(self.requests.remaining())),
            "x-ratelimit-requests-reset": str(self.requests.reset_ms()),
            "x-ratelimit-complexity-limit": str(self.points.limit),
            "x-ratelimit-complexity-remaining": str(int(self.points.remaining())),
            "x-ratelimit-complexity-reset": str(self.points.reset_ms()),
        }
        if points is not None:
            headers["x-complexity"] = str(points)
        return headers

    def status(self, identifier: str) -> dict[str, Any]:
        """What the query `rateLimitStatus` answers; `period` in milliseconds."""
        limits = [
            {
                "type": kind,
                "requestedAmount": 0,
                "allowedAmount": bucket.limit,
                "remainingAmount": int(bucket.remaining()),
                "period": _HOUR_S * 1000,
                "reset": bucket.reset_ms(),
            }
            for kind, bucket in (("request", self.requests), ("complexity", self.points))
        ]
        return {"identifier": identifier, "kind": "oauthApp", "limits": limits}


def complexity(document: DocumentNode, variables: dict[str, Any] | None) -> int:
    """The points of a document, rounded up."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    return math.ceil(
        sum(
            _cost(definition.selection_set, variables or {}, fragments)
            for definition in document.definitions
            if isinstance(definition, OperationDefinitionNode)
        )
    )


def _cost(
    selections: SelectionSetNode | None, variables: dict[str, Any], fragments: dict[str, FragmentDefinitionNode]
) -> float:
    total = 0.0
    for selection in selections.selections if selections else ():
        if isinstance(selection, FieldNode):
            if selection.selection_set is None:
                total += 0.1
            else:
                inner = _cost(selection.selection_set, variables, fragments)
                total += 1 + inner * _page_size(selection, variables)
        elif isinstance(selection, InlineFragmentNode):
            total += _cost(selection.selection_set, variables, fragments)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value in fragments:
            total += _cost(fragments[selection.name.value].selection_set, variables, fragments)
    return total


def _page_size(field: FieldNode, variables: dict[str, Any]) -> int:
    if field.name.value not in _CONNECTIONS:
        return 1
    for argument in field.arguments or ():
        if argument.name.value == "first":
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, VariableNode):
                return int(variables.get(argument.value.name.value) or 50)
    return 50
