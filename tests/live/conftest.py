"""A running service for each module: a start of OpenCode costs seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio

from dragoman.sim.server import Simulator
from tests.live.service import LiveService


class Serving(Protocol):
    """Makes a service of its own for a test; the arguments are those of `LiveService`, and of the simulator."""

    def __call__(
        self, *, linear: dict[str, Any] | None = None, start: bool = True, **more: Any
    ) -> AbstractAsyncContextManager[LiveService]: ...


def serving_in(folder: Path, binary: Path) -> Serving:
    """What makes services in a folder."""

    @asynccontextmanager
    async def serve(
        *, linear: dict[str, Any] | None = None, start: bool = True, **more: Any
    ) -> AsyncIterator[LiveService]:
        # What is refused while the service is down comes again after 0.6 s instead of a minute.
        async with Simulator(**{"retry_scale": 0.01, **(linear or {})}) as simulator:
            service = LiveService(folder, simulator, binary, **more)
            try:
                if start:
                    await service.start()
                yield service
            finally:
                await service.close()

    return serve


@pytest.fixture
def serving(tmp_path: Path, opencode_bin: Path) -> Serving:
    """Give what makes a service of the test's own."""
    return serving_in(tmp_path / "live", opencode_bin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory, opencode_bin: Path) -> AsyncIterator[LiveService]:
    """Give the service that the module's tests share; `bash` asks before a push and before `rm`."""
    rules = {"permission": {"bash": {"*": "allow", "git push*": "ask", "touch *": "ask"}}}
    async with serving_in(tmp_path_factory.mktemp("shared") / "live", opencode_bin)(opencode=rules) as found:
        yield found
