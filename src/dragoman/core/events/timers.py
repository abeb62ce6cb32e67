"""From the clock: the time has come to look at something. What was settled meanwhile makes it an empty alarm."""

from __future__ import annotations

from dragoman.ids import AskId, RunId
from dragoman.record import Record


class PlaceDue(Record):
    """Time to look where the run stands in the queue. Whoever performs this tells PlaceInQueue instead."""

    run: RunId


class BlockersDue(Record):
    """Time to look whether the issues that block this one are done, or one of them was changed."""

    run: RunId


class CheckpointDue(Record):
    """Time to save the workspace of the run."""

    run: RunId


class EditsDue(Record):
    """What people changed on the issue was gathered long enough: time to tell the agent."""

    run: RunId


class HeartbeatDue(Record):
    """Time to look whether the turn has been silent."""

    run: RunId


class PlanDue(Record):
    """Time to send the newest plan."""

    run: RunId


class AskDue(Record):
    """The deadline of a permission has come, or the reminder of a question."""

    run: RunId
    ask: AskId


class StopDue(Record):
    """The time to confirm a stop is over."""

    run: RunId


class PatienceOver(Record):
    """The run has waited for OpenCode as long as it may."""

    run: RunId


class ShipDue(Record):
    """The time to deliver is over: people get their answer now."""

    run: RunId
