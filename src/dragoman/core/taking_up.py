"""How a turn is taken up: session, simple answer or plan, its first words, and what changes between them.

Called by `turns`. Decided is twice: at once, for the first words that people read, and once more when the issue was
read, with its labels, project and state; only the second one counts.

A simple answer and a plan end with an `Offer`: people go on with one click, and by whatever else they write. So what
a turn is about depends on what was offered before it: `planned` waits for approval, a simple answer is decided anew.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.activities import Choice as Option
from dragoman.core.activities import Final, Offer, Response
from dragoman.core.asks import normalised
from dragoman.core.choosing import Choice, Facts, Mode, Reason, Way
from dragoman.core.draft import Draft
from dragoman.core.events.linear import Issue, Prompt
from dragoman.core.routing import Decision, Place, settle_in
from dragoman.core.session import Choosing, Session, Starting, profile
from dragoman.core.tags import of_words
from dragoman.core.tools import BODY_MOST, bounded
from dragoman.core.triggers import asks_for_guide, choose

_APPROVALS = {"build it", "build", "approve", "approved", "yes", "y", "ok", "okay", "go", "go ahead", "do it", "lgtm"}
_REFUSALS = {"drop it", "drop", "reject", "rejected", "no", "n", "cancel", "forget it"}
_PLAN_MOST = BODY_MOST - len(wording.beginning.PLAN_OFFER) - 10


def is_undecided(draft: Draft) -> bool:
    """Whether the next turn decides between session and simple answer: at first, and after a simple answer."""
    session = draft.session
    if session.choice is None:
        made_here = session.context is not None  # a program made it a session, through the library
        return (session.runs == 0 and not made_here) or not draft.rules.sessions
    return session.choice.mode == "simple" or not draft.rules.sessions


def answered_at_once(draft: Draft, prompt: Prompt) -> str:
    """The answer to what needs no agent: a call for the guide, a plan that is dropped. Empty for all else."""
    choice = draft.session.choice
    if choice is not None and choice.stage == "planned" and normalised(prompt.text) in _REFUSALS:
        draft.change(choice=replace(choice, stage="planning", plan=""))
        return wording.beginning.PLAN_DROPPED
    return wording.beginning.GUIDE if asks_for_guide(prompt.text, draft.rules.handling) else ""


def first_words(draft: Draft, prompt: Prompt) -> tuple[str, Mode | Literal[""]]:
    """What people read first, before anything slow is touched, and what it tells them; see Starting.announced."""
    session = draft.session
    if prompt.kind == "review":
        return wording.review.begins(prompt.findings, prompt.round, draft.rules.max_fix_rounds), "session"
    if is_undecided(draft):
        open_ = draft.rules.sessions and draft.rules.handling.needs_issue and session.issue is not None
        if open_ and prompt.kind != "delegation":
            return wording.beginning.READING_FIRST, ""
        choice = _choose(draft, prompt)
        return _announced(session, choice, prompt), choice.mode
    was, choice = session.choice, _go_on(session.choice, prompt)
    if choice.stage == "planning":
        return wording.beginning.PLAN_AGAIN if was and was.plan else wording.beginning.planning(prompt), "session"
    approved = was is not None and _approves(was, prompt)
    return wording.beginning.PLAN_APPROVED if approved else wording.beginning.turn_started(prompt), "session"


def take_up(draft: Draft, starting: Starting, prompt: Prompt, where: Decision) -> bool:
    """Decide for good; what was written meanwhile counts, too. Says whether a session begins with this turn.

    where  it is worked on; without a repository there is nothing to decide about that
    """
    session = draft.session
    if not is_undecided(draft):
        draft.change(choice=_go_on(session.choice, prompt))
        if profile(session) == "plan" and profile(draft.session) == "work":
            draft.change(thread=None)  # the thread of a plan may not write
        return session.runs == 0
    place = next((one for one in draft.rules.routing.places if one.name == where.repository), None)
    choice = choose_among(draft, (prompt, *starting.early), place)
    if where.repository:
        choice = settle_in(choice, where)
    was = profile(session)
    moved = session.workspace is not None and where.repository not in {"", session.workspace.repository}
    if was != choice.profile or moved:
        anew = moved or "answer" in {was, choice.profile}
        draft.change(thread=None, workspace=None if anew else session.workspace)
    draft.change(choice=choice, priority=choice.priority or draft.session.priority)
    if starting.announced != choice.mode:
        draft.tell(_announced(session, choice, prompt))
    if choice.mode == "session" and (refused := refusals(choice)):
        draft.tell(wording.beginning.not_chosen(refused))
    return choice.mode == "session"


def refusals(choice: Choice) -> tuple[str, ...]:
    """What was named and could not be taken, a clause each."""
    return tuple(one.because for one in choice.trace if not one.chosen and one.what not in {"trigger", "routing"})


def keep_what_was_wanted(draft: Draft, starting: Starting | Choosing) -> None:
    """A turn is stopped before it was taken up: what was to be a session is one when people go on."""
    if starting.prompt is not None and is_undecided(draft):
        choice = choose_among(draft, (starting.prompt, *starting.early))
        if choice.mode == "session" and draft.session.runs == 0:
            draft.change(choice=choice)


def approves_plan(session: Session, prompt: Prompt) -> bool:
    """Whether a message lets the agent build what it has planned."""
    return session.choice is not None and _approves(session.choice, prompt)


def wants_session(draft: Draft, prompt: Prompt) -> bool:
    """Whether a message that came during a simple answer is a request that the answer cannot fulfil."""
    choice = draft.session.choice
    return choice is not None and choice.mode == "simple" and _choose(draft, prompt).mode == "session"


def closing(draft: Draft, words: str) -> Final:
    """The final activity with the agent's words; after an answer or a plan it offers the way on."""
    match profile(draft.session):
        case _ if not words:
            return Response(body=wording.ending.NO_WORDS)
        case "answer" if draft.rules.sessions:
            return Offer(body=words, choices=ways_on(draft.session))
        case "plan":
            plan = bounded(words, _PLAN_MOST)
            draft.change(
                choice=replace(draft.session.choice or Choice(), stage="planned", plan=plan, planned_at=draft.now)
            )
            return Offer(body=f"{plan}\n\n{wording.beginning.PLAN_OFFER}", choices=ways_on(draft.session))
        case _:
            return Response(body=words)


def ways_on(session: Session) -> tuple[Option, ...]:
    """What people may choose after a simple answer or a plan."""
    ways: tuple[str, ...] = ()
    match profile(session):
        case "answer":
            ways = (wording.beginning.WORK_ON_IT,)
        case "plan":
            ways = (wording.beginning.BUILD_IT, wording.beginning.DROP_IT)
        case "work":
            pass
    return tuple(Option(value=way, label=way) for way in ways)


def facts_of(session: Session, prompt: Prompt) -> Facts:
    """What is known of a request in a session."""
    if session.issue is None:
        return Facts(words=prompt.text, on=_way(prompt), creator=prompt.author)
    return facts_of_issue(session.issue, prompt, read=session.issue_read)


def facts_of_issue(issue: Issue, prompt: Prompt, *, read: bool) -> Facts:
    """What is known of a request on an issue. `read`: from Linear, with all that only Linear tells."""
    return Facts(
        words=prompt.text,
        on=_way(prompt),
        creator=prompt.author,
        issue_key=issue.key,
        issue_title=issue.title,
        issue_description=issue.description,
        issue_url=issue.url,
        team_key=issue.team_key,
        team_id=issue.team_id,
        project=issue.project,
        state=issue.state,
        state_type=issue.state_type or "",
        labels=issue.labels,
        known_issue=read,
    )


def _way(prompt: Prompt) -> Way:
    match prompt.kind:
        case "mention" | "delegation" as way:
            return way
        case "follow_up" | "review" | "edits":
            return "follow_up"


def _choose(draft: Draft, prompt: Prompt, place: Place | None = None) -> Choice:
    return choose(facts_of(draft.session, prompt), draft.rules.handling, sessions=draft.rules.sessions, place=place)


def choose_among(draft: Draft, prompts: tuple[Prompt, ...], place: Place | None = None) -> Choice:
    """The choice for several messages that are taken up together: a session if any of them asks for one."""
    choices = [_choose(draft, each, place) for each in prompts]
    return next((one for one in choices if one.mode == "session"), choices[0])


def _approves(choice: Choice, prompt: Prompt) -> bool:
    """What was written before the plan was shown, and waited for it, approves nothing."""
    seen = prompt.sent_at == 0.0 or prompt.sent_at >= choice.planned_at
    return choice.stage == "planned" and seen and normalised(prompt.text) in _APPROVALS


def _announced(session: Session, choice: Choice, prompt: Prompt) -> str:
    if choice.mode == "simple":
        return wording.beginning.answering(prompt)
    return wording.beginning.session_started(session.issue, prompt)


def _go_on(choice: Choice | None, prompt: Prompt) -> Choice:
    """The choice of a session's later turn: a plan is approved or made anew; agent and model may be named again."""
    choice = choice or Choice()
    named = of_words(prompt.text)
    fresh = [
        Reason(what=what, chosen=value, because="a later request")
        for what, value in (("agent", named.agent), ("model", named.model))
        if value
    ]
    if fresh:
        kept = tuple(one for one in choice.trace if one.what not in {each.what for each in fresh})
        choice = replace(
            choice, agent=named.agent or choice.agent, model=named.model or choice.model, trace=(*kept, *fresh)
        )
    if choice.stage == "planned":
        return replace(choice, stage="approved" if _approves(choice, prompt) else "planning")
    return choice
