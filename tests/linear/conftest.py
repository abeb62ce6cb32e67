"""A pretend Linear: the whole simulator, or one that answers what a test has it say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dragoman.sim.server import Simulator
from tests.linear.fake_linear import FakeLinear


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def fake() -> AsyncIterator[FakeLinear]:
    async with FakeLinear() as server:
        yield server
