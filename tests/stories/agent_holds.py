"""Where a request to a pretend OpenCode can be stopped: its label, before or after it was carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

STEPS_S = 60.0  # a test that waits longer than this for something has failed

# The labels by which tests name a request.
ROUTES = {
    ("GET", "/global/health"): "health",
    ("GET", "/global/event"): "events",
    ("POST", "/instance/dispose"): "dispose",
    ("GET", "/path"): "path",
    ("GET", "/session"): "find_thread",
    ("POST", "/session"): "create_thread",
    ("GET", "/session/status"): "status",
    ("GET", "/session/{thread}"): "thread",
    ("PATCH", "/session/{thread}"): "keep",
    ("DELETE", "/session/{thread}"): "delete",
    ("GET", "/session/{thread}/children"): "children",
    ("GET", "/session/{thread}/message"): "messages",
    ("GET", "/session/{thread}/message/{message}"): "message",
    ("POST", "/session/{thread}/prompt_async"): "prompt",
    ("POST", "/session/{thread}/abort"): "abort",
    ("GET", "/permission"): "permissions",
    ("POST", "/permission/{ask}/reply"): "permission_reply",
    ("GET", "/question"): "questions",
    ("POST", "/question/{ask}/reply"): "question_reply",
    ("POST", "/question/{ask}/reject"): "question_reject",
    ("GET", "/file/content"): "file",
}


class Hold:
    """A request that is stopped at a labelled point, before or after it was carried out, until it is released.

    lose  after it was carried out the connection is cut instead
    """

    def __init__(self, label: str, told: Callable[[], None], *, after: bool, lose: bool = False) -> None:
        self.label = label
        self._told = told
        self.after = after
        self.lose = lose
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let it go."""
        self._released.set()

    async def wait_reached(self) -> None:
        """Wait until a request stands there."""
        await asyncio.wait_for(self.reached.wait(), STEPS_S)

    async def stand(self) -> None:
        """Stand there."""
        self.reached.set()
        self._told()
        if not self.lose:
            await self._released.wait()
