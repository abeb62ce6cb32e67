"""Work on an issue that waits for others: it begins by itself when they are done. Called by `running` and `step`.

The turn stays Starting, with its request. What blocks it is looked up again when Linear tells that it was changed, and
now and then in any case, since an app need not be told of changes of issues.
"""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.asks import normalised
from dragoman.core.draft import Draft
from dragoman.core.effects import ReadIssue
from dragoman.core.events.linear import Prompt
from dragoman.core.events.timers import BlockersDue
from dragoman.core.session import Starting
from dragoman.core.taking_up import choose_among

FIRST_LOOK_S = 60.0
LONGEST_S = 3_600.0
_ANYWAY = {"start anyway", "begin anyway", "go ahead anyway", "work on it anyway", "anyway"}


def is_blocked(draft: Draft, starting: Starting, prompt: Prompt) -> bool:
    """Whether the turn has to wait, which people hear when that is new; an answer to a question waits for nothing."""
    session = draft.session
    blockers = session.issue.blocked_by if session.issue is not None and draft.rules.respect_blockers else ()
    wants_work = choose_among(draft, (prompt, *starting.early)).mode == "session"
    if not blockers or session.runs > 0 or not wants_work:
        if starting.blocked:
            draft.tell(wording.waiting.UNBLOCKED)
        return False
    if blockers != starting.blocked:
        draft.tell(wording.waiting.blocked(tuple(one.key for one in blockers)))
    draft.enter(replace(starting, turn=draft.turn, blocked=blockers, looks=starting.looks + 1))
    draft.remind(BlockersDue(run=draft.turn.run), min(FIRST_LOOK_S * 2 ** min(starting.looks, 10), LONGEST_S))
    return True


def look_at_blockers(draft: Draft, phase: Starting) -> None:
    """Read the issue again, unless that is under way."""
    if phase.blocked and not phase.reading and draft.session.issue is not None:
        draft.enter(replace(phase, reading=True))
        draft.do(ReadIssue(run=phase.turn.run, issue=replace(draft.session.issue, description="")))


def starts_anyway(phase: Starting, prompt: Prompt) -> bool:
    """Whether a person's words have the work begin although the issue is blocked."""
    return bool(phase.blocked) and normalised(prompt.text) in _ANYWAY
