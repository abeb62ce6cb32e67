"""A real Valkey, a ledger, and whoever keeps the one like the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.core.events.linear import SessionOpened
from dragoman.core.limits import Rules
from dragoman.core.session import Message
from dragoman.ids import HostId, SessionId
from dragoman.ledger import turns
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ledger.tx import Tx
from dragoman.projection.store import RedisStore
from dragoman.runtime.engine import Engine
from dragoman.runtime.projector import Projector
from tests.builders import ORGANIZATION, a_prompt, a_session, a_step_to, a_tick, an_issue
from tests.projection.valkey import Valkey
from tests.runtime.waiting import DEADLINE_S, until

StartProjector = Callable[..., Projector]


@pytest.fixture
async def valkey(valkey_server: Path, tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(valkey_server, tmp_path)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    await opened.close()


@pytest.fixture
def engine(ledger: SqliteLedger) -> Engine:
    return Engine(ledger, host=HostId("host-a"), rules=Rules(), crowd=0)


@pytest.fixture
async def start(ledger: SqliteLedger, engine: Engine, valkey: Valkey) -> AsyncIterator[StartProjector]:
    """Starts projectors of the ledger, and stops them at the end."""
    async with AsyncExitStack() as stack:

        def start_(
            *, retention_days: float = 0, url: str = "", of: SqliteLedger = ledger, answer_s: float = DEADLINE_S
        ) -> Projector:
            projector = Projector(
                of,
                RedisStore(url or valkey.url, answer_s=answer_s),
                calm=engine.calm,
                retention_days=retention_days,
                look_s=0.05,
            )
            engine.listen(projector.told)
            running = asyncio.create_task(projector.run())

            async def stop() -> None:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
                await projector.close(1.0)

            stack.push_async_callback(stop)
            return projector

        yield start_


async def mention(engine: Engine, session: str, text: str = "please fix it") -> None:
    """Somebody mentions the agent."""
    event = SessionOpened(issue=an_issue(f"ENG-{session}"), prompt=a_prompt(text))
    await engine.receive(SessionId(session), ORGANIZATION, event)


async def until_current(projector: Projector, valkey: Valkey, sessions: int) -> None:
    """Wait until the copy is complete and counts so many sessions."""

    async def there() -> bool:
        return projector.state() == "current" and (await valkey.stats()).get("total") == sessions

    await until(there)


async def speak(ledger: SqliteLedger, session: str, *texts: str, answer: bool = False) -> None:
    """A turn in which these lines join the conversation of a session, which is made when it is not there."""
    known = a_session(SessionId(session), issue=an_issue(f"ENG-{session}"))
    lines = [
        Message(role="assistant" if answer else "user", text=text, author=None if answer else "Ann") for text in texts
    ]
    step = a_step_to(messages=lines, change=lambda one: replace(one, turns=one.turns + 1))
    await ledger.turn(turns.receive, known.id, a_tick(known.id), new=lambda: known, turn_of=step)


async def forget(ledger: SqliteLedger, session: str) -> None:
    """Remove all rows of a session, as somebody who is asked to forget it does."""

    def gone(tx: Tx) -> None:
        tx.execute("DELETE FROM journal WHERE session = ?", (session,))
        tx.execute("DELETE FROM messages WHERE session = ?", (session,))
        tx.execute("DELETE FROM sessions WHERE id = ?", (session,))

    await ledger.turn(gone)


async def in_ledger(ledger: SqliteLedger) -> dict[str, list[str]]:
    """What the ledger holds: the conversation of each session."""

    def look(tx: Tx) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {id_: [] for (id_,) in tx.execute("SELECT id FROM sessions").fetchall()}
        for session, text in tx.execute("SELECT session, text FROM messages ORDER BY n").fetchall():
            found[session].append(text)
        return found

    return await ledger.read(look)


async def in_redis(valkey: Valkey) -> dict[str, list[str]]:
    """The same as a reader finds it, by the index."""
    return {id_: await valkey.texts(id_) for id_ in await valkey.reader.zrange("dragoman:sessions", 0, -1)}


async def keys_are_those_of(found: dict[str, list[str]], valkey: Valkey) -> bool:
    """Whether there is a record for each of these sessions, a conversation where it has one, and no other key."""
    expected = {f"dragoman:{{{id_}}}:session" for id_ in found}
    expected |= {f"dragoman:{{{id_}}}:messages" for id_, texts in found.items() if texts}
    return {key async for key in valkey.reader.scan_iter(match="dragoman:{*")} == expected


async def until_equal(ledger: SqliteLedger, valkey: Valkey) -> None:
    """Wait until a reader of Redis finds what the ledger holds, and its copy says that it is complete."""

    async def equal() -> bool:
        held = await in_ledger(ledger)
        complete = (await valkey.about()).get("state") == "complete"
        return complete and await in_redis(valkey) == held and await keys_are_those_of(held, valkey)

    await until(equal)
