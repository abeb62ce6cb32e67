"""What the simulator is made of, for those who steer and show it: the control API and the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from dragoman.sim.faults import Faults
from dragoman.sim.graphql import GraphQL
from dragoman.sim.hooks import Hooks
from dragoman.sim.model import Model
from dragoman.sim.people import People
from dragoman.sim.store import Store
from dragoman.sim.tokens import Tokens
from dragoman.sim.world import World

T = TypeVar("T")


class Parts(Protocol):
    """The parts, as `server.Simulator` has put them together."""

    world: World
    people: People
    tokens: Tokens
    store: Store
    graphql: GraphQL
    faults: Faults
    hooks: Hooks
    model: Model

    @property
    def url(self) -> str:
        """The base URL: the page at "/", GraphQL at "/graphql", tokens at "/oauth/token"."""

    def wait_for(self, predicate: Callable[[World], T | None], timeout_s: float = 30.0) -> Awaitable[T]:
        """Wait until `predicate(world)` is true and return what it gave. Raises TimeoutError"""
