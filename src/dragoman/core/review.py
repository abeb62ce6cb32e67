"""What comes from the pull request: reviews, red checks and conflicts become rounds of work; a merge ends the session.

    heard ──→ waiting ──at rest──→ a turn of its own, all that waits in one prompt ──→ replies in the threads
                 │                          rounds + 1
                 └──rounds used up──→ one final that says what is not solved; a person's word takes it up again

What comes during a turn waits for its end: half a review does not fit into a run that works on something else, and the
answer in a thread shall stand for what was done about it. After a Stop, and after a turn that failed, nothing begins
by itself: the next finding or the next message of a person does that.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.draft import Draft
from dragoman.core.events.forge import ForgeEvent, PullRequestClosed, ReviewReceived
from dragoman.core.events.linear import Prompt
from dragoman.core.findings import Finding
from dragoman.core.session import LEFT_ALONE, Closed, Live, Resting, Review, Session, Stopping
from dragoman.core.taking_up import is_undecided
from dragoman.core.turns import begin_turn, refuse

KNOWN_MOST = 500  # keys that are remembered
WAITING_MOST = 50  # findings of one prompt; of more the newest


def watched(session: Session) -> str:
    """The pull request that is looked after; empty when there is none, or nobody wants its news any more."""
    phase, review = session.phase, session.review
    if review is None or review.ended or (isinstance(phase, Closed) and phase.reason not in LEFT_ALONE):
        return ""
    return session.pull_request


def on_forge(draft: Draft, event: ForgeEvent) -> None:
    """News of the session's own pull request; of any other one they change nothing."""
    if event.pull_request != watched(draft.session):
        return
    match event:
        case ReviewReceived(findings=findings):
            hear(draft, findings)
        case PullRequestClosed(merged=merged, by=by):
            review = draft.session.review or Review()
            draft.change(review=replace(review, waiting=(), ended="merged" if merged else "closed", ended_by=by))
            if takes_news(draft.session):
                draft.tell(wording.review.closed_during(merged=merged, by=by))
        case _:
            assert_never(event)


def hear(draft: Draft, findings: tuple[Finding, ...]) -> None:
    """Keep what is new; a turn under way goes on, and people read what waits for its end."""
    review = draft.session.review or Review()
    new = tuple(one for one in findings if one.key not in review.known)
    if not new:
        return
    known = (*review.known, *(one.key for one in new))[-KNOWN_MOST:]
    draft.change(review=replace(review, known=known, waiting=(*review.waiting, *new)[-WAITING_MOST:]))
    if takes_news(draft.session):
        draft.tell(wording.review.waits(new))


def takes_news(session: Session) -> bool:
    """Whether a turn is under way in which something may be told; while it is stopped only its end is shown."""
    return isinstance(session.phase, Live) and not isinstance(session.phase, Stopping)


def take_up_review(draft: Draft, before: Session) -> None:
    """After each step: at rest, begin a round with what waits, or end the session when its work is merged."""
    session, review = draft.session, draft.session.review
    if review is None or session is before or isinstance(session.phase, Live):
        return
    if review.ended:
        end_review(draft, review, quietly=isinstance(before.phase, Live))
    elif review.waiting and watched(session) and not is_undecided(draft):
        heard = before.review is None or before.review.waiting != review.waiting
        if heard or has_answered(before, session):
            begin_round(draft, review)


def has_answered(before: Session, after: Session) -> bool:
    """Whether a turn has just ended well."""
    return isinstance(before.phase, Live) and isinstance(after.phase, Resting) and after.phase.after == "answered"


def begin_round(draft: Draft, review: Review) -> None:
    """One prompt with all that waits, if there may be another round."""
    most = draft.rules.max_fix_rounds
    if review.rounds < most:
        number = review.rounds + 1
        draft.change(review=replace(review, waiting=(), rounds=number))
        text = wording.review.summary(review.waiting)
        begin_turn(draft, Prompt(text=text, kind="review", findings=review.waiting, round=number))
    elif not review.told:
        draft.change(review=replace(review, told=True))
        refuse(draft, wording.review.used_up(review.waiting, most))


def end_review(draft: Draft, review: Review, *, quietly: bool) -> None:
    """Merged: the session has served its purpose. Closed: people decide.

    quietly  a turn has just ended with its own final; that it was closed was told in it
    """
    draft.change(review=None)
    phase = draft.session.phase
    if isinstance(phase, Closed) and phase.reason not in LEFT_ALONE:
        return
    if not quietly:
        refuse(draft, wording.review.closed(merged=review.ended == "merged", by=review.ended_by))
    if review.ended == "merged":
        draft.enter(Closed(reason="merged"))
