"""Where people read: in an agent session as activities, or in a thread as comments. The conversation is the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Protocol

import msgspec
from msgspec.structs import replace

from dragoman import logs
from dragoman.core.activities import Action, Elicitation, Failure, Offer, Response, Thought
from dragoman.core.effects import Post, ShowPlan
from dragoman.errors import LinearError
from dragoman.ids import ActivityId, SessionId, Thread, activity_id
from dragoman.ledger import find, turns
from dragoman.ledger import progress as ledger_progress
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.linear.as_comments import Progress, add, comment_body, progress_body
from dragoman.linear.client import Linear, priority_of
from dragoman.linear.comments import key_of
from dragoman.linear.governor import Priority
from dragoman.runtime.workers import Pointless, Postponed

# The comment is edited at most this often. People read it so, and Linear's quota is shared by all sessions.
EDIT_EVERY_S = 3.0
LOOK_EVERY_S = 0.5  # an answer that comes behind a step that waits is not kept back for longer
_log = logs.get("outlets")
_decode = msgspec.json.Decoder(Progress).decode

LinkTo = Callable[[SessionId], str | None]


class Outlet(Protocol):
    """Shows what a session says. Each call may be repeated."""

    async def post(self, session: SessionId, post: Post, urgency: Priority) -> None:
        """Show an activity. Raises Dropped, LinearError, Pointless, Postponed."""
        ...

    async def show_plan(self, session: SessionId, plan: ShowPlan, urgency: Priority) -> None:
        """Replace the plan. Raises as `post` does."""
        ...


class Activities:
    """Agent sessions: Linear has a row for each activity and a place for the plan."""

    def __init__(self, linear: Linear, link_to: LinkTo) -> None:
        self._linear = linear
        self._link_to = link_to

    async def post(self, session: SessionId, post: Post, urgency: Priority) -> None:
        """Post it."""
        link = self._link_to(session)
        await self._linear.post(session, post.id, post.activity, priority=urgency, link=link)

    async def show_plan(self, session: SessionId, plan: ShowPlan, urgency: Priority) -> None:
        """Put it into the session."""
        await self._linear.show_plan(session, plan.items, priority=urgency)


class Comments:
    """A thread of comments: one for the progress of a turn, edited in place, and one for each question and answer.

    The effects of a session come in order, so all that waits behind one can be shown together with it; when its own turn
    comes there is nothing left to do. What comes too soon after the last edit waits and holds the others back: then they
    make one edit together.
    """

    def __init__(self, linear: Linear, ledger: SqliteLedger, link_to: LinkTo, thread: Thread) -> None:
        self._linear = linear
        self._ledger = ledger
        self._link_to = link_to
        self._thread = thread

    async def post(self, session: SessionId, post: Post, urgency: Priority) -> None:
        """A step goes into the progress, all else is a comment."""
        match post.activity:
            case Thought() | Action():
                await self._show(session, post, urgency)
            case Elicitation() | Response() | Failure() | Offer():
                body = comment_body(post.activity, link=self._link_to(session), own=self._linear.known_viewer)
                await self._create(post.id, body, urgency)
                if await self._ends_turn(session, post.id):
                    await self._close(session, urgency)

    async def show_plan(self, session: SessionId, plan: ShowPlan, urgency: Priority) -> None:
        """It stands below the steps."""
        await self._show(session, plan, urgency)

    async def _show(self, session: SessionId, effect: Post | ShowPlan, urgency: Priority) -> None:
        kept = await self._ledger.read(ledger_progress.load, session)
        steps, after = await self._waiting(session, effect)
        if kept is None:
            if isinstance(effect, ShowPlan):
                raise Pointless("a plan without a turn")
            before, said = Progress(comment=effect.id), ""
        else:
            before = _decode(kept.body)
            said = self._body(session, before)
        progress = replace(reduce(add, steps, before), ahead=tuple(each.id for each in steps if isinstance(each, Post)))
        body = self._body(session, progress)
        urgency = min(urgency, *(urgency_of(each) for each in steps))
        if body == said or before.deleted:
            return
        if kept is None:
            await self._create(progress.comment, body, urgency)
        elif after is not None and await self._ends_turn(session, after.id):
            pass  # the end of the turn edits the comment itself
        elif after is None and kept.shown_s < EDIT_EVERY_S:
            raise Postponed("the comment was edited just now", after_s=min(LOOK_EVERY_S, EDIT_EVERY_S - kept.shown_s))
        elif not await self._edit(session, progress.comment, body, urgency):
            progress = replace(progress, deleted=True)
        await self._keep(session, progress)

    async def _waiting(self, session: SessionId, effect: Post | ShowPlan) -> tuple[list[Post | ShowPlan], Post | None]:
        """The effect with the steps that wait right behind it, and what comes after those: a question or an answer."""
        behind = [each for each in await self._ledger.read(find.lane_of_people, session) if each != effect]
        steps: list[Post | ShowPlan] = [effect]
        for each in behind:
            if isinstance(each, Post) and not isinstance(each.activity, Thought | Action):
                return steps, each
            if isinstance(each, Post | ShowPlan):
                steps.append(each)
        return steps, None

    async def _close(self, session: SessionId, urgency: Priority) -> None:
        """The turn has ended, and its progress says so. Whatever becomes of that, the answer is there."""
        kept = await self._ledger.read(ledger_progress.load, session)
        if kept is None:
            return
        progress = _decode(kept.body)
        if not progress.deleted:
            await self._edit(session, progress.comment, self._body(session, progress, ended=True), urgency)
        await self._ledger.turn(ledger_progress.drop, session)

    async def _create(self, comment: ActivityId, body: str, urgency: Priority) -> None:
        # Known before it is there: its webhook may be faster than the answer to our request.
        await self._ledger.turn(ledger_progress.claim_key, key_of(comment))
        await self._linear.create_comment(self._thread, comment, body, priority=urgency)

    async def _edit(self, session: SessionId, comment: ActivityId, body: str, urgency: Priority) -> bool:
        """Edit the progress; False when that can never be done, for instance because somebody has removed it."""
        try:
            await self._linear.update_comment(comment, body, priority=urgency)
        except LinearError as error:
            if error.retryable:
                raise
            _log.warning("progress.unshown", session=session, comment=comment, error=str(error))
            return False
        return True

    async def _keep(self, session: SessionId, progress: Progress) -> None:
        await self._ledger.turn(ledger_progress.store, session, msgspec.json.encode(progress).decode())

    async def _ends_turn(self, session: SessionId, comment: ActivityId) -> bool:
        """Whether it is the final of a turn; an answer to somebody who was refused is none."""
        known = await self._ledger.read(turns.load, session)
        return known is not None and comment in {activity_id(session, turn) for turn in range(1, known.turns + 1)}

    def _body(self, session: SessionId, progress: Progress, *, ended: bool = False) -> str:
        return progress_body(progress, ended=ended, link=self._link_to(session), own=self._linear.known_viewer)


def urgency_of(effect: Post | ShowPlan) -> Priority:
    """By kind; a thought of the agent's can wait, one of ours may be the acknowledgement that Linear waits for."""
    if isinstance(effect, ShowPlan):
        return Priority.PLAN
    if effect.routine and isinstance(effect.activity, Thought) and not effect.activity.fleeting:
        return Priority.ACTION
    return priority_of(effect.activity)
