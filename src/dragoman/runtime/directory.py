"""Addresses of people whom a delivery named by id alone, looked up before somebody decides about them."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from dragoman import logs
from dragoman.core import access
from dragoman.core.access import Policy
from dragoman.core.events import Event
from dragoman.core.events.issues import CommentWritten, IssueEdited
from dragoman.core.events.linear import Person, Prompted, SessionOpened, StopRequested
from dragoman.errors import LinearError
from dragoman.ids import UserId
from dragoman.linear.client import Linear

LOOK_UP_S = 2.0  # Linear waits 5 s for its answer, and deciding takes some of that
KEPT = 10_000  # people
_log = logs.get("directory")


class Directory:
    """Knows people by their ids. Who cannot be looked up stays without an address, and is on no list of addresses."""

    def __init__(self, linear: Linear) -> None:
        self._linear = linear
        self._known: dict[UserId, Person] = {}

    async def complete(self, event: Event, policy: Policy) -> Event:
        """The event with the address of whoever did it, where the decision may hang on that and Linear tells it in time."""
        person = access.person_of(event)
        if person is None or not access.wants_address(person, policy):
            return event
        found = await self._look_up(person.id)
        if found is None:
            return event
        match event:
            case SessionOpened() | Prompted():
                return replace(event, prompt=replace(event.prompt, author=found))
            case StopRequested() | IssueEdited() | CommentWritten():
                return replace(event, by=found)
            case _:
                return event

    async def _look_up(self, user: UserId) -> Person | None:
        if (known := self._known.get(user)) is not None:
            return known
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await self._linear.person(user)
        except (LinearError, TimeoutError) as error:
            _log.warning("person.unknown", person=user, error=str(error) or "no answer in time")
            return None
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[user] = found
        return found
