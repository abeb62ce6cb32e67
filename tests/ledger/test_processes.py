"""Several processes on one file, and what a kill leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dragoman.ids import SessionId
from dragoman.ledger import effects, read, turns
from tests.builders import HOST, a_post, a_session, a_step_to, a_tick
from tests.ledger.conftest import OpenLedger, columns

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


@asynccontextmanager
async def another_process(path: Path, name: str, what: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tests.ledger.other_process", str(path), name, what]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def lines_of(process: asyncio.subprocess.Process, number: int | None = None) -> list[str]:
    """The next `number` lines, or all until the process ends."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while number is None or len(lines) < number:
            line = await process.stdout.readline()
            if not line.endswith(b"\n"):
                break
            lines.append(line.decode().strip())
    return lines


async def test_a_killed_process_leaves_all_that_it_acknowledged_and_nothing_by_halves(
    tmp_path: Path, open_ledger: OpenLedger
) -> None:
    path = tmp_path / "ledger.db"
    acknowledged: set[str] = set()
    for life, number in enumerate((1, 40, 150)):
        async with another_process(path, f"life{life}", "receive") as process:
            acknowledged |= set(await lines_of(process, number))
            process.kill()
            acknowledged |= set(await lines_of(process))
    ledger = await open_ledger(f"sqlite:///{path}")
    stored = {one.id for one in await ledger.read(read.sessions, limit=100_000)}
    assert len(acknowledged) >= 191
    assert acknowledged <= stored
    assert columns(path, "PRAGMA integrity_check") == [("ok",)]
    assert {key for (key,) in columns(path, "SELECT key FROM seen")} == stored
    assert columns(path, "SELECT DISTINCT count(*), sum(head) FROM effects GROUP BY session") == [(2, 1)]
    assert columns(path, "SELECT DISTINCT count(*) FROM journal GROUP BY session") == [(1,)]


async def test_two_processes_decide_side_by_side(tmp_path: Path, open_ledger: OpenLedger) -> None:
    path = tmp_path / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    async with another_process(path, "theirs", "receive") as process:
        theirs = await lines_of(process, 20)
        for number in range(20):
            session = a_session(SessionId(f"ours-{number}"))
            step = a_step_to(a_post("one"))
            await ledger.turn(turns.receive, session.id, a_tick(), new=lambda s=session: s, turn_of=step)  # type: ignore[misc]
        theirs += await lines_of(process, 20)
    stored = {one.id for one in await ledger.read(read.sessions, limit=100_000)}
    assert stored >= {SessionId(f"ours-{number}") for number in range(20)} | {SessionId(name) for name in theirs}


async def test_two_processes_never_perform_the_same_effect(tmp_path: Path, open_ledger: OpenLedger) -> None:
    path = tmp_path / "ledger.db"
    ledger = await open_ledger(f"sqlite:///{path}")
    for number in range(60):
        session = a_session(SessionId(f"s-{number}"))
        step = a_step_to(a_post("one"), a_post("two"))
        await ledger.turn(turns.receive, session.id, a_tick(), new=lambda s=session: s, turn_of=step)  # type: ignore[misc]
    async with another_process(path, "a", "perform") as one, another_process(path, "b", "perform") as two:
        done = [*await lines_of(one), *await lines_of(two)]
    # One may have stopped while the other still held the last heads: what was behind those is left.
    while claimed := await ledger.turn(effects.claim, "linear", host=HOST, limit=50, lease_s=60.0):
        for effect in claimed:
            assert await ledger.turn(effects.finish, effect)
            done.append(str(effect.n))
    assert len(done) == len(set(done)) == 120
    assert columns(path, "SELECT DISTINCT attempts, outcome FROM effects") == [(1, "done")]
