"""Trouble on command for the pretend GitHub: requests that are held, refused or answered too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HELD_S = 60.0


class Hold:
    """One request that is stopped. `reached` says that it is there; it goes on after `release`."""

    def __init__(self, label: str, *, after: bool) -> None:
        self.label = label
        self.is_after = after
        self.reached = asyncio.Event()
        self._released = asyncio.Event()
        self.is_cut = False

    async def wait(self) -> None:
        """Be reached, and stay until released."""
        self.reached.set()
        await asyncio.wait_for(self._released.wait(), HELD_S)

    def release(self) -> None:
        """Let it go on."""
        self._released.set()

    def cut(self) -> None:
        """Let it go on, but its answer is lost."""
        self.is_cut = True
        self._released.set()


class Cut(Exception):
    """The connection ends without the rest of its answer."""


class Orders:
    """What tests have ordered, by label of the request."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._holds: list[Hold] = []
        self._refusals: dict[str, tuple[int, str, dict[str, str], int | None]] = {}

    def hold(self, label: str, *, after: bool) -> Hold:
        """Stop the next request of that label."""
        made = Hold(label, after=after)
        self._holds.append(made)
        return made

    def refuse(self, label: str, status: int, message: str, headers: dict[str, str], times: int | None) -> None:
        """Refuse requests of that label."""
        self._refusals[label] = (status, message, headers, times)

    def allow(self, label: str) -> None:
        """Refuse them no longer."""
        self._refusals.pop(label, None)

    def clear(self) -> None:
        """Let everything go."""
        self._refusals.clear()
        for hold in self._holds:
            hold.release()
        self._holds.clear()

    async def before(self, label: str) -> tuple[int, str, dict[str, str]] | None:
        """Wait if it is held; the refusal that was ordered, if any."""
        await self._stop(label, after=False)
        known = self._refusals.get(label)
        if known is None:
            return None
        status, message, headers, times = known
        if times is not None:
            if times <= 1:
                del self._refusals[label]
            else:
                self._refusals[label] = (status, message, headers, times - 1)
        return status, message, headers

    async def after(self, label: str) -> None:
        """Wait if its answer is held."""
        await self._stop(label, after=True)

    async def _stop(self, label: str, *, after: bool) -> None:
        for hold in self._holds:
            if hold.label == label and hold.is_after == after:
                self._holds.remove(hold)
                self._changed()
                waiting = asyncio.create_task(hold.wait())
                await hold.reached.wait()
                self._changed()
                await waiting
                if hold.is_cut:
                    raise Cut
                return
