"""Pages and filters of GraphQL connections.

Linear orders a connection by `createdAt` (or `updatedAt`), newest first; workflow states come in their own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dragoman.sim.records import Activity, Label, WorkflowState
from dragoman.sim.refusals import Refused

_DEFAULT_FIRST = 50
_LARGEST_FIRST = 250


def page(
    things: Sequence[Any],
    *,
    first: int | None = None,
    after: str | None = None,
    orderBy: str = "createdAt",
    newest_first: bool = True,
) -> dict[str, Any]:
    """One page of `things`, which come oldest first; the cursor is the id of the last one seen.

    Raises Refused for an unknown cursor or a `first` outside 1…250
    """
    first = _DEFAULT_FIRST if first is None else first
    if not 1 <= first <= _LARGEST_FIRST:
        raise Refused(f"first must be between 1 and {_LARGEST_FIRST}")
    ordered = list(things)
    if newest_first:
        if orderBy == "updatedAt" and ordered and hasattr(ordered[0], "updated_at"):
            ordered.sort(key=lambda thing: thing.updated_at)
        ordered.reverse()
    start = 0
    if after is not None:
        places = [place for place, thing in enumerate(ordered) if thing.id == after]
        if not places:
            raise Refused("after is no cursor of this connection")
        start = places[0] + 1
    nodes = ordered[start : start + first]
    info = {
        "hasNextPage": start + first < len(ordered),
        "hasPreviousPage": start > 0,
        "startCursor": nodes[0].id if nodes else None,
        "endCursor": nodes[-1].id if nodes else None,
    }
    return {"nodes": nodes, "pageInfo": info}


def activity_matches(activity: Activity, wanted: Mapping[str, Any]) -> bool:
    """Whether an activity passes an `AgentActivityFilter`."""
    values: dict[str, str | float] = {
        "id": activity.id,
        "agentSessionId": activity.session,
        "type": activity.kind,
        "createdAt": activity.created_at,
        "updatedAt": activity.created_at,
    }
    for name, condition in wanted.items():
        if name == "and":
            fits = all(activity_matches(activity, part) for part in condition)
        elif name == "or":
            fits = any(activity_matches(activity, part) for part in condition)
        else:
            fits = _compares(values[name], condition)
        if not fits:
            return False
    return True


def state_matches(state: WorkflowState, wanted: Mapping[str, Any]) -> bool:
    """Whether a workflow state passes a `WorkflowStateFilter`."""
    values: dict[str, str | float] = {"id": state.id, "name": state.name, "type": state.kind}
    return all(_compares(values[name], condition) for name, condition in wanted.items())


def label_matches(label: Label, wanted: Mapping[str, Any]) -> bool:
    """Whether a label passes an `IssueLabelFilter`."""
    return all(_compares(label.name, condition) for condition in wanted.values())


def _compares(value: str | float, condition: Mapping[str, Any]) -> bool:
    for operator, operand in condition.items():
        other: Any = _seconds(operand) if isinstance(value, float) else operand
        match operator:
            case "eq":
                fits = value == other
            case "neq":
                fits = value != other
            case "in":
                fits = value in other
            case "nin":
                fits = value not in other
            case "gt":
                fits = value > other
            case "gte":
                fits = value >= other
            case "lt":
                fits = value < other
            case "lte":
                fits = value <= other
            case _:
                raise Refused(f"the comparator {operator} is not known")
        if not fits:
            return False
    return True


def _seconds(moment: object) -> float:
    """A DateTimeOrDuration that is a date; durations ("-P2W") are not taken here."""
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        raise Refused(f"{moment} is no date") from None
