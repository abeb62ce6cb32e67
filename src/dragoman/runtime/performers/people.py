"""Effects that people see: activities, plan, the issue itself. They need Linear's token and nothing of the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dragoman import logs
from dragoman.core.effects import BeginIssue, Post, ReadIssue, ShowPlan
from dragoman.core.events import Event, IssueRead
from dragoman.errors import LinearError
from dragoman.ids import SessionId
from dragoman.ledger.effects import Claimed
from dragoman.linear.client import Linear
from dragoman.linear.governor import Dropped
from dragoman.linear.outbound import Link

ISSUE_S = 3.0  # the run waits for the branch name no longer than this
_log = logs.get("people")


class People:
    """Performs what Linear shall show.

    link_to  the page of a session, None when we have no public address
    """

    def __init__(self, linear: Linear, link_to: Callable[[SessionId], str | None]) -> None:
        self._linear = linear
        self._link_to = link_to

    async def perform(self, claimed: Claimed) -> Event | None:
        """Perform one effect. Raises LinearError."""
        effect, session = claimed.effect, claimed.session
        if session is None:
            return None
        match effect:
            case Post(id=id_, activity=activity):
                try:
                    await self._linear.post(session, id_, activity, link=self._link_to(session))
                except Dropped:
                    _log.debug("activity.dropped", session=session)
            case ShowPlan(items=items):
                await self._linear.show_plan(session, items)
            case ReadIssue():
                return await self._read_issue(effect)
            case BeginIssue():
                await self._begin_issue(session, effect)
            case _:
                raise TypeError(f"not for people: {effect!r}")
        return None

    async def _read_issue(self, effect: ReadIssue) -> Event:
        try:
            async with asyncio.timeout(ISSUE_S):
                issue = await self._linear.issue(effect.issue.id)
        except (LinearError, TimeoutError) as error:
            _log.info("issue.unread", run=effect.run, error=str(error) or "no answer in time")
            return IssueRead(run=effect.run)
        return IssueRead(run=effect.run, issue=issue)

    async def _begin_issue(self, session: SessionId, effect: BeginIssue) -> None:
        if link := self._link_to(session):
            await self._linear.add_links(session, [Link(label="Dragoman", url=link)])
        if effect.issue is not None:
            await self._linear.begin_issue(effect.issue.id, start=effect.start, delegate=effect.delegate)
