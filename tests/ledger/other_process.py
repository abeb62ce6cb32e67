"""A process that uses a ledger until it is killed, and says on stdout what was acknowledged, a line each.

python -m tests.ledger.other_process PATH NAME receive   opens sessions NAME-1, NAME-2, …, each with two posts
python -m tests.ledger.other_process PATH NAME perform   claims and finishes effects of the pool linear until none is left
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from functools import partial

from dragoman.ids import SessionId
from dragoman.ledger import effects, turns
from dragoman.ledger.sqlite import SqliteLedger
from tests.builders import HOST, a_post, a_session, a_step_to, a_tick

SIDE_BY_SIDE = 8


async def receive(ledger: SqliteLedger, name: str) -> None:
    numbers = itertools.count(1)

    async def one_by_one() -> None:
        for number in numbers:
            session = a_session(SessionId(f"{name}-{number}"))
            step = a_step_to(a_post("one"), a_post("two"))
            hear = partial(turns.receive, keys=[session.id], new=partial(a_session, session.id), turn_of=step)
            await ledger.turn(hear, session.id, a_tick(session.id))
            sys.stdout.write(f"{session.id}\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(one_by_one())


async def perform(ledger: SqliteLedger) -> None:
    while claimed := await ledger.turn(effects.claim, "linear", host=HOST, limit=3, lease_s=60.0):
        for one in claimed:
            assert await ledger.turn(effects.finish, one)
            sys.stdout.write(f"{one.n}\n")
            sys.stdout.flush()


async def main(path: str, name: str, what: str) -> None:
    ledger = await SqliteLedger.open(f"sqlite:///{path}")
    try:
        await (receive(ledger, name) if what == "receive" else perform(ledger))
    finally:
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
