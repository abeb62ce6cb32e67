"""A cut that nobody has told yet, looked for before a message is given to a run that goes on.

When OpenCode dies its runs are cut, and afterwards they look idle. The follower tells that, but it has to see it twice,
and a message that waited for OpenCode may be given before: then the agent works again, the cut can no longer be seen,
and nobody hears of it, nor of the answer that may have been lost with the run.
"""

from __future__ import annotations

import asyncio

from dragoman.core.events.opencode import RunInterrupted
from dragoman.core.session import Session, Working
from dragoman.ids import MessageId
from dragoman.opencode.client import OpenCode
from dragoman.opencode.inbound import RunView, Verdict

_LEAST_S = 0.05
_LOOKS = 5  # a run that looks another way each time is at work


async def untold_cut(client: OpenCode, session: Session, message: MessageId) -> tuple[str, RunInterrupted] | None:
    """The cut of a session's run, if the agent must be told of it, and the key under which the follower tells it.

    message  the one that is to be given; those before it were
    returns  None also when the cut was told and the run is not yet set going again. It takes two seconds only when the
             run looks cut
    Raises   OpenCodeError
    """
    phase, thread, place = session.phase, session.thread, session.workspace
    if not isinstance(phase, Working) or thread is None or place is None:
        return None
    turn = phase.turn
    if turn.resuming or message not in turn.messages[1:]:
        return None
    if thread in await client.statuses(place.directory):
        return None
    given = turn.messages[turn.messages.index(message) - 1 :]
    view = RunView(turn.run, thread, place.directory, given, attempts=turn.attempts)
    verdict: Verdict | None = None
    for _ in range(_LOOKS):
        view.apply_snapshot(await client.snapshot(thread, place.directory, view.resync_from()))
        verdict = view.settled(verdict)
        if verdict is None or not isinstance(verdict.event, RunInterrupted):
            return None
        if not (verdict.event.tools or turn.answer):
            return None  # the message itself sets it going again, and there is nothing more to say
        if verdict.confirmed:
            return f"{turn.run}:{verdict.key}", verdict.event
        await asyncio.sleep(max(_LEAST_S, verdict.wait_s))
    return None
