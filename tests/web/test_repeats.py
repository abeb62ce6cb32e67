"""A warning that comes again and again: one line at once, then one a while with how often."""

from __future__ import annotations

import asyncio
import io
import json

from dragoman import logs
from dragoman.web.repeats import Repeats
from tests.web.sockets import DEADLINE_S


def lines(out: io.StringIO) -> list[tuple[str, int]]:
    return [(line["reason"], line["times"]) for line in map(json.loads, out.getvalue().splitlines())]


async def test_the_first_is_told_at_once_and_the_others_together() -> None:
    out = io.StringIO()
    logs.configure(level="info", stream=out, json=True)
    repeats = Repeats(logs.get("test"), "thing.refused", every_s=0.05)
    for reason in ("a", "a", "b", "a"):
        repeats.note(reason)
    assert lines(out) == [("a", 1), ("b", 1)]
    async with asyncio.timeout(DEADLINE_S):
        while len(lines(out)) < 3:  # noqa: ASYNC110 - a log wakes nobody
            await asyncio.sleep(0.01)
    assert lines(out) == [("a", 1), ("b", 1), ("a", 2)]


async def test_once_it_was_quiet_the_next_is_told_at_once_again() -> None:
    out = io.StringIO()
    logs.configure(level="info", stream=out, json=True)
    repeats = Repeats(logs.get("test"), "thing.refused", every_s=0.01)
    repeats.note("a")
    async with asyncio.timeout(DEADLINE_S):
        while repeats.waiting:  # noqa: ASYNC110 - a timer wakes nobody
            await asyncio.sleep(0.01)
    repeats.note("a")
    assert lines(out) == [("a", 1), ("a", 1)]
