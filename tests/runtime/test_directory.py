"""People whom a delivery named by id alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from dragoman.core.access import Policy
from dragoman.core.events.linear import Person, Prompted, StopRequested
from dragoman.ids import UserId
from dragoman.linear.client import open_linear
from dragoman.runtime.directory import Directory
from dragoman.sim.server import Simulator
from tests.builders import a_prompt

BY_ADDRESS = Policy(users=("bob@acme.example",))


@pytest.fixture
async def linear() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


async def completed(linear: Simulator, user: str, policy: Policy = BY_ADDRESS) -> Person | None:
    client = open_linear(linear.url, access_token=linear.access_token, client_id="", client_secret="")
    bare = Person(id=UserId(user), name="someone")
    try:
        event = await Directory(client).complete(Prompted(prompt=replace(a_prompt(), author=bare)), policy)
        stop = await Directory(client).complete(StopRequested(sent_at=1.0, by=bare), policy)
    finally:
        await client.close()
    assert isinstance(event, Prompted)
    assert isinstance(stop, StopRequested)
    assert stop.by == event.prompt.author
    return event.prompt.author


async def test_an_address_that_matters_is_looked_up(linear: Simulator) -> None:
    bob = linear.world.bob
    assert await completed(linear, bob.id) == Person(id=UserId(bob.id), name=bob.name, email="bob@acme.example")


async def test_where_no_address_matters_nobody_is_asked(linear: Simulator) -> None:
    found = await completed(linear, linear.world.bob.id, Policy(users=(linear.world.bob.id,)))
    assert found is not None
    assert found.email is None


async def test_whoever_linear_does_not_know_stays_unknown(linear: Simulator) -> None:
    found = await completed(linear, "00000000-0000-4000-8000-000000000000")
    assert found is not None
    assert found.email is None
