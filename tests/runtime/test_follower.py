"""Following runs: every fact once and in order, whatever happens to the stream, to OpenCode or to the ledger."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.core import wording
from dragoman.core.events import Event
from dragoman.core.events.opencode import PermissionAsked
from dragoman.core.events.runs import RunFailed
from dragoman.core.session import Working, live_turn
from dragoman.errors import LedgerError
from dragoman.ids import AskId, SessionId, run_id
from dragoman.ledger.turns import Outcome
from dragoman.opencode import inbound as inbound_module
from dragoman.opencode.inbound import RunView
from dragoman.runtime import follower as follower_module
from dragoman.runtime.follower import Follower
from dragoman.sim.script import Ask, Say, Think, Use
from tests.repositories.upstream import Upstream
from tests.runtime.room import Room
from tests.runtime.waiting import DEADLINE_S, until
from tests.stories.agent_script import Delegated, Guarded

ONE = SessionId("session-one")
WAIT = Use(tool="bash", args={"command": "wait gate"})


class Watched(Room):
    """A room with a follower in it."""

    async def follow(self) -> Follower:
        self.follower = Follower(self.engine, self.host)
        self.following = asyncio.create_task(self.follower.run())
        return self.follower

    async def leave(self) -> None:
        await self.follower.close()
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)

    async def settled(self) -> None:
        async def rests() -> bool:
            return await self.phase(ONE) == "Resting"

        await until(rests)


@pytest.fixture
async def room(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(follower_module, "LOOK_AGAIN_S", 0.05)
    async with Watched(tmp_path, upstream.directory) as made:
        await made.follow()
        yield made
        await made.leave()


async def why_it_ends(room: Watched) -> str:
    """The words with which the turn will end."""
    turn = live_turn(await room.session(ONE))
    assert turn is not None
    return turn.giving_up


def of_agent(journal: list[str]) -> list[str]:
    """What OpenCode did."""
    return journal[journal.index("RunStarted") + 1 :]


async def test_a_run_is_told_from_its_first_thought_to_its_end(room: Watched) -> None:
    room.agent.plays(
        "",
        (Think(text="Hm."), Say(text="I look."), WAIT),
        (Use(tool="bash", args={"command": "ls"}),),
        Say(text="Done."),
    )
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    room.agent.release("gate")
    await room.settled()
    told = of_agent(await room.journal(ONE))
    assert [kind for kind in told if kind != "ToolStarted"] == [
        "Reasoned",
        "Said",
        "ToolFinished",
        "ToolFinished",
        "RunSettled",
        "WorkFound",
    ]
    assert room.follower.open_runs == 0


async def test_an_ended_run_is_gone_from_memory_without_the_collector(room: Watched) -> None:
    room.agent.plays("", (Say(text="I look."), WAIT), Say(text="Done."))
    known = weakref.WeakSet[RunView]()

    async def gone() -> bool:
        return not known

    gc.collect()
    gc.disable()
    try:
        await room.started(ONE)
        await room.heard(ONE, "ToolStarted")
        known.update(one for one in gc.get_objects() if isinstance(one, RunView))
        assert len(known) == 1
        room.agent.release("gate")
        await room.settled()
        await until(gone)
    finally:
        gc.enable()


async def test_what_happens_while_the_stream_is_cut_is_told_once(room: Watched) -> None:
    room.agent.plays(
        "",
        *((Say(text=f"step {n}"), Use(tool="bash", args={"command": f"wait {n}"})) for n in range(4)),
        Say(text="Done."),
    )
    await room.started(ONE)
    for number in range(4):
        await room.heard(ONE, "ToolStarted", number + 1)
        room.agent.cut_streams()
        room.agent.release(str(number))
    await room.settled()
    told = of_agent(await room.journal(ONE))
    assert [told.count(kind) for kind in ("Said", "ToolFinished", "RunSettled")] == [4, 4, 1]


async def test_a_run_that_was_under_way_before_is_followed(tmp_path: Path, upstream: Upstream) -> None:
    async with Watched(tmp_path, upstream.directory) as room:
        room.agent.plays("", WAIT, Say(text="Done."))
        await room.started(ONE)
        await room.follow()
        await room.heard(ONE, "ToolStarted")
        await room.leave()  # as a restart does; meanwhile it ends
        room.agent.release("gate")
        await until(lambda: not room.thread(ONE).busy)
        assert await room.phase(ONE) == "Working"
        await room.follow()
        await room.settled()
        told = of_agent(await room.journal(ONE))
        assert [told.count(kind) for kind in ("ToolStarted", "ToolFinished", "RunSettled")] == [1, 1, 1]
        await room.leave()


async def test_an_opencode_that_is_away_is_told_after_a_while_and_the_cut_once_it_is_back(
    room: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "SAID_DOWN_AFTER_S", 0.2)
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    await room.agent.die()
    await room.heard(ONE, "RunWaiting")
    await room.agent.come_up()
    await room.heard(ONE, "RunInterrupted")
    await room.perform("ResumeRun")
    assert (await room.journal(ONE)).count("RunInterrupted") == 1
    assert len(room.thread(ONE).users()) == 2  # a tool had begun: the agent is told


@pytest.mark.deep
async def test_a_cut_is_told_once_however_long_the_resume_waits(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane may be held by a message of a person; a run that nobody has set going again was not cut again."""
    monkeypatch.setattr(follower_module, "RESYNC_S", 0.05)
    monkeypatch.setattr(inbound_module, "CUT_AFTER_S", 0.1)
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    await room.agent.restart()
    await room.heard(ONE, "RunInterrupted")
    looked = room.agent.requests.count("questions")
    await until(lambda: room.agent.requests.count("questions") > looked + 20)
    assert (await room.journal(ONE)).count("RunInterrupted") == 1
    room.agent.release("gate")
    await room.perform("ResumeRun")
    await room.settled()
    assert (await room.journal(ONE)).count("RunInterrupted") == 1


async def test_opencode_being_back_ends_the_wait_though_nothing_new_happens(
    room: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an open question would run out of a patience that was meant for OpenCode."""
    monkeypatch.setattr(follower_module, "RESYNC_S", 0.05)
    monkeypatch.setattr(follower_module, "SAID_DOWN_AFTER_S", 0.1)
    room.agent.plays("", Ask(question="Which?", options=(("A", "a"),)), Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "QuestionAsked")
    room.host.down = True
    await room.heard(ONE, "RunWaiting")
    room.host.down = False
    await room.heard(ONE, "RunStarted", 2)
    phase = (await room.session(ONE)).phase
    assert isinstance(phase, Working)
    assert phase.turn.waiting == ""
    assert len(phase.asks) == 1


@pytest.mark.deep
async def test_a_question_that_died_with_opencode_is_not_said_to_be_settled(room: Watched) -> None:
    room.agent.plays("", Ask(question="Which?", options=(("A", "a"),)), Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "QuestionAsked")
    await room.agent.restart()
    await room.heard(ONE, "RunInterrupted")
    assert "AskGone" not in await room.journal(ONE)


async def test_a_bug_of_ours_does_not_leave_a_run_unfollowed(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_all, failures = room.engine.tell_all, 0

    async def failing(*arguments: Any) -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise RuntimeError("a bug")
        await tell_all(*arguments)

    monkeypatch.setattr(room.engine, "tell_all", failing)
    room.agent.plays("", Use(tool="bash", args={"command": "ls"}), Say(text="Done."))
    await room.started(ONE)
    await room.settled()
    assert failures > 1


async def given_up_for_a_bug(room: Watched, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a run that can never be looked at is given up in words."""

    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(room.engine, "tell_all", broken)
    monkeypatch.setattr(follower_module, "backoff", lambda _: 0.01)
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "RunFailed")
    return await why_it_ends(room) == wording.trouble.broke_on_our_side(run_id(ONE, 1))


async def test_a_bug_that_stays_ends_the_run_in_words(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await given_up_for_a_bug(room, monkeypatch)


async def test_a_bug_that_stays_ends_the_run_although_the_ledger_fails_when_it_is_told(
    room: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, told = room.engine.tell, 0

    async def failing_at_first(session: SessionId, event: Event, *, keys: Sequence[str] = ()) -> Outcome:
        nonlocal told
        told += isinstance(event, RunFailed)
        if told == 1:
            raise LedgerError("disk I/O error")
        return await tell(session, event, keys=keys)

    monkeypatch.setattr(room.engine, "tell", failing_at_first)
    assert await given_up_for_a_bug(room, monkeypatch)
    assert told > 1


@pytest.mark.deep
async def test_a_short_absence_is_not_told(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "SAID_DOWN_AFTER_S", DEADLINE_S)
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    await room.agent.restart()
    await room.heard(ONE, "RunInterrupted")
    assert "RunWaiting" not in await room.journal(ONE)


async def test_facts_that_could_not_be_stored_are_told_again(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    room.agent.plays(
        "", (Say(text="one"), WAIT), (Say(text="two"), Use(tool="bash", args={"command": "ls"})), Say(text="Done.")
    )
    tell_all, failures = room.engine.tell_all, 0

    async def failing(*arguments: Any) -> None:
        nonlocal failures
        failures += 1
        if failures in {1, 3}:
            raise LedgerError("disk I/O error")
        await tell_all(*arguments)

    monkeypatch.setattr(room.engine, "tell_all", failing)
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    room.agent.release("gate")
    await room.settled()
    told = of_agent(await room.journal(ONE))
    assert failures >= 3
    assert [told.count(kind) for kind in ("Said", "ToolFinished", "RunSettled")] == [2, 2, 1]


async def test_a_thread_that_opencode_lost_ends_the_turn_in_words(room: Watched) -> None:
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    room.agent.player.cut()
    room.agent.threads.clear()
    room.agent.cut_streams()  # the next read finds nothing
    await room.heard(ONE, "RunFailed")
    assert "Write to me again and I begin a new one" in await why_it_ends(room)


# ── asks ─────────────────────────────────────────────────────────────────
async def test_what_a_sub_agent_asks_belongs_to_the_run(room: Watched) -> None:
    push = Guarded(tool="bash", args={"command": "git push"}, always=("git push *",))
    room.agent.plays("", Delegated(description="push it", steps=((push,), (Say(text="Pushed."),))), Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "PermissionAsked")
    phase = (await room.session(ONE)).phase
    assert isinstance(phase, Working)
    asked = phase.asks[0].ask
    assert isinstance(asked, PermissionAsked)
    assert (asked.permission, asked.subject) == ("bash", "git push")
    assert asked.thread != room.thread(ONE).id
    await room.write(ONE, "once")
    await room.perform("AnswerPermission")
    await room.settled()


async def test_an_ask_that_was_answered_elsewhere_is_gone(room: Watched) -> None:
    room.agent.plays("", Ask(question="Which?", options=(("A", "a"), ("B", "b"))), WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "QuestionAsked")
    [asked] = room.agent.asks()
    client = await room.host.client()
    thread = room.thread(ONE)
    await client.reply_question(AskId(asked["id"]), asked["sessionID"], thread.directory, [["A"]])
    await room.heard(ONE, "AskGone")


# ── stalls ───────────────────────────────────────────────────────────────
async def test_a_run_without_any_sign_of_life_is_told_as_stalled(
    room: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "RESYNC_S", 0.05)
    monkeypatch.setattr(follower_module, "STALL_S", 0.4)
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "RunStalled")
    assert await room.phase(ONE) == "Stopping"


async def test_waiting_for_people_is_no_stall(room: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "RESYNC_S", 0.05)
    room.agent.plays("", Ask(question="Which?", options=(("A", "a"),)), Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "QuestionAsked")
    monkeypatch.setattr(follower_module, "STALL_S", 0.4)
    asked_at = room.agent.requests.count("questions")
    await until(lambda: room.agent.requests.count("questions") > asked_at + 20)  # 20 looks take longer than STALL_S
    assert "RunStalled" not in await room.journal(ONE)


async def test_after_closing_nothing_more_is_told(room: Watched) -> None:
    room.agent.plays("", WAIT, Say(text="Done."))
    await room.started(ONE)
    await room.heard(ONE, "ToolStarted")
    await room.follower.close()
    room.agent.release("gate")
    await until(lambda: not room.thread(ONE).busy)
    assert await room.phase(ONE) == "Working"
