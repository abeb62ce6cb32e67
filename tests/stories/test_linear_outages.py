"""Linear fails in each of its ways: what we say is said again until it is there, in its order, and once."""

from __future__ import annotations

import pytest

from dragoman.sim.faults import Fault
from dragoman.sim.script import Say, Use
from tests.marks import deep
from tests.stories.conftest import MakeStage

WRITE = "agentActivityCreate"
STEPS = ((Say(text="One."), Use(tool="bash", args={"command": "echo two"})), (Say(text="Three."),))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="server_error", operation=WRITE, content_type="response", times=2),
        Fault(kind="rate_limited", operation=WRITE, content_type="action", retry_after_s=0.3),
        Fault(kind="too_many", operation=WRITE, content_type="thought", retry_after_s=0.3),
        *(Fault(kind="lose_reply", operation=WRITE, content_type=kind) for kind in ("thought", "action", "response")),
    ],
    ids=lambda fault: f"{fault.kind} {fault.content_type}",
)
async def test_what_linear_refuses_for_now_is_said_again_in_order_and_once(make_stage: MakeStage, fault: Fault) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", *STEPS)
        stage.linear.faults.order(fault)
        session = stage.mention()
        assert await stage.final(session) == ("response", "Three.")
        shown = stage.shown(session)
        assert [kind for kind, _ in shown] == ["thought", "thought", "action", "response"]
        assert shown[1][1] == "One."
        assert stage.linear.faults.hits[fault.kind] == (fault.times or 1)


@pytest.mark.parametrize("kind", ["hang", "hang_after"])
async def test_a_write_that_gets_no_answer_is_made_again(make_stage: MakeStage, kind: str) -> None:
    async with make_stage() as stage:
        stage.agent.plays("", *STEPS)
        stage.linear.faults.order(Fault(kind=kind, operation=WRITE))
        session = stage.mention()
        await stage.until(lambda: stage.linear.faults.hits.get(kind), "the write")
        stage.linear.faults.release()
        assert await stage.final(session) == ("response", "Three.")
        assert [kind for kind, _ in stage.shown(session)] == ["thought", "thought", "action", "response"]


@pytest.mark.parametrize("kind", ["server_error", "lose_reply", "too_many"])
async def test_a_plan_that_linear_refuses_for_now_is_shown_later(make_stage: MakeStage, kind: str) -> None:
    async with make_stage() as stage:
        todos = [{"content": "Read", "status": "completed", "priority": "high"}]
        stage.agent.plays("", Use(tool="todowrite", args={"todos": todos}), Say(text="Done."))
        stage.linear.faults.order(Fault(kind=kind, operation="agentSessionUpdate", retry_after_s=0.2))
        session = stage.mention()
        await stage.final(session)
        assert stage.plan(session) == [("Read", "completed")]


@pytest.mark.parametrize("kind", ["server_error", deep("hang"), "forbidden"])
async def test_an_issue_that_cannot_be_read_does_not_keep_the_work_from_beginning(
    make_stage: MakeStage, kind: str
) -> None:
    async with make_stage() as stage:
        stage.linear.faults.order(Fault(kind=kind, operation="issue", times=None))
        session = stage.mention()
        assert (await stage.final(session))[0] == "response"
        stage.linear.faults.clear()


async def test_a_deleted_session_is_parked_and_others_go_on(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.unrefused.append("Entity not found")
        stage.agent.plays("first", Use(tool="bash", args={"command": "wait tool"}), Say(text="Into the void."))
        session = stage.mention("fix first")
        stage.unchecked.add(session)
        await stage.until_shown(session, "action", "wait tool")
        stage.people.delete_session(session)
        stage.agent.release("tool")
        await stage.until_heard(session, "RunSettled")
        await stage.quiet()
        assert len(stage.linear.graphql.refusals) <= 4
        assert "effect.parked" in stage.logged()
        assert (await stage.final(stage.mention("fix second")))[0] == "response"


async def test_a_forbidden_write_is_parked_and_not_tried_for_ever(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.linear.faults.order(Fault(kind="forbidden", operation=WRITE, times=None))
        session = stage.mention()
        stage.unchecked.add(session)
        await stage.until_heard(session, "RunSettled")
        await stage.quiet()
        assert stage.linear.faults.hits["forbidden"] <= 2
        stage.linear.faults.clear()
        stage.people.follow_up(session, "again")
        await stage.until(lambda: stage.finals(session), "the answer to the next message")


async def test_a_final_that_is_refused_for_an_unknown_reason_is_replaced_and_not_lost(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.expected.append("final.refused")
        stage.linear.faults.order(Fault(kind="refused", operation=WRITE, content_type="response"))
        session = stage.mention()
        kind, text = await stage.final(session)
        assert kind == "response"
        assert "dragoman sessions show" in text


async def test_linear_may_be_down_when_we_start(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.linear.faults.order(Fault(kind="server_error", times=None))
    async with stage:
        session = stage.mention()
        await stage.until_delivered()
        assert [one.status for one in stage.deliveries(session)] == [200]
        await stage.until_heard(session, "SessionOpened")
        stage.excused.add(session)  # nobody can be shown anything meanwhile
        stage.linear.faults.clear()
        assert (await stage.final(session))[0] == "response"


async def test_messages_written_during_an_outage_are_answered_after_it(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("second", Say(text="Two."))
        session = stage.mention("fix first")
        await stage.final(session)
        stage.linear.faults.order(Fault(kind="server_error", times=None))
        stage.people.follow_up(session, "second")
        await stage.until_heard(session, "RunSettled", 2)
        assert len(stage.finals(session)) == 1
        stage.linear.faults.clear()
        assert await stage.final(session, 2) == ("response", "Two.")
