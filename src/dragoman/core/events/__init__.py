"""What happened. Everything that the machine can hear is a variant in here, by who tells it, one sentence each.

Facts are gathered before they are told: an event carries all that is needed to decide.
Events of a run carry its RunId; those of a run that the session has left change nothing.
"""

from __future__ import annotations

from dragoman.core.events.desk import Delivered, FileShared, ShipFailed, Shipped, Undelivered, WorkFound
from dragoman.core.events.forge import ForgeEvent
from dragoman.core.events.issues import IssueEvent
from dragoman.core.events.linear import IssueRead, LinearEvent, RepositoriesSuggested
from dragoman.core.events.opencode import AgentEvent
from dragoman.core.events.operators import LibraryEvent, OperatorEvent
from dragoman.core.events.runs import PlaceInQueue, RunAborted, RunFailed, RunStarted, RunWaiting, SetupRan
from dragoman.core.events.timers import (
    AskDue,
    BlockersDue,
    CheckpointDue,
    EditsDue,
    HeartbeatDue,
    PatienceOver,
    PlaceDue,
    PlanDue,
    ShipDue,
    StopDue,
)

RuntimeEvent = (
    IssueRead
    | RepositoriesSuggested
    | SetupRan
    | RunStarted
    | RunWaiting
    | PlaceInQueue
    | PlaceDue
    | RunFailed
    | RunAborted
    | BlockersDue
    | HeartbeatDue
    | EditsDue
    | CheckpointDue
    | PlanDue
    | AskDue
    | StopDue
    | PatienceOver
    | WorkFound
    | FileShared
    | Shipped
    | ShipFailed
    | ShipDue
)
RunEvent = AgentEvent | RuntimeEvent
Event = (
    LinearEvent
    | IssueEvent
    | OperatorEvent
    | LibraryEvent
    | ForgeEvent
    | AgentEvent
    | RuntimeEvent
    | Delivered
    | Undelivered
)
