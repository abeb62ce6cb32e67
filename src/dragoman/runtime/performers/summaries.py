"""Asking an agent to sum up a thread that has grown long, before the session goes on in a fresh one."""

from __future__ import annotations

import asyncio
import contextlib

from dragoman import logs
from dragoman.core import prompts
from dragoman.core.events.opencode import Answered, RunSettled
from dragoman.errors import NotFound, OpenCodeError
from dragoman.ids import AgentThread, RunId, message_id, part_id
from dragoman.opencode.client import OpenCode
from dragoman.opencode.inbound import RunView, Verdict
from dragoman.runtime.performers.fence import Fence

SUMMARY_S = 180.0  # people wait for their answer meanwhile
LOOK_S = 0.5
ORDINAL = -1  # of the question among the messages of the run; those count from 0
_log = logs.get("summaries")


class Summaries:
    """Gets summaries of threads."""

    def __init__(self, fence: Fence, *, within_s: float = SUMMARY_S) -> None:
        self._fence = fence
        self._within_s = within_s

    async def of(
        self,
        client: OpenCode,
        thread: AgentThread,
        directory: str,
        *,
        run: RunId,
        asked_at: float,
        model: str | None,
        agent: str,
    ) -> str | None:
        """What the agent wrote; empty when it gave no summary in time. None when the session has left the run.

        run       that is to begin in the fresh thread
        asked_at  when that was decided: it makes the id of the question, so that a second attempt finds the first one's
        Raises    OpenCodeError when OpenCode is away: then it is asked again later
        """
        question = message_id(run, ORDINAL, asked_at)
        view, verdict = RunView(run, thread, directory, (question,)), None
        try:
            async with asyncio.timeout(self._within_s):
                if await client.message(thread, directory, question) is None:
                    await client.prompt(thread, directory, question, part_id(question), prompts.SUMMARISE, model, agent)
                while verdict is None or not verdict.confirmed:
                    await asyncio.sleep(min(LOOK_S, max(0.05, verdict.wait_s)) if verdict else LOOK_S)
                    if await self._fence.session_in(run) is None:
                        await self._fence.stop_left(client, run, thread, directory)
                        return None
                    view.apply_snapshot(await client.snapshot(thread, directory, view.resync_from()))
                    if view.waiting:
                        raise TimeoutError("it asks for something")
                    verdict = view.settled(verdict)
        except TimeoutError as error:
            _log.warning("summary.late", run=run, error=str(error))
            with contextlib.suppress(OpenCodeError):
                await client.abort(thread, directory)  # nobody waits for it any more
            return ""
        except NotFound:
            return ""  # OpenCode has lost the thread
        except OpenCodeError as error:
            if error.retryable:
                raise
            _log.warning("summary.refused", run=run, error=str(error))
            return ""
        return _words(verdict)


def _words(verdict: Verdict) -> str:
    event = verdict.event
    return event.outcome.text.strip() if isinstance(event, RunSettled) and isinstance(event.outcome, Answered) else ""
