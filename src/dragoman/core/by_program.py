"""What a program does with a session through the library. Called by `step` alone.

Such a session has no turns: the program talks with OpenCode itself and says here what came of it. So all of this counts
only at rest; a session that Linear made goes on by its own rules while a turn is under way.
"""

from __future__ import annotations

from typing import assert_never

from dragoman.core import wording
from dragoman.core.draft import Draft
from dragoman.core.events.operators import ErrorCounted, LibraryEvent, SessionMade, ThreadLinked
from dragoman.core.from_context import issue_of, person_of
from dragoman.core.limits import FAILED_TURNS
from dragoman.core.session import Message, Resting


def on_library(draft: Draft, event: LibraryEvent) -> None:
    """What a program says of its session; out of place it changes nothing."""
    if not isinstance(draft.session.phase, Resting):
        return
    match event:
        case SessionMade():
            make(draft, event)
        case ThreadLinked(thread=thread):
            draft.change(thread=thread)
        case ErrorCounted(reason=reason):
            count_error(draft, reason)
        case _:
            assert_never(event)


def make(draft: Draft, event: SessionMade) -> None:
    """A session begins with its context, once."""
    if draft.session.context is not None or draft.session.turns:
        return
    draft.change(
        context=event.context,
        issue=issue_of(event.context, event.issue_key),
        creator=person_of(event.context),
        timeout_s=event.timeout_s,
        max_messages=event.max_messages,
    )


def count_error(draft: Draft, reason: str) -> None:
    """Errors in a row make a failed session, as failed turns do."""
    failures = draft.session.failures + 1
    draft.change(failures=failures)
    if failures == FAILED_TURNS:
        draft.remember(Message(role="system", text=wording.ending.failed_line(reason)))
        draft.enter(Resting(after="failed"))
