"""Killed at the worst moment and started again: each turn ends with one answer, and no prompt runs twice for nothing."""

from __future__ import annotations

import pytest

from dragoman.opencode import adopt
from dragoman.sim.records import AgentSession
from dragoman.sim.script import Pause, Say
from dragoman.sim.stories import bash
from tests.live.service import LiveService, becomes, running

pytestmark = [
    pytest.mark.deep,
    pytest.mark.needs_opencode,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(200),
]

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


async def test_the_service_is_killed_and_nobody_has_to_say_anything_twice(service: LiveService) -> None:
    linear = service.linear
    linear.model.tell("late", [Say(text="Here I am.")])
    working, asking = await held(service, "dead"), service.ask("[story=default] average is wrong")
    await service.shows(asking, "elicitation")
    before = service.server()
    service.kill()
    # OpenCode goes on; meanwhile one person answers and another one begins.
    assert service.left()
    linear.model.release("dead")
    linear.people.answer(asking.id, "Return 0.0")
    late = service.ask("[story=late] are you there")
    await linear.wait_for(lambda _: all(linear.hooks.of_session(one.id)[-1].attempts for one in (asking, late)))
    await service.start()

    assert (await service.ends(working)).body.startswith("The model's own words.")
    assert "gives 0.0, as you asked" in (await service.ends(asking)).body
    assert (await service.ends(late)).body.startswith("Here I am.")
    assert service.server() == before
    assert [asked(service, words) for words in ("work on dead", "average is wrong", "are you there")] == [1, 1, 1]
    assert len(service.rows(asking, "elicitation")) == 1
    assert (service.workspace(working) / "steps.txt").read_text("utf-8") == "one\n"
    # What happened around the crash is told once, and in its order; the thought asks the agent to commit its file.
    told = [(row.kind, row.content.get("parameter")) for row in service.rows(working) if not row.ephemeral]
    assert told[1:] == [("action", "echo one >> steps.txt"), ("thought", None), ("response", None)]


async def test_sigterm_during_a_run_cuts_nothing(service: LiveService) -> None:
    session = await held(service, "deploy")
    before = service.server()
    assert await service.terminate() < 10
    assert service.left()
    await service.start()
    assert service.server() == before
    assert service.lines("opencode.adopted")
    service.linear.model.release("deploy")
    assert (await service.ends(session)).body.startswith("The model's own words.")
    assert asked(service, "work on deploy") == 1


async def test_opencode_is_killed_and_goes_on_where_it_was(service: LiveService) -> None:
    model = service.linear.model
    command = f"sleep 4712{service.port}"  # nobody else's
    model.tell("thinking", [Pause(until="thinking"), Say(text="Thought through.")])
    model.tell("cut", [bash(f"echo begun >> cut.txt; {command}", "A long command")], [Say(text="Finished after all.")])
    thinking = service.ask("[story=thinking] think about it")
    cut = service.ask("[story=cut] do it with care")
    await model.wait_for_request("think about it")
    await becomes(lambda: running(command))
    old = service.kill_opencode()
    await service.becomes(lambda: asked(service, "think about it") == 2, 60)
    model.release("thinking")

    # No tool had started: the same message again, and the agent hears of nothing.
    assert (await service.ends(thinking)).body.startswith("Thought through.")
    assert {len(one.users) for one in model.requests if "think about it" in one.users[0]} == {1}
    said = [row.body for row in service.rows(thinking, "thought") if "interrupted" in row.body]
    assert said == ["OpenCode was interrupted. It goes on from where it was."]
    # A command had started: it is not run again, and the agent is told to look.
    assert (await service.ends(cut)).body.startswith("Finished after all.")
    assert len([one for one in model.requests if TOLD in one.newest]) == 1
    assert (service.workspace(cut) / "cut.txt").read_text("utf-8") == "begun\n"
    assert [row for row in service.rows(cut, "thought") if "told to check its last step" in row.body]
    assert running(command) == []
    assert service.server() != old
    assert adopt.family(old) == set()


async def test_what_is_written_while_opencode_is_dead_is_answered_last_and_tells_of_the_cut(
    service: LiveService,
) -> None:
    model = service.linear.model
    command = f"sleep 4713{service.port}"  # nobody else's
    model.tell("dead-cut", [bash(f"echo begun >> cut.txt; {command}", "A long command")], [Say(text="Never said.")])
    model.tell("dead-docs", [Say(text="Both are done.")], after=([Say(text="Asked once too often.")],))
    session = service.ask("[story=dead-cut] do it slowly")
    await model.wait_for_request("do it slowly")
    await becomes(lambda: running(command))
    service.kill_opencode()
    service.linear.people.follow_up(session.id, "[story=dead-docs] and the docs")

    assert (await service.ends(session)).body.startswith("Both are done.")
    [heard] = [one for one in model.requests if "and the docs" in one.newest and not one.utility and one.step == 0]
    assert TOLD in heard.newest
    assert len(heard.users) == 2, "the word of the cut is no message of its own"
    assert (service.workspace(session) / "cut.txt").read_text("utf-8") == "begun\n"
    assert [row for row in service.rows(session, "thought") if "told to check its last step" in row.body]


async def test_both_are_killed_and_the_turn_still_ends_once(service: LiveService) -> None:
    session = await held(service, "both")
    old = service.kill_opencode()
    service.kill()
    service.linear.model.release("both")
    await service.start()
    assert (await service.ends(session)).body.startswith("The model's own words.")
    assert adopt.family(old) == set()
    assert (service.workspace(session) / "steps.txt").read_text("utf-8") == "one\n"


async def test_a_follow_up_keeps_the_conversation_also_after_a_restart(service: LiveService) -> None:
    model = service.linear.model
    model.tell("short", [Say(text="First answer.")], after=([Say(text="I heard: {newest}")],))
    session = service.ask("[story=short] begin with apples")
    await service.ends(session)
    service.linear.people.follow_up(session.id, "go on with pears")
    await service.ends(session, turns=2)
    await service.terminate()
    assert service.left() == {}
    await service.start()
    service.linear.people.follow_up(session.id, "end with plums")
    assert "end with plums" in (await service.ends(session, turns=3)).body
    heard = [request for request in model.requests if "plums" in request.newest and not request.utility]
    assert len(heard) == 1
    said = heard[0].users  # all messages of this thread: nothing was begun anew
    assert len(said) == 3
    assert all(word in text for word, text in zip(("apples", "pears", "plums"), said, strict=True))
