"""Effects that people see: activities, plan, the issue itself. They need Linear's token and nothing of the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from dragoman import logs
from dragoman.core import wording
from dragoman.core.activities import Final
from dragoman.core.effects import BeginIssue, LabelIssue, LinkWork, Post, ReadIssue, ShowPlan, SuggestRepositories
from dragoman.core.events import Event
from dragoman.core.events.linear import IssueRead, RepositoriesSuggested
from dragoman.errors import LinearError
from dragoman.ids import SessionId, thread_of
from dragoman.ledger import find
from dragoman.ledger.effects import Claimed
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.client import Linear
from dragoman.linear.governor import Dropped, Priority
from dragoman.linear.graphql import InputRefused
from dragoman.linear.outbound import Link
from dragoman.runtime.performers.outlets import Activities, Comments, Outlet, urgency_of
from dragoman.runtime.workers import Pointless

SUGGESTIONS_S = 8.0  # Linear asks a model, and people would be asked otherwise
ISSUE_S = 3.0  # the run waits for the branch name no longer than this
_log = logs.get("people")


class People:
    """Performs what Linear shall show.

    link_to  the page of a session, None when we have no public address
    """

    def __init__(self, linear: Linear, ledger: SqliteLedger, link_to: Callable[[SessionId], str | None]) -> None:
        self._linear = linear
        self._ledger = ledger
        self._link_to = link_to

    async def perform(self, claimed: Claimed) -> Event | None:
        """Perform one effect. Raises LinearError, Pointless."""
        effect, session = claimed.effect, claimed.session
        if session is None:
            return None
        match effect:
            case Post(activity=activity):
                urgency = await self._urgency(session, effect, claimed)
                try:
                    await self._outlet(session).post(session, effect, urgency)
                except Dropped:
                    raise Pointless("Linear's quota is kept for others") from None
                except InputRefused as error:
                    if not isinstance(activity, Final):
                        raise
                    # People wait for the end: if not the answer, they read where it is. The id was not taken.
                    _log.error("final.refused", session=session, error=str(error))
                    instead = replace(effect, activity=replace(activity, body=wording.trouble.unshowable(session)))
                    await self._outlet(session).post(session, instead, urgency)
            case ShowPlan():
                await self._outlet(session).show_plan(session, effect, await self._urgency(session, effect, claimed))
            case ReadIssue():
                return await self._read_issue(session, effect)
            case SuggestRepositories():
                return await self._suggest(session, effect)
            case LabelIssue(issue=issue, label=label):
                await self._linear.label_issue(issue, label)
            case BeginIssue() if thread_of(session) is None:  # a person's key: their issue is not for us to move
                await self._begin_issue(session, effect)
            case BeginIssue():
                pass
            case LinkWork(url=url, issue=issue, review=review):
                if thread_of(session) is None:
                    await self._linear.add_links(session, [Link(label=wording.shipping.PULL_REQUEST, url=url)])
                if issue is not None:
                    await self._linear.attach(issue.id, url, wording.shipping.PULL_REQUEST)
                    if review:
                        await self._linear.review_issue(issue.id)
            case _:
                raise TypeError(f"not for people: {effect!r}")
        return None

    def _outlet(self, session: SessionId) -> Outlet:
        thread = thread_of(session)
        if thread is None:
            return Activities(self._linear, self._link_to)
        return Comments(self._linear, self._ledger, self._link_to, thread)

    async def _urgency(self, session: SessionId, effect: Post | ShowPlan, claimed: Claimed) -> Priority:
        """How urgent it is; once refused, as urgent as the most urgent one that waits behind it in the lane."""
        own = urgency_of(effect)
        if claimed.attempts == 1:
            return own
        behind = await self._ledger.read(find.lane_of_people, session)
        return min([own, *(urgency_of(one) for one in behind if isinstance(one, Post | ShowPlan))])

    async def _read_issue(self, session: SessionId, effect: ReadIssue) -> Event:
        others = await self._ledger.read(find.sessions_of_issue, effect.issue.id)
        chosen = next((one.chosen for one in others if one.chosen and one.id != session), "")
        try:
            async with asyncio.timeout(ISSUE_S):
                issue = await self._linear.issue(effect.issue.id)
        except (LinearError, TimeoutError) as error:
            _log.info("issue.unread", run=effect.run, error=str(error) or "no answer in time")
            return IssueRead(run=effect.run, chosen=chosen)
        return IssueRead(run=effect.run, issue=issue, chosen=chosen)

    async def _suggest(self, session: SessionId, effect: SuggestRepositories) -> Event:
        try:
            async with asyncio.timeout(SUGGESTIONS_S):
                linears = session if thread_of(session) is None else None
                found = await self._linear.suggestions(effect.issue, linears, effect.candidates)
        except (LinearError, TimeoutError) as error:
            _log.info("repositories.unsuggested", run=effect.run, error=str(error) or "no answer in time")
            found = ()
        return RepositoriesSuggested(run=effect.run, suggestions=found)

    async def _begin_issue(self, session: SessionId, effect: BeginIssue) -> None:
        refused: LinearError | None = None
        if link := self._link_to(session):
            try:
                await self._linear.add_links(session, [Link(label="Dragoman", url=link)])
            except LinearError as error:
                if error.retryable:
                    raise
                refused = error  # for good, which says nothing of the issue
        if effect.issue is not None:
            await self._linear.begin_issue(effect.issue.id, start=effect.start, delegate=effect.delegate)
        if refused is not None:
            raise refused
