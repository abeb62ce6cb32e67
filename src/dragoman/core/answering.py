"""The asks of a run: raised by OpenCode, put before people one at a time, answered, expired or gone."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.asks import Reply, read_answer, read_permission
from dragoman.core.draft import Draft
from dragoman.core.effects import AnswerPermission, AnswerQuestion
from dragoman.core.events.linear import Prompt
from dragoman.core.events.opencode import AskRaised, PermissionAsked, QuestionAsked
from dragoman.core.limits import NEARLY
from dragoman.core.session import OpenAsk, Settled, Working
from dragoman.core.text import one_line
from dragoman.ids import AskId

SETTLED_KEPT = 20  # answers that a turn remembers
SETTLED_MOST = 120  # characters of each


def raise_ask(draft: Draft, ask: AskRaised) -> None:
    """OpenCode waits for people. The oldest ask is put before them; the others wait their turn."""
    phase = draft.live
    if not isinstance(phase, Working) or any(known.ask.ask == ask.ask for known in phase.asks):
        return
    if isinstance(ask, QuestionAsked) and not ask.questions:
        draft.do(AnswerQuestion(run=ask.run, ask=ask.ask, thread=ask.thread, answers=()))
        return
    draft.enter(replace(phase, asks=(*phase.asks, OpenAsk(ask=ask))))
    if not phase.asks:
        draft.show_ask()


def answer_ask(draft: Draft, phase: Working, prompt: Prompt) -> None:
    """A person's words answer the ask that is before people: the first of `phase`."""
    first = phase.asks[0]
    ask = first.ask
    words = prompt.text
    keep_answer(draft, first, prompt)
    phase = replace(phase, turn=draft.turn)
    match ask:
        case PermissionAsked():
            reply, message = read_permission(ask, words)
            close_permission(draft, ask, reply, message, wording.asking.permission_answered(reply))
        case QuestionAsked(questions=questions):
            answers = (*first.answers, read_answer(questions[len(first.answers)], words))
            draft.enter(replace(phase, asks=(replace(first, answers=answers, shown=0), *phase.asks[1:])))
            if len(answers) < len(questions):
                draft.show_ask()
                return
            draft.do(AnswerQuestion(run=ask.run, ask=ask.ask, thread=ask.thread, answers=answers))
            draft.turn_with(answer=wording.asking.answer_for_agent(questions, answers))
            next_ask(draft, ask.ask, wording.asking.question_answered(words))
        case _:
            assert_never(ask)


def keep_answer(draft: Draft, asked: OpenAsk, prompt: Prompt) -> None:
    """Note who answered what, for the receipt."""
    ask = asked.ask
    what = ask.subject or ask.permission if isinstance(ask, PermissionAsked) else ask.questions[len(asked.answers)].text
    who = prompt.author.name if prompt.author else wording.asking.SOMEBODY
    known = Settled(what=one_line(what, SETTLED_MOST), answer=one_line(prompt.text, SETTLED_MOST), who=who)
    draft.turn_with(settled=(*draft.turn.settled, known)[-SETTLED_KEPT:])


def expire_ask(draft: Draft, ask_id: AskId) -> None:
    """A permission is declined with a message, so that the run goes on; a question is put again.

    Each time an ask is put before people its time begins anew, so a reminder of an earlier time means nothing.
    """
    phase = draft.live
    if not isinstance(phase, Working) or not phase.asks or phase.asks[0].ask.ask != ask_id:
        return
    first = phase.asks[0]
    waited = draft.now - first.shown_at
    match first.ask:
        case PermissionAsked() as ask:
            if waited >= draft.rules.permission_s * NEARLY:
                said = wording.asking.permission_expired(round(draft.rules.permission_s / 60))
                close_permission(draft, ask, "reject", wording.asking.PERMISSION_EXPIRED_FOR_AGENT, said)
        case QuestionAsked():
            if waited >= draft.rules.reminder_s * NEARLY:
                draft.show_ask()
        case _:
            assert_never(first.ask)


def drop_ask(draft: Draft, ask_id: AskId) -> None:
    """The ask was answered elsewhere, or OpenCode no longer waits."""
    phase = draft.live
    if isinstance(phase, Working) and any(known.ask.ask == ask_id for known in phase.asks):
        next_ask(draft, ask_id, wording.asking.ASK_GONE)


def close_permission(draft: Draft, ask: PermissionAsked, reply: Reply, message: str, said: str) -> None:
    """Reply to a permission and go on."""
    draft.do(AnswerPermission(run=ask.run, ask=ask.ask, thread=ask.thread, reply=reply, message=message))
    next_ask(draft, ask.ask, said)


def next_ask(draft: Draft, done: AskId, said: str) -> None:
    """Take an ask away; if it was before people, say so and go on with the next one or with what was kept back."""
    phase = draft.live
    if not isinstance(phase, Working):
        return
    was_first = phase.asks[0].ask.ask == done
    draft.enter(replace(phase, asks=tuple(known for known in phase.asks if known.ask.ask != done)))
    if was_first:
        draft.tell(said)
        draft.show_ask()
