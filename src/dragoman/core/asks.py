"""What people's words mean as an answer. Labels, values and free text are all understood.

On a permission, free text declines and is passed on: it never allows (DESIGN: a guess must not grant a right).
"""

from __future__ import annotations

import unicodedata
from typing import Literal

from dragoman.core import wording
from dragoman.core.activities import Choice, Elicitation
from dragoman.core.events.opencode import PermissionAsked, Question
from dragoman.core.session import Choosing, OpenAsk
from dragoman.core.tools import BODY_MOST, bounded
from dragoman.ids import AskId

Reply = Literal["once", "always", "reject"]

WHERE = AskId("where")  # our own question: in which repository
OPTIONS_MOST = 25  # buttons; any other repository can be named as well

_ONCE = {"once", "allow", "allow once", "yes", "y", "ok", "okay", "approve", "approved", "allowed"}
_ALWAYS = {"always", "allow always", "always allow"}
_REJECT = {"reject", "no", "n", "deny", "denied", "decline", "declined", "rejected", "don't", "do not"}


def elicitation(open_ask: OpenAsk) -> Elicitation:
    """The activity that puts an ask, or its next unanswered question, before people."""
    ask = open_ask.ask
    if isinstance(ask, PermissionAsked):
        return Elicitation(
            body=wording.asking.permission(ask),
            choices=(
                Choice(value="once", label="Allow once"),
                Choice(value="always", label=wording.asking.permission_always(ask)),
                Choice(value="reject", label="Reject"),
            ),
        )
    number = len(open_ask.answers)
    asked = ask.questions[number]
    choices = tuple(Choice(value=label, label=label) for label, _ in asked.options if label.strip())
    return Elicitation(
        body=bounded(wording.asking.question(asked, number + 1, len(ask.questions)), BODY_MOST), choices=choices
    )


def choices(phase: Choosing) -> Elicitation:
    """The activity that asks people for the repository."""
    body = wording.place.which_repository(phase.decision.unknown, again=phase.shown > 1)
    names = phase.decision.among[:OPTIONS_MOST]
    return Elicitation(body=body, choices=tuple(Choice(value=name, label=name) for name in names))


def read_permission(ask: PermissionAsked, words: str) -> tuple[Reply, str]:
    """What to reply to a permission, and the message that goes with a rejection."""
    said = normalised(words)
    if said in _ONCE:
        return "once", ""
    if said in _ALWAYS or said == normalised(wording.asking.permission_always(ask)):
        return "always", ""
    if said in _REJECT or not said:
        return "reject", wording.asking.declined_for_agent("")
    return "reject", wording.asking.declined_for_agent(words.strip())


def read_answer(asked: Question, words: str) -> tuple[str, ...]:
    """The chosen labels; free text as it stands, since OpenCode accepts that too."""
    labels = {normalised(label): label for label, _ in asked.options}
    said = normalised(words)
    if said in labels:
        return (labels[said],)
    if asked.multiple:
        named = [labels.get(normalised(word), word.strip()) for word in words.split(",") if word.strip()]
        if named:
            return tuple(named)
    if said.isdigit() and 1 <= int(said) <= len(asked.options):
        return (asked.options[int(said) - 1][0],)
    return (words.strip() or "(no answer)",)


def normalised(words: str) -> str:
    """Words compared without case, emoji variation selectors, quotes, surrounding space and final punctuation."""
    folded = unicodedata.normalize("NFKC", words).replace("\ufe0f", "").casefold()
    return " ".join(folded.strip().strip("\"'`“”‘’.!,;:").split())
