"""Killed at the worst moment and started again: each turn ends with one answer, and no prompt runs twice for nothing."""

from __future__ import annotations

import pytest

from dragoman.opencode import adopt
from dragoman.sim.records import AgentSession
from dragoman.sim.script import Pause, Say
from dragoman.sim.stories import bash
from tests.live.service import LiveService, becomes, running

pytestmark = [pytest.mark.needs_opencode, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

TOLD = "interrupted from outside"  # what an agent reads that was cut in the middle of its work


def asked(service: LiveService, words: str) -> int:
    """How often the model was asked to begin on the message that holds these words."""
    return service.linear.model.runs_of(words)


async def held(service: LiveService, name: str) -> AgentSession:
    """A session whose run stands still between a command and the model's last words, until its gate opens."""
    service.linear.model.tell(
        name,
        [bash("echo one >> steps.txt", "The first step")],
        [Pause(until=name), Say(text="The model's own words.")],
    )
    session = service.ask(f"[story={name}] work on {name}")
    await service.linear.model.wait_for_request(f"work on {name}", step=1)
    return session


async def test_opencode_goes_on_while_the_service_is_dead_and_its_words_arrive(service: LiveService) -> None:
    session = await held(service, "dead")
    before = service.server()
    service.kill()
    assert service.left()
    service.linear.model.release("dead")
    await service.start()

    assert (await service.ends(session)).body == "The model's own words."
    assert service.server() == before
    assert asked(service, "work on dead") == 1
    assert (service.workspace(session) / "steps.txt").read_text("utf-8") == "one\n"
    # What happened around the crash is told once, and in its order.
    told = [(row.kind, row.content.get("parameter")) for row in service.rows(session) if not row.ephemeral]
    assert told[1:] == [("action", "echo one >> steps.txt"), ("response", None)]


async def test_sigterm_during_a_run_cuts_nothing(service: LiveService) -> None:
    session = await held(service, "deploy")
    before = service.server()
    assert await service.terminate() < 10
    assert service.left()
    await service.start()
    assert service.server() == before
    assert service.lines("opencode.adopted")
    service.linear.model.release("deploy")
    assert (await service.ends(session)).body == "The model's own words."
    assert asked(service, "work on deploy") == 1


async def test_a_cut_run_without_tools_is_taken_up_again_where_it_was(service: LiveService) -> None:
    service.linear.model.tell("thinking", [Pause(until="thinking"), Say(text="Thought through.")])
    session = service.ask("[story=thinking] think about it")
    await service.linear.model.wait_for_request("think about it")
    old = service.kill_opencode()
    await service.becomes(lambda: service.server() not in (None, old) and asked(service, "think about it") == 2)
    service.linear.model.release("thinking")
    assert (await service.ends(session)).body == "Thought through."
    assert asked(service, TOLD) == 0
    assert [row.body for row in service.rows(session, "thought") if "interrupted" in row.body] == [
        "OpenCode was interrupted. It goes on from where it was."
    ]
    assert len(service.linear.model.requests[-1].users) == 1


async def test_a_run_that_was_cut_in_a_command_goes_on_and_the_agent_is_told(service: LiveService) -> None:
    service.linear.model.tell(
        "cut", [bash("echo begun >> cut.txt; sleep 4712", "A long command")], [Say(text="Finished after all.")]
    )
    session = service.ask("[story=cut] do it with care")
    await becomes(lambda: running("sleep 4712"))
    old = service.kill_opencode()
    final = await service.ends(session)

    assert final.body == "Finished after all."
    assert [one for one in service.linear.model.requests if TOLD in one.newest]
    assert (service.workspace(session) / "cut.txt").read_text("utf-8") == "begun\n"  # nobody ran it again
    assert running("sleep 4712") == []
    assert adopt.family(old) == set()
    assert [row for row in service.rows(session, "thought") if "told to check its last step" in row.body]


async def test_both_are_killed_and_the_turn_still_ends_once(service: LiveService) -> None:
    session = await held(service, "both")
    old = service.kill_opencode()
    service.kill()
    service.linear.model.release("both")
    await service.start()
    assert (await service.ends(session)).body == "The model's own words."
    assert adopt.family(old) == set()
    assert (service.workspace(session) / "steps.txt").read_text("utf-8") == "one\n"


async def test_an_answer_that_was_given_while_the_service_was_dead_is_heard(service: LiveService) -> None:
    session = service.ask("[story=default] average is wrong")
    await service.shows(session, "elicitation")
    service.kill()
    service.linear.people.answer(session.id, "Return 0.0")
    await service.linear.wait_for(lambda _: service.linear.hooks.of_session(session.id)[-1].attempts)
    await service.start()
    assert "gives 0.0, as you asked" in (await service.ends(session)).body
    assert len(service.rows(session, "elicitation")) == 1


async def test_a_message_that_came_while_the_service_was_dead_is_answered_once(service: LiveService) -> None:
    service.linear.model.tell("late", [Say(text="Here I am.")])
    service.kill()
    session = service.ask("[story=late] are you there")
    await service.linear.wait_for(lambda _: service.linear.hooks.of_session(session.id)[-1].attempts)
    await service.start()
    assert (await service.ends(session)).body == "Here I am."
    assert asked(service, "are you there") == 1


async def test_sigterm_at_rest_ends_opencode_and_all_that_it_started(service: LiveService) -> None:
    state = service.server()
    assert state is not None
    assert service.left()
    assert await service.terminate() < 10
    assert service.left() == {}
    assert service.server() is None
    await service.start()
