"""Stopping a run, and seeing that it stopped: `abort` answers `true` whatever happens, even for unknown threads.

When does a tool still run? Two facts of OpenCode 1.18 pull apart. After an abort, idle is reported before the last
writes, so an idle thread with a running tool may be about to end. But when the server dies, the tool parts that it cut
say "running" for ever, and no later server corrects them. So:

* The thread itself is believed by its parts: it is stopped when it is idle and no tool of its newest answer runs.
* A sub-agent is believed by its parts only if this stop has seen it busy. One that was idle all the time has ended, or
  was cut with a server that is gone: what its parts say is history. A thread keeps its sub-agents for good, and one old
  cut would otherwise put every later stop of that thread in doubt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from dragoman.errors import NotFound, OpenCodeDown, OpenCodeError
from dragoman.ids import AgentThread
from dragoman.opencode import wire
from dragoman.opencode.client import OpenCode

_LOOK_EVERY_S: Final = 0.15
_ABORT_EVERY_S: Final = 1.5  # a new step may have begun while the abort was under way: say it again
_AT_ONCE: Final = 8  # requests about sub-agents under way at a time

T = TypeVar("T")


async def stop_run(
    client: OpenCode,
    thread: AgentThread,
    directory: str,
    deadline_s: float,
    wanted: Callable[[], Awaitable[bool]] | None = None,
) -> tuple[bool, str]:
    """Abort a thread and its sub-agents, and look until nothing of them runs.

    wanted   asked before each abort: when something else runs in the thread by now, that must not be cut; the result
             means nothing then
    returns  (verified, detail): verified when within `deadline_s` all are idle and no tool of theirs is running;
             otherwise the detail says in words what could not be seen, for people to read
    """
    running: list[str] = []  # as last seen
    try:
        async with asyncio.timeout(deadline_s):
            await _stop(client, thread, directory, running, wanted)
            return True, ""
    except TimeoutError:
        silence = f"OpenCode did not confirm within {deadline_s:g} s that the work has ended"
        return False, "; ".join(running) or silence
    except NotFound:
        return True, ""  # nothing runs in a thread that does not exist
    except OpenCodeDown:
        return False, "OpenCode could not be reached, so I could not see whether the work has ended"
    except OpenCodeError as error:
        return False, f"OpenCode answered the stop with an error: {error}"


async def _stop(
    client: OpenCode,
    thread: AgentThread,
    directory: str,
    running: list[str],
    wanted: Callable[[], Awaitable[bool]] | None,
) -> None:
    """Returns when nothing runs any more; until then `running` holds what does."""
    aborted_at = 0.0
    suspects = {thread}  # whose parts are believed
    while True:
        children, statuses = await asyncio.gather(client.children(thread, directory), client.statuses(directory))
        suspects.update(child for child in children if not _idle(statuses, child))
        if time.monotonic() - aborted_at > _ABORT_EVERY_S:
            if wanted is not None and not await wanted():
                return
            # The parent first: otherwise it would take its sub-agent's abort for a result and go on.
            await client.abort(thread, directory)
            await _at_once(client.abort(child, directory) for child in children)
            aborted_at = time.monotonic()
            continue  # a sub-agent may have begun between the look and the abort
        looks = (_still_running(client, each, directory, statuses) for each in (thread, *children) if each in suspects)
        running[:] = [trouble for trouble in await _at_once(looks) if trouble]
        if not running:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _still_running(
    client: OpenCode, thread: AgentThread, directory: str, statuses: dict[str, wire.Status]
) -> str:
    """What of the thread has not ended, in words; "" when all has."""
    if not _idle(statuses, thread):
        busy = statuses[thread].type == "busy"
        return f"OpenCode still calls the work {'busy' if busy else 'waiting to try again'}"
    try:
        newest = await client.messages(thread, directory, 3)
    except NotFound:
        return ""  # deleted meanwhile
    last = next((message for message in reversed(newest) if message.info.role == "assistant"), None)
    if last is None:
        return ""
    # Idle is reported before the last writes, and a tool may outlive the answer it belongs to.
    tools = [part.tool for part in last.parts if part.state is not None and part.state.status == "running"]
    return f"the tool {tools[0]} had not ended" if tools else ""


def _idle(statuses: dict[str, wire.Status], thread: AgentThread) -> bool:
    return thread not in statuses or statuses[thread].type == "idle"


async def _at_once(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results in order; a few are under way at a time."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(awaited: Awaitable[T]) -> T:
        async with places:
            return await awaited

    return await asyncio.gather(*(one(awaited) for awaited in work))
