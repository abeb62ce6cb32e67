"""Effects on OpenCode: no prompt is given twice, nothing runs after a stop, a later run is never cut."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from dragoman.core.events.runs import RunAborted, RunStarted, RunWaiting
from dragoman.core.events.timers import StopDue
from dragoman.ids import AgentThread, SessionId, run_id
from dragoman.opencode import inbound, stopping
from dragoman.opencode.client import OpenCode
from dragoman.runtime.desk import MADE_ANEW
from dragoman.runtime.performers import agent, fence
from dragoman.runtime.workers import GivenUp, Postponed
from dragoman.sim.script import Pause, Say, Use
from tests.repositories.upstream import Upstream
from tests.runtime.room import Room
from tests.runtime.waiting import DEADLINE_S, until
from tests.stories.agent_threads import started_tool, text_of

ONE, TWO = SessionId("session-one"), SessionId("session-two")
WAIT = Use(tool="bash", args={"command": "wait gate"})


@pytest.fixture
async def room(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    for module in (agent, fence):
        monkeypatch.setattr(module, "ABORT_S", DEADLINE_S)
    async with Room(tmp_path, upstream.directory) as made:
        made.agent.plays("", WAIT, Say(text="Done."))
        yield made


# ── a run begins ─────────────────────────────────────────────────────────
async def test_a_start_gives_the_words_of_the_person_once(room: Room) -> None:
    await room.open(ONE, "please fix the parser")
    event = await room.perform("StartRun")
    assert isinstance(event, RunStarted)
    [message] = room.thread(ONE).users()
    assert "please fix the parser" in message["parts"][0]["text"]
    assert Path(event.directory) == Path(room.thread(ONE).directory)
    assert await room.phase(ONE) == "Working"


@pytest.mark.parametrize("label", ["create_thread", "prompt"])
async def test_a_reply_that_was_lost_gives_no_second_prompt(room: Room, label: str) -> None:
    await room.open(ONE)
    room.agent.lose_reply(label)
    with pytest.raises(Postponed):
        await room.perform("StartRun")
    assert isinstance(await room.perform("StartRun"), RunStarted)
    await until(lambda: room.agent.player.runs)
    assert len(room.agent.threads) == 1
    assert len(room.thread(ONE).users()) == 1
    assert room.agent.runs_twice() == {}


async def test_a_start_that_is_performed_twice_gives_one_prompt(room: Room) -> None:
    await room.open(ONE)
    claimed = await room.claim("StartRun")
    first = await room.work.perform(claimed)
    assert await room.do(claimed) == first  # the first outcome was never told
    assert len(room.thread(ONE).users()) == 1
    assert room.agent.requests.count("prompt") == 1


# ── the fence ────────────────────────────────────────────────────────────
async def test_a_stop_before_the_prompt_keeps_it_from_being_given(room: Room) -> None:
    await room.open(ONE)
    held = room.agent.hold("create_thread")
    starting = asyncio.create_task(room.perform("StartRun"))
    await held.wait_reached()
    await room.stop(ONE)
    held.release()
    assert await starting is None
    assert "prompt" not in room.agent.requests


async def test_a_stop_while_the_prompt_is_given_ends_the_run(room: Room) -> None:
    await room.open(ONE)
    held = room.agent.hold("prompt", after=True)
    starting = asyncio.create_task(room.perform("StartRun"))
    await held.wait_reached()
    await room.stop(ONE)
    held.release()
    assert await starting is None
    assert room.agent.aborts == [room.thread(ONE).id]
    assert not room.thread(ONE).busy


async def test_a_stop_between_two_attempts_ends_what_the_first_began(room: Room) -> None:
    await room.open(ONE)
    room.agent.lose_reply("prompt")
    with pytest.raises(Postponed):
        await room.perform("StartRun")
    await until(lambda: room.thread(ONE).busy)
    await room.stop(ONE)
    assert await room.perform("StartRun") is None
    assert not room.thread(ONE).busy
    assert len(room.thread(ONE).users()) == 1


async def test_a_left_run_that_does_not_end_at_once_is_aborted_outside_the_lane(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "ABORT_S", 0.2)
    await room.open(ONE)
    given = room.agent.hold("prompt", after=True)
    starting = asyncio.create_task(room.perform("StartRun"))
    await given.wait_reached()
    await room.stop(ONE)
    await room.perform("AbortRun")  # finds nothing to abort yet
    unheard = room.agent.hold("abort")
    given.release()
    assert await starting is None  # the lane goes on
    assert room.thread(ONE).busy
    unheard.release()
    assert isinstance(await room.perform("AbortRun"), RunAborted)
    assert not room.thread(ONE).busy


async def test_a_left_run_is_ended_in_the_lane_before_the_next_one_begins(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    within_s = chain((1.0,), repeat(DEADLINE_S))

    async def stop_run(client: OpenCode, thread: AgentThread, directory: str, _: float) -> tuple[bool, str]:
        return await stopping.stop_run(client, thread, directory, next(within_s))

    monkeypatch.setattr(fence, "stop_run", stop_run)
    run = await room.open(ONE)
    room.agent.lose_reply("prompt")
    with pytest.raises(Postponed):
        await room.perform("StartRun")
    await until(lambda: room.thread(ONE).busy)
    await room.stop(ONE)
    await room.engine.tell(ONE, StopDue(run=run))
    await room.write(ONE, "and now this")
    room.agent.hold("abort")  # the first one is not heard
    assert await room.perform("StartRun") is None
    assert not room.thread(ONE).busy
    assert isinstance(await room.perform("StartRun"), RunStarted)
    assert len(room.thread(ONE).users()) == 2


async def test_a_message_whose_reply_was_lost_does_not_go_on_after_a_stop(room: Room) -> None:
    await room.started(ONE)
    await room.write(ONE, "and a test, please")
    room.agent.lose_reply("prompt")
    with pytest.raises(Postponed):
        await room.perform("SteerRun")
    await room.stop(ONE)
    assert await room.perform("SteerRun") is None
    assert not room.thread(ONE).busy


async def test_a_run_that_was_stopped_while_its_start_waited_makes_no_workspace(room: Room) -> None:
    await room.open(ONE)
    room.ours = None
    with pytest.raises(Postponed):
        await room.perform("StartRun")
    await room.stop(ONE)
    assert await room.perform("StartRun") is None
    assert room.desk.standing(await room.session(ONE)) is None
    assert room.agent.requests == []


async def test_a_stop_before_anything_began_touches_nothing(room: Room) -> None:
    await room.open(ONE)
    await room.stop(ONE)
    assert await room.perform("StartRun") is None
    event = await room.perform("AbortRun")
    assert isinstance(event, RunAborted)
    assert event.verified
    assert room.agent.requests == []


# ── stopping ─────────────────────────────────────────────────────────────
async def test_a_stop_is_verified(room: Room) -> None:
    await room.started(ONE)
    await until(lambda: room.thread(ONE).busy)
    await room.stop(ONE)
    event = await room.perform("AbortRun")
    assert event == RunAborted(run=run_id(ONE, 1), verified=True)
    assert not room.thread(ONE).busy


async def test_an_abort_that_comes_late_never_cuts_the_next_run(room: Room) -> None:
    run = await room.started(ONE)
    await room.stop(ONE)
    late = await room.claim("AbortRun")
    await room.engine.tell(ONE, StopDue(run=run))  # confirmed though it could not be verified
    room.agent.release("gate")
    await until(lambda: not room.thread(ONE).busy)
    await room.perform("DisposeInstance")
    room.agent.plays("and now", Use(tool="bash", args={"command": "wait other"}), Say(text="Done."))
    await room.write(ONE, "and now this")
    await room.perform("StartRun")
    assert await room.do(late) is None
    assert room.agent.aborts == []
    assert await room.phase(ONE) == "Working"


async def test_an_abort_under_way_does_not_cut_a_run_that_begins_meanwhile(room: Room) -> None:
    run = await room.started(ONE)
    await room.stop(ONE)
    looking = room.agent.hold("children")
    aborting = asyncio.create_task(room.perform("AbortRun"))
    await looking.wait_reached()
    await room.engine.tell(ONE, StopDue(run=run))
    await room.write(ONE, "and now this")
    looking.release()
    await aborting
    assert room.agent.aborts == []


async def test_a_stop_that_opencode_does_not_confirm_is_tried_again(room: Room) -> None:
    await room.started(ONE)
    await room.stop(ONE)
    room.host.down = True
    with pytest.raises(Postponed, match="could not be reached"):
        await room.perform("AbortRun")
    assert await room.phase(ONE) == "Resting"  # told honestly, once
    room.host.down = False
    await room.perform("AbortRun")
    assert not room.thread(ONE).busy


# ── during a run ─────────────────────────────────────────────────────────
async def test_what_is_written_during_a_run_is_given_once(room: Room) -> None:
    await room.started(ONE)
    await room.write(ONE, "and a test, please")
    room.agent.lose_reply("prompt")
    with pytest.raises(Postponed):
        await room.perform("SteerRun")
    await room.perform("SteerRun")
    assert len(room.thread(ONE).users()) == 2
    assert "and a test, please" in room.thread(ONE).users()[1]["parts"][0]["text"]


# ── a run that was cut ───────────────────────────────────────────────────
async def cut(room: Room, text: str = "and a test, please") -> None:
    """A run whose tool was under way when OpenCode died; a message waits for it, and nobody has seen the cut."""
    await room.started(ONE)
    await until(lambda: any(started_tool(message) for message in room.thread(ONE).messages))
    await room.agent.restart()
    await room.write(ONE, text)


@pytest.fixture
def soon_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks at a cut need not lie far apart."""
    monkeypatch.setattr(inbound, "CUT_AFTER_S", 0.1)


def told(room: Room) -> list[str]:
    return [text_of(message) for message in room.thread(ONE).users()]


async def test_a_message_for_a_run_that_was_cut_has_the_cut_told_first_and_takes_the_word_of_it_along(
    room: Room, soon_sure: None
) -> None:
    await cut(room)
    await room.perform("SteerRun")
    resumed = await room.perform("ResumeRun")
    assert isinstance(resumed, RunStarted)
    assert resumed.attempt == 2
    assert (await room.journal(ONE)).count("RunInterrupted") == 1
    _, second = told(room)
    assert "interrupted" in second
    assert "and a test, please" in second


async def test_only_the_first_of_two_messages_takes_the_word_of_the_cut_along(room: Room, soon_sure: None) -> None:
    await cut(room, "tabs")
    await room.write(ONE, "semicolons")
    for kind in ("SteerRun", "SteerRun", "ResumeRun"):
        await room.perform(kind)
    assert ["interrupted" in text for text in told(room)] == [False, True, False]
    assert ["tabs" in text for text in told(room)] == [False, True, False]
    assert "semicolons" in told(room)[-1]


async def test_a_stop_while_a_cut_is_made_sure_of_keeps_the_message_from_being_given(
    room: Room, soon_sure: None
) -> None:
    await cut(room)
    held = room.agent.hold("messages")
    steering = asyncio.create_task(room.perform("SteerRun"))
    await held.wait_reached()
    await room.stop(ONE)
    held.release()
    assert await steering is None
    assert len(told(room)) == 1


async def test_a_message_that_opencode_lost_with_the_word_of_the_cut_is_given_again_with_it(
    room: Room, soon_sure: None
) -> None:
    await cut(room)
    await room.perform("SteerRun")
    _, second = told(room)
    room.agent.player.cut()
    del room.thread(ONE).messages[2:]
    await room.perform("ResumeRun")
    assert told(room)[1:] == [second]


async def test_a_message_for_a_run_that_was_cut_before_any_tool_is_given_as_it_is(room: Room) -> None:
    room.agent.plays("", Pause(until="word"), Say(text="Done."))
    await room.started(ONE)
    await until(lambda: room.agent.player.runs)
    await room.agent.restart()
    await room.write(ONE, "and a test, please")
    await room.perform("SteerRun")
    assert "RunInterrupted" not in await room.journal(ONE)
    assert "interrupted" not in told(room)[-1]


async def test_what_is_written_before_a_stop_is_not_given_after_it(room: Room) -> None:
    await room.started(ONE)
    await room.write(ONE, "and a test, please")
    await room.stop(ONE)
    await room.perform("AbortRun")
    await room.perform("SteerRun")
    assert len(room.thread(ONE).users()) == 1


async def test_opencode_being_away_is_told_and_waited_for(room: Room) -> None:
    await room.open(ONE)
    room.host.down = True
    with pytest.raises(Postponed) as caught:
        await room.perform("StartRun")
    assert isinstance(caught.value.event, RunWaiting)
    assert (await room.session(ONE)).phase.turn.waiting == "opencode"  # type: ignore[union-attr]  # it has a turn
    room.host.down = False
    assert isinstance(await room.perform("StartRun"), RunStarted)


async def test_a_message_that_got_through_ends_the_wait_for_opencode(room: Room) -> None:
    await room.started(ONE)
    await room.write(ONE, "and a test, please")
    room.host.down = True
    with pytest.raises(Postponed):
        await room.perform("SteerRun")
    room.host.down = False
    await room.perform("SteerRun")
    assert (await room.session(ONE)).phase.turn.waiting == ""  # type: ignore[union-attr]  # it has a turn


async def test_an_agent_whose_workspace_was_removed_is_told(room: Room) -> None:
    await room.started(ONE)
    await room.stop(ONE)
    await room.perform("AbortRun")
    await room.perform("DisposeInstance")
    shutil.rmtree(room.thread(ONE).directory)
    await room.write(ONE, "go on")
    assert isinstance(await room.perform("StartRun"), RunStarted)
    text = room.thread(ONE).users()[-1]["parts"][0]["text"]
    assert "go on" in text
    assert MADE_ANEW in text


# ── who may ──────────────────────────────────────────────────────────────
async def test_a_foreign_session_never_runs(room: Room) -> None:
    await room.open(ONE)
    room.ours = None
    with pytest.raises(Postponed, match="who we are"):
        await room.perform("StartRun")
    room.ours = False
    with pytest.raises(GivenUp, match="foreign organization"):
        await room.perform("StartRun")
    assert room.agent.requests == []


# ── afterwards ───────────────────────────────────────────────────────────
async def test_the_instance_is_freed_only_while_the_session_rests(room: Room) -> None:
    await room.started(ONE)
    await room.stop(ONE)
    await room.perform("AbortRun")
    disposing = await room.claim("DisposeInstance")
    await room.write(ONE, "go on")
    await room.do(disposing)
    assert "dispose" not in room.agent.requests


async def test_a_new_session_on_the_issue_hears_what_was_said_before(room: Room) -> None:
    await room.started(ONE, "the first wish")
    await room.stop(ONE)
    await room.perform("AbortRun")
    await room.perform("DisposeInstance")
    room.thread(ONE).metadata.clear()
    room.agent.threads.clear()  # OpenCode lost its data
    await room.write(ONE, "the second wish")
    assert isinstance(await room.perform("StartRun"), RunStarted)
    [message] = room.thread(ONE).users()
    assert "the first wish" in message["parts"][0]["text"]
    assert "the second wish" in message["parts"][0]["text"]
