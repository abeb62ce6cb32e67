"""A clock that stands still until a test moves it."""

import asyncio


class HeldClock:
    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, until))
        await until

    def jump(self, seconds: float) -> None:
        """Let time pass without anybody having noticed yet."""
        self._now += seconds

    async def move(self, seconds: float) -> None:
        """Let time pass, waking sleepers one by one in their order."""
        end = self._now + seconds
        await settle()
        while due := sorted((s for s in self._sleepers if s[0] <= end and not s[1].done()), key=lambda s: s[0]):
            self._now = max(self._now, due[0][0])
            due[0][1].set_result(None)
            await settle()
        self._now = end
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]
        await settle()


async def settle() -> None:
    """Let every task go on until it waits; nothing here does I/O, so that a few rounds are enough."""
    for _ in range(50):
        await asyncio.sleep(0)
