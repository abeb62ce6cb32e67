"""From the desk: what became of the work in its workspace and on the forge."""

from __future__ import annotations

from typing import Literal

from dragoman.core.outbox import OutboxFile
from dragoman.ids import RunId
from dragoman.record import Record


class Check(Record):
    """A verify command that we ran in a clean clone.

    exit_code  None when it was ended at its deadline
    output     the end of what it printed, bounded
    on_base    it ran on the base with only the new tests added, to see whether they fail there
    """

    command: str
    exit_code: int | None
    took_s: float
    output: str = ""
    on_base: bool = False


class Receipt(Record):
    """What the service itself saw and did at the end of a turn. Nothing in it is taken from the model's words.

    commits       of this turn, "1a2b3c4 Subject", oldest first, the first twenty; `commit_count` counts all
    files         changed by these commits, with the lines `added` and `removed`
    committed     how many files we committed because the agent had left them
    left          why uncommitted files were left as they are; empty when none were
    pushed        whether the remote has the branch as it stands
    pull_request  its URL; empty without one
    compare       how to look at the branch where there is no pull request
    checks        in the order in which they ran; `unchecked` says why there are none although some are configured
    proof         with `verify_red`: whether the new tests fail on the base ("red"), pass there as well ("green"), or
                  whether there are none
    trouble       what kept the work from being delivered and what to do, for people; empty when nothing did
    later         it is tried again without anybody asking; `later_s` seconds from now at the earliest
    """

    repository: str
    branch: str
    base: str
    commits: tuple[str, ...] = ()
    commit_count: int = 0
    files: int = 0
    added: int = 0
    removed: int = 0
    committed: int = 0
    left: str = ""
    pushed: bool = False
    pull_request: str = ""
    compare: str = ""
    checks: tuple[Check, ...] = ()
    unchecked: str = ""
    proof: Literal["", "red", "green", "no_tests"] = ""
    trouble: str = ""
    later: bool = False
    later_s: float = 0.0


class Delivered(Record):
    """What could not be delivered at the end of its turn has been by now; `pull_request` is its URL, empty without."""

    pull_request: str


class Undelivered(Record):
    """What was tried again behind a turn's end is refused for good. `reason` is written for people."""

    reason: str


class WorkFound(Record):
    """We looked at the workspace after the agent's last words.

    changed  it holds work that was not delivered yet, committed or not
    left     paths that are not committed, the first ones
    """

    run: RunId
    changed: bool
    left: tuple[str, ...] = ()


class FileShared(Record):
    """A file that the agent put out for people is at Linear, or cannot be brought there."""

    run: RunId
    file: OutboxFile


class Shipped(Record):
    """The work is delivered as far as it could be; the receipt says how far."""

    run: RunId
    receipt: Receipt


class ShipFailed(Record):
    """The work could not be looked at or delivered at all. `reason` is written for people."""

    run: RunId
    reason: str
