"""Stopping a run, and seeing that it stopped: `abort` answers `true` whatever happens, even for unknown threads."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from dragoman.errors import NotFound, OpenCodeDown, OpenCodeError
from dragoman.ids import AgentThread
from dragoman.opencode.client import OpenCode

_LOOK_EVERY_S: Final = 0.15
_ABORT_EVERY_S: Final = 1.5  # a new step may have begun while the abort was under way: say it again


async def stop_run(client: OpenCode, thread: AgentThread, directory: str, deadline_s: float) -> tuple[bool, str]:
    """Abort a thread and its sub-agents, and look until nothing of them runs.

    returns  (verified, detail): verified when within `deadline_s` all are idle and no tool of theirs is running;
             otherwise the detail says in words what could not be seen, for people to read
    """
    running: list[str] = []  # as last seen
    try:
        async with asyncio.timeout(deadline_s):
            await _stop(client, thread, directory, running)
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


async def _stop(client: OpenCode, thread: AgentThread, directory: str, running: list[str]) -> None:
    """Returns when nothing runs any more; until then `running` holds what does."""
    aborted_at = 0.0
    while True:
        threads = (thread, *await client.children(thread, directory))
        if time.monotonic() - aborted_at > _ABORT_EVERY_S:
            # The parent first: otherwise it would take its sub-agent's abort for a result and go on.
            for each in threads:
                await client.abort(each, directory)
            aborted_at = time.monotonic()
        running[:] = [trouble for each in threads if (trouble := await _still_running(client, each, directory))]
        if not running:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _still_running(client: OpenCode, thread: AgentThread, directory: str) -> str:
    """What of the thread has not ended, in words; "" when all has."""
    status = (await client.statuses(directory)).get(thread)
    if status is not None and status.type != "idle":
        return f"OpenCode still calls the work {'busy' if status.type == 'busy' else 'waiting to try again'}"
    # Idle is reported before the last writes, and a tool may outlive the answer it belongs to.
    newest = await client.messages(thread, directory, 3)
    last = next((message for message in reversed(newest) if message.info.role == "assistant"), None)
    if last is None:
        return ""
    tools = [part.tool for part in last.parts if part.state is not None and part.state.status == "running"]
    if tools:
        return f"the tool {tools[0]} had not ended"
    return ""
