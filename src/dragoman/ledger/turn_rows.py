"""A row for each turn: when it began, when people first saw something of it, how it ended. Written with the turn itself.

The rows are for people's numbers; nothing is ever decided by them.
"""

from __future__ import annotations

from typing import Literal

from dragoman.core.activities import Failure, is_final
from dragoman.core.effects import Post
from dragoman.core.events import Event
from dragoman.core.events.opencode import Answered, PermissionAsked, QuestionAsked, RunSettled, Usage
from dragoman.core.events.runs import RunStarted
from dragoman.core.session import Message, Session, Step, Stopping, live_turn
from dragoman.ledger import queries
from dragoman.ledger.tx import Tx

TurnOutcome = Literal["answered", "failed", "stopped", "refused", "unknown"]

_SQL = queries.load("numbers")
_BEGIN, _END, _ASK, _MODEL = _SQL["begin_turn"], _SQL["end_turn"], _SQL["ask"], _SQL["model"]
_TEMPLATE, _PULL_REQUEST = _SQL["template"], _SQL["pull_request"]


def keep_turns(tx: Tx, before: Session, event: Event, decided: Step) -> None:
    """Note which turns began and ended in a step, with which template, and whether the agent asked something.

    before  the session before it, or as it was made
    """
    _keep_turns(tx, before, event, decided)
    after = decided.session
    was, is_ = _live(before), _live(after)
    number, template = is_ or was, _template(after)
    # A turn may end before anything was begun with it, so it is noted when it is chosen.
    if number is not None and template != (_template(before) if number == was else None):
        tx.execute(_TEMPLATE, (template, after.id, number))


def _keep_turns(tx: Tx, before: Session, event: Event, decided: Step) -> None:
    after = decided.session
    known = before.turns
    was, is_ = _live(before), _live(after)
    if was is not None and after is not before and (model := _model(event)):
        tx.execute(_MODEL, (model, after.id, was))
    if after.pull_request and after.pull_request != before.pull_request:
        tx.execute(_PULL_REQUEST, (after.pull_request, after.id, was or before.turns))
    if after.turns == known and was == is_:
        if isinstance(event, PermissionAsked | QuestionAsked) and after is not before and was is not None:
            tx.execute(_ASK, (after.id, was))
        return
    if was is None and after.turns == is_ == known + 1:  # the usual beginning, on the way to an acknowledgement
        shown = next((effect.id for effect in decided.effects if isinstance(effect, Post)), None)
        tx.execute(_BEGIN, (after.id, is_, tx.now, shown))
        return
    begun = range(known + 1, after.turns + 1)
    posts = [effect for effect in decided.effects if isinstance(effect, Post)]
    finals = [at for at, post in enumerate(posts) if is_final(post.activity)]
    ended = [number for number in ([was] if was else []) + list(begun) if number != is_]
    of_live = posts[finals[-1] + 1 if finals else 0 :]
    for number in begun:
        first = of_live[:1] if number == is_ else [posts[at] for at in finals[-1:]]
        tx.execute(_BEGIN, (after.id, number, tx.now, first[0].id if first else None))
    answers = [message for message in decided.messages if message.role == "assistant"]
    for place, number in enumerate(ended):
        final = posts[finals[place]] if place < len(finals) else None
        answer = answers[place] if place < len(answers) else Message(role="assistant", text="")
        if number in decided.answered:
            outcome: TurnOutcome = "answered"
        else:
            outcome = "refused" if number > known else _outcome(before, final)
        tx.execute(_END, (tx.now, outcome, answer.tokens, answer.cost, after.id, number))


def _model(event: Event) -> str:
    """What an event tells of the model: the one that was asked for, then the one that answered."""
    match event:
        case RunStarted(model=model) | RunSettled(outcome=Answered(usage=Usage(model=model))):
            return model
        case _:
            return ""


def _template(session: Session) -> str | None:
    return (session.choice.template or None) if session.choice is not None else None


def _live(session: Session) -> int | None:
    turn = live_turn(session)
    return turn.number if turn is not None else None


def _outcome(before: Session, final: Post | None) -> TurnOutcome:
    if final is None:
        return "unknown"
    if isinstance(final.activity, Failure):
        return "failed"
    if isinstance(before.phase, Stopping) and before.phase.by != "service":
        return "stopped"
    return "answered"
