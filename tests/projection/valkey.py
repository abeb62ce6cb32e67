"""A real Valkey that a test starts, kills and starts again, and a reader's look at what it holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import asyncio as redis

from dragoman.ports import free_port
from tests.runtime.waiting import until

Everything = dict[str, tuple[str, object]]


class Valkey:
    """`async with`-less: `await valkey.start()`, `await valkey.kill()`; its port stays."""

    def __init__(self, program: Path, folder: Path, *more: str) -> None:
        self._program = program
        self._folder = folder
        self._more = more
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.reader: Any = redis.Redis(port=self.port, decode_responses=True)

    async def start(self) -> None:
        """Start with what the folder holds; nothing is saved there unless a test says so."""
        command = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self._folder),
            "--save",
            "",
            *self._more,
        ]
        self._process = await asyncio.create_subprocess_exec(
            str(self._program), *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

        async def answers() -> bool:
            try:
                return bool(await self.reader.ping())
            except redis.AuthenticationError:
                return True
            except (redis.ConnectionError, redis.TimeoutError):
                return False

        await until(answers)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def close(self) -> None:
        await self.reader.aclose()
        await self.kill()

    # ── as a reader sees it ──────────────────────────────────────────────
    async def session(self, session: str) -> dict[str, str]:
        found: dict[str, str] = await self.reader.hgetall(f"dragoman:{{{session}}}:session")
        return found

    async def messages(self, session: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in await self.reader.zrange(f"dragoman:{{{session}}}:messages", 0, -1)]

    async def texts(self, session: str) -> list[str]:
        return [line["text"] for line in await self.messages(session)]

    async def stats(self) -> dict[str, int]:
        return {name: int(value) for name, value in (await self.reader.hgetall("dragoman:stats")).items()}

    async def about(self) -> dict[str, str]:
        found: dict[str, str] = await self.reader.hgetall("dragoman:projection")
        return found

    async def everything(self) -> Everything:
        """Every key with its type, its value and when it expires; without what says when it was written."""
        look: dict[str, Callable[[str], Any]] = {
            "hash": self.reader.hgetall,
            "zset": lambda key: self.reader.zrange(key, 0, -1, withscores=True),
        }
        found: Everything = {}
        async for key in self.reader.scan_iter(match="*"):
            if key not in {"dragoman:projection", "dragoman:writer"}:
                kind = await self.reader.type(key)
                found[key] = (kind, (await look[kind](key), await self.reader.pexpiretime(key)))
        return found
