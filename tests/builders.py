"""Core values for tests: plain ones with sensible defaults, and hypothesis strategies for any record."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from dragoman.core.activities import Action, Activity, Response, Thought
from dragoman.core.effects import Effect, Post, Remind, StartRun
from dragoman.core.events import Event
from dragoman.core.events.linear import Issue, Person, Prompt
from dragoman.core.events.timers import HeartbeatDue
from dragoman.core.session import Message, Session, Step
from dragoman.ids import (
    ActivityId,
    HostId,
    IssueId,
    MessageId,
    OrganizationId,
    PartId,
    RunId,
    SessionId,
    UserId,
    activity_id,
    run_id,
)

ORGANIZATION = OrganizationId("11111111-1111-4111-8111-111111111111")
HOST = HostId("host-a")
SESSION = SessionId("5e551011-0000-4000-8000-000000000001")

T = TypeVar("T")


# ── plain values ─────────────────────────────────────────────────────────
def a_person(name: str = "Ann") -> Person:
    return Person(id=UserId(f"user-{name}"), name=name, email=f"{name.lower()}@example.com")


def an_issue(key: str = "ENG-12") -> Issue:
    return Issue(
        id=IssueId(f"issue-{key}"), key=key, title="The parser drops the last line", team_key=key.partition("-")[0]
    )


def a_prompt(text: str = "please fix it", *, sent_at: float = 1_000.0) -> Prompt:
    return Prompt(text=text, author=a_person(), activity=ActivityId(f"prompt-{text}"), sent_at=sent_at)


def a_session(id: SessionId = SESSION, *, host: HostId = HOST, issue: Issue | None = None) -> Session:  # noqa: A002
    return Session(id=id, organization=ORGANIZATION, host=host, issue=issue or an_issue())


def a_run(session: SessionId = SESSION, turn: int = 1) -> RunId:
    return run_id(session, turn)


def a_post(stage: str, activity: Activity | None = None, *, session: SessionId = SESSION) -> Post:
    return Post(id=activity_id(session, 1, stage), activity=activity or Thought(body=stage))


def a_fleeting_post(stage: str) -> Post:
    return a_post(stage, Action(verb="Running", subject=stage, fleeting=True))


def a_final_post(body: str = "Done.") -> Post:
    return a_post("final", Response(body=body))


def a_start(session: SessionId = SESSION) -> StartRun:
    return StartRun(run=run_id(session, 1), prompt=a_prompt(), message=MessageId("msg_1"), part=PartId("prt_1"))


def a_reminder(after_s: float, session: SessionId = SESSION) -> Remind:
    return Remind(event=a_tick(session), after_s=after_s)


def a_tick(session: SessionId = SESSION) -> HeartbeatDue:
    """The plainest event there is."""
    return HeartbeatDue(run=run_id(session, 1))


def a_step_to(
    *effects: Effect, messages: Sequence[Message] = (), change: Callable[[Session], Session] = lambda session: session
) -> Callable[[Session, Event, float], Step]:
    """A machine that answers every event in the same way."""
    return lambda session, _event, _at: Step(session=change(session), effects=effects, messages=tuple(messages))


# ── strategies ───────────────────────────────────────────────────────────
def records(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a record class, or of a union of them, every field filled according to its type."""
    return _of(kind)


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    int: st.integers(min_value=-(2**53), max_value=2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
}
_KNOWN: dict[Any, st.SearchStrategy[Any]] = {}


def _of(kind: Any) -> st.SearchStrategy[Any]:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, NewType):
        return _of(kind.__supertype__)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([_of(argument) for argument in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(_of(argument) for argument in arguments))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind not in _KNOWN:
            # Deferred: records refer to one another.
            _KNOWN[kind] = st.deferred(lambda: _record(kind))
        return _KNOWN[kind]
    raise TypeError(f"no strategy for {kind!r}")


def _record(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{field.name: _of(field.type) for field in msgspec.structs.fields(kind)})
