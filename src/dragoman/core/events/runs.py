"""From those who start and abort runs: how far a run has come on its way to OpenCode."""

from __future__ import annotations

from typing import Literal

from dragoman.ids import AgentThread, RunId
from dragoman.record import Record


class RunStarted(Record):
    """The prompt is in OpenCode, or OpenCode is there again after it was waited for.

    `repository`, `directory`, `branch` and `base` say where it works, as in session.Workspace.
    attempt  of an interrupted run that was set going again: which one that was; else 0
    model    "provider/model" that was asked for; empty when OpenCode chooses
    summary  of the thread that was left, when the run begins in a fresh one; empty when the agent gave none
    notes    what people should know of a new workspace, a sentence or two each: what is not in it, how old it is
    """

    run: RunId
    thread: AgentThread
    repository: str
    directory: str
    branch: str
    base: str = ""
    attempt: int = 0
    model: str = ""
    summary: str = ""
    notes: tuple[str, ...] = ()


class SetupRan(Record):
    """A `setup` command of the repository was run in the new workspace, before the agent begins.

    number     its place among them, from 1
    exit_code  None when it was ended at its deadline
    """

    run: RunId
    number: int
    command: str
    exit_code: int | None
    took_s: float
    output: str = ""


class RunWaiting(Record):
    """The run cannot start or go on for now; it will be tried again.

    why  of "opencode": in which way it is away, as `errors.OpenCodeError` names its causes
    """

    run: RunId
    cause: Literal["opencode", "capacity", "repository"]
    detail: str = ""
    why: str = ""


class PlaceInQueue(Record):
    """The run waits for a place to work in; `place` is where it stands in the queue, from 1."""

    run: RunId
    place: int


class RunFailed(Record):
    """The run could not be started and trying again is no use. `reason` is written for people."""

    run: RunId
    reason: str


class RunAborted(Record):
    """An abort was tried. `verified`: parent and children idle, no tool running; else `detail` says what is unknown."""

    run: RunId
    verified: bool
    detail: str = ""
