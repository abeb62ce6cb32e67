"""Where a turn works: decided once a session, before anything is handed to OpenCode. Called by `turns`.

Linear is asked for a suggestion only when nothing above that decides, and people only when nothing does at all. The
request waits meanwhile as it is, and whatever else people write goes with it.

    Starting (issue read) ──decided──→ handed on
        │  ↑ suggestions
        ↓  │
       Choosing ──an answer──→ Starting, handed on
           └──no answer understood, twice──→ Resting
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.activities import Response
from dragoman.core.asks import WHERE
from dragoman.core.choosing import Choice, Facts, Reason
from dragoman.core.draft import Draft
from dragoman.core.effects import LabelIssue, SuggestRepositories
from dragoman.core.events.linear import Prompt, Suggestion
from dragoman.core.events.timers import AskDue
from dragoman.core.limits import NEARLY, Rules
from dragoman.core.routing import Decision, find, named_in, read_answer, route, settle_in
from dragoman.core.session import Choosing, Session, Starting
from dragoman.core.taking_up import choose_among, facts_of, is_undecided
from dragoman.core.text import one_line
from dragoman.core.triggers import choose

TRIES = 2  # how often people are asked


def find_place(
    draft: Draft, starting: Starting, prompt: Prompt, suggestions: tuple[Suggestion, ...] | None
) -> Decision | None:
    """Where the turn works. None: that is being asked for, and the phase says of whom."""
    session, routing = draft.session, draft.rules.routing
    if starting.decision is not None:
        return starting.decision
    prompts = (prompt, *starting.early)
    words = "\n".join(each.text for each in prompts)
    known = home_of(session)
    names = [place.name for place in routing.places]
    if known:
        other = next((named for named in named_in(words) if find(named, [known]) != known), "")
        if not (other and is_undecided(draft) and find(other, names)):
            if other:
                draft.tell(wording.place.stays_in(known, other))
            return Decision(repository=known, trace=_trace_of(session))
    if not routing.places:
        return Decision()
    choice = choose_among(draft, prompts)
    facts = facts_of(session, replace(prompt, text=words))
    asks_linear = suggestions is None and session.issue is not None
    found = route(facts, choice, routing, chosen=starting.chosen, suggestions=suggestions, may_ask=asks_linear)
    if found.repository:
        return found
    if asks_linear and session.issue is not None and not found.unknown:
        candidates = tuple((place.host, place.name) for place in routing.places if place.name in found.among)
        draft.enter(replace(starting, turn=draft.turn, asked=True))
        draft.do(SuggestRepositories(run=draft.turn.run, issue=session.issue.id, candidates=candidates))
        return None
    ask(draft, starting, prompt, found)
    return None


def ask(draft: Draft, starting: Starting, prompt: Prompt, decision: Decision) -> None:
    """Ask people."""
    draft.enter(
        Choosing(
            turn=draft.turn,
            prompt=prompt,
            early=starting.early,
            announced=starting.announced,
            decision=decision,
            shown=1,
        )
    )
    draft.show_choice()


def chosen_by(draft: Draft, phase: Choosing, prompt: Prompt) -> Starting | None:
    """What follows from a person's words: the turn goes on as Starting, or they were not understood and None.

    Then they are asked once more; after that the caller ends the turn (`Choosing.shown` says how often they were asked).
    """
    names = [place.name for place in draft.rules.routing.places]
    name, alone = read_answer(prompt.text, phase.decision.among)
    if not name:
        name, alone = read_answer(prompt.text, names)
    if not name:
        draft.enter(replace(phase, early=(*phase.early, prompt), shown=phase.shown + 1))
        if phase.shown < TRIES:
            draft.show_choice()
        return None
    who = prompt.author.name if prompt.author else wording.asking.SOMEBODY
    reason = Reason(what="repository", chosen=name, because=f"{one_line(who, 60)} chose it")
    starting = Starting(
        turn=phase.turn,
        prompt=phase.prompt,
        early=phase.early if alone else (*phase.early, prompt),
        announced=phase.announced,
        decision=Decision(repository=name, trace=(*phase.decision.trace, reason)),
    )
    draft.enter(starting)
    draft.change(chosen=name)
    draft.tell(wording.place.place_chosen(name))
    draft.release()
    if draft.rules.routing.label_back and draft.session.issue is not None:
        draft.do(LabelIssue(issue=draft.session.issue.id, label=f"repo:{name}"))
    return starting


def not_understood(decision: Decision) -> Response:
    """The honest end of asking."""
    return Response(body=wording.place.no_place(decision.among))


def remind(draft: Draft, phase: Choosing, event: AskDue) -> None:
    """A question that nobody answered is put again."""
    if event.ask == WHERE and draft.now - phase.shown_at >= draft.rules.reminder_s * NEARLY:
        draft.show_choice()


def would_be(
    facts: Facts,
    rules: Rules,
    *,
    chosen: str = "",
    suggestions: Sequence[Suggestion] | None = None,
    may_ask: bool = False,
) -> Choice:
    """What would be decided of a request that nobody has made: a dry run. See `route`."""
    first = choose(facts, rules.handling, sessions=rules.sessions)
    if not rules.routing.places:
        return first
    found = route(facts, first, rules.routing, chosen=chosen, suggestions=suggestions, may_ask=may_ask)
    place = next((one for one in rules.routing.places if one.name == found.repository), None)
    if place is None:
        asked = Reason(what="repository", chosen="", because=f"people would be asked: {', '.join(found.among)}")
        return settle_in(first, replace(found, trace=(*found.trace, asked)))
    return settle_in(choose(facts, rules.handling, sessions=rules.sessions, place=place), found)


def home_of(session: Session) -> str:
    """The repository that a session works in; empty before that is decided."""
    return session.repository or (session.workspace.repository if session.workspace else "")


def _trace_of(session: Session) -> tuple[Reason, ...]:
    known = session.choice.trace if session.choice else ()
    return tuple(one for one in known if one.what in {"repository", "routing"})
