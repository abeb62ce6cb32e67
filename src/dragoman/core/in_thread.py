"""What a comment means in the conversation of its thread. Comments have no buttons: choices are numbered there.

The numbers are those of what is before people now: the choices of an open ask, or of the offer that ended the last turn.
Everything else is the same conversation as in an agent session; this is all that the machine is told of the difference.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from dragoman.core.activities import Choice
from dragoman.core.asks import choices, elicitation
from dragoman.core.events import Event
from dragoman.core.events.linear import Prompt, Prompted, SessionOpened
from dragoman.core.events.opencode import QuestionAsked
from dragoman.core.session import Choosing, Closed, Resting, Session, Working
from dragoman.core.taking_up import ways_on

_NUMBER = re.compile(r"\s*[#(]?(\d{1,2})[.):]?\s*")
_NUMBERS = re.compile(r"\s*\d{1,2}(?:(?:\s*(?:,|&|\band\b)\s*|\s+)\d{1,2})+[.]?\s*", re.IGNORECASE)


def as_heard(session: Session, event: Event) -> Event:
    """The event as the session takes it: a later mention is one more message, a number is what it stands for."""
    if isinstance(event, SessionOpened) and session.messages > 0:
        event = Prompted(prompt=event.prompt, issue=event.issue)
    if not isinstance(event, Prompted):
        return event
    return replace(event, prompt=_by_number(session, event.prompt))


def choices_of(session: Session) -> tuple[Choice, ...]:
    """What people may choose now, in the order of its numbers."""
    match session.phase:
        case Working(asks=(first, *_)) if first.shown:
            return elicitation(first).choices
        case Choosing() as phase:
            return choices(phase).choices
        case Resting(after="answered") | Closed(reason="answered"):
            return ways_on(session)
        case _:
            return ()


def _by_number(session: Session, prompt: Prompt) -> Prompt:
    offered = choices_of(session)
    if found := _NUMBER.fullmatch(prompt.text):
        numbers = [int(found[1])]
    elif _takes_several(session) and _NUMBERS.fullmatch(prompt.text):
        numbers = [int(number) for number in re.findall(r"\d+", prompt.text)]
    else:
        return prompt
    if not all(1 <= number <= len(offered) for number in numbers):
        return prompt
    return replace(prompt, text=", ".join(offered[number - 1].label for number in numbers))


def _takes_several(session: Session) -> bool:
    match session.phase:
        case Working(asks=(first, *_)) if isinstance(first.ask, QuestionAsked):
            return first.ask.questions[len(first.answers)].multiple
        case _:
            return False
