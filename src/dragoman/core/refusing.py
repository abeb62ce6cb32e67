"""What people hear when they may not do something. That they may not was decided before (`access`), and their words
never came this far.

A refusal is a `response`, also in the middle of somebody else's turn: thoughts are folded away, and whoever was refused
should see it. But Linear takes a response for the end and for the answer to an open question, so what it hid is put
there again at once: the question, or a fleeting thought that the work goes on.
"""

from __future__ import annotations

from typing import assert_never

from dragoman.core import wording
from dragoman.core.activities import Response, Thought
from dragoman.core.draft import Draft
from dragoman.core.events.linear import RequestRefused
from dragoman.core.session import Choosing, Closed, Message, Resting, Shipping, Starting, Stopping, Working


def on_refused(draft: Draft, event: RequestRefused) -> None:
    """Say it once, and leave everything as it was."""
    words = wording.refusing.refused(event)
    phase = draft.session.phase
    if not event.silent:
        match phase:
            case Resting() | Closed():
                refuse_turn(draft, words)
            case Stopping():
                draft.refuse(words)
            case Starting() | Choosing() | Working() | Shipping():
                draft.refuse(words)
                if draft.asking:
                    draft.show_ask_again()
                else:
                    draft.post(
                        f"goes_on:{draft.turn.told}", Thought(body=wording.refusing.AFTER_REFUSAL, fleeting=True)
                    )
            case _:
                assert_never(phase)
    if phase == Resting(after="new"):
        draft.enter(Closed(reason="refused"))


def refuse_turn(draft: Draft, words: str) -> None:
    """A turn that never runs. It is no part of the conversation that an agent is told later: `system`."""
    number = draft.session.turns + 1
    draft.change(turns=number)
    shown = draft.show_final(number, Response(body=words))
    draft.remember(Message(role="system", text=words, linear_id=shown))
