"""Which workers do what. A pool is a set of workers that only wait for one another; an abort never waits at all."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from dragoman.core.effects import (
    AbortRun,
    AnswerPermission,
    AnswerQuestion,
    BeginIssue,
    ClearWorkspace,
    DisposeInstance,
    Effect,
    InspectWork,
    LabelIssue,
    LinkWork,
    NudgeAgent,
    Post,
    ReadIssue,
    Remind,
    ReplyToReview,
    ResumeRun,
    SaveWork,
    ShipLater,
    ShipWork,
    ShowPlan,
    StartRun,
    SteerRun,
    SuggestRepositories,
)
from dragoman.record import Record

Pool = Literal["linear", "issue", "start", "agent", "abort", "desk", "ship", "timers", "system"]

# Effects of these pools carry the host of their session and are claimed by that host alone.
HOST_POOLS: frozenset[Pool] = frozenset({"start", "agent", "abort", "desk", "ship"})

# Jobs that are begun with the service and come again and again. They are never given up: nothing would begin them anew.
CLEANUP: Final = "cleanup"
POLL: Final = "reviews"
RECURRING: frozenset[str] = frozenset({CLEANUP, POLL})

# In the `host` column: whichever host comes first.
ANY_HOST = ""


class Job(Record):
    """A thing to do that belongs to no session: cleanup, reconciliation.

    name  what it is; one of a name waits at a time
    body  what it needs, as its performer likes it
    """

    name: str
    body: str = ""


def pool_of(effect: Effect) -> Pool:
    """The workers that perform this effect."""
    match effect:
        case Post() | ShowPlan():
            return "linear"
        case ReadIssue() | SuggestRepositories() | LabelIssue() | BeginIssue() | LinkWork():
            return "issue"  # nobody reads these: in a flood first words must not wait behind them
        case StartRun():
            return "start"  # it may wait minutes for git; what is said to a running agent must not wait for that
        case SteerRun() | NudgeAgent() | ResumeRun() | AnswerPermission() | AnswerQuestion() | DisposeInstance():
            return "agent"
        case InspectWork():
            return "desk"
        case ShipWork() | ShipLater() | ReplyToReview() | SaveWork() | ClearWorkspace():
            return "ship"  # minutes of verifying; a turn that changed nothing must not wait behind it
        case AbortRun():
            return "abort"
        case Remind():
            return "timers"
        case _:
            assert_never(effect)


def host_key(pool: Pool, host: str) -> str:
    """What the `host` column holds for effects of `pool` that a process of `host` may claim."""
    return host if pool in HOST_POOLS else ANY_HOST
