"""The main stories, from a mention to an answer, with the real OpenCode in a real git workspace.

All of them begin at once, as they would for a team on a Monday morning; each waits where its test is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import pytest
import pytest_asyncio

from dragoman.sim.records import AgentSession
from dragoman.sim.script import Fail, Pause, Say
from dragoman.sim.stories import bash
from tests.live.service import LiveService, becomes, git, running

pytestmark = [pytest.mark.needs_opencode, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

Opened = Mapping[str, AgentSession]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(service: LiveService) -> Opened:
    """Give a session of each story, by a name."""
    people, tell = service.linear.people, service.linear.model.tell
    tell("steered", [bash("echo one", "One")], [Pause(until="steered"), Say(text="Two.")], [Say(text="{newest}")])
    tell("touch", [bash("touch allowed.txt", "Make a file")], [Say(text="It said: {result}")])
    tell("long", [bash("echo begun; sleep 4711", "Wait")], [Say(text="Waited.")])
    tell("busy", [Fail(status=429, message="Rate limit reached.", retry_after_s=0.2, times=2), Say(text="It works.")])
    tell("note", [bash("echo noted > note.txt; pwd", "Write")], [Say(text="{result}")])
    tell("short", [Say(text="First answer.")], after=([Say(text="I heard: {newest}")],))
    issue = people.create_issue("average() is wrong", "It divides by one too many.")
    shared = people.create_issue("Many at once")
    texts = {
        "steered": "[story=steered] count",
        "allowed": "[story=touch] one",
        "refused": "[story=touch] two",
        "question": "[story=default] average is wrong",
        "long": "[story=long] wait",
        "error": "[story=error] try",
        "busy": "[story=busy] try",
        "subagent": "[story=subagent] look around",
        "short": "[story=short] begin with apples",
    }
    sessions = {name: service.ask(text) for name, text in texts.items()}
    sessions |= {f"note {n}": people.mention(shared.id, f"[story=note] number {n}") for n in range(3)}
    return {"delegated": people.delegate(issue.id), **sessions}


async def test_a_mention_becomes_finished_work_on_disk(service: LiveService, opened: Opened) -> None:
    session = opened["delegated"]
    issue = service.linear.world.issue(session.issue or "")
    question = await service.shows(session, "elicitation", "What should average([]) do?")
    assert question.signal == "select"
    service.linear.people.answer(session.id, "Return 0.0")
    final = await service.ends(session)

    assert final.kind == "response"
    assert "Fixed." in final.body
    workspace = service.workspace(session)
    assert git(workspace, "branch", "--show-current") == issue.branch_name
    assert "return sum(values) / len(values)" in (workspace / "stats.py").read_text("utf-8")
    assert "test_average_of_nothing" in (workspace / "test_stats.py").read_text("utf-8")
    # What people work in is untouched: no file, no branch, no commit.
    assert git(service.repository, "status", "--porcelain") == ""
    assert git(service.repository, "log", "--format=%s") == "Add small statistics"
    assert git(service.repository, "branch", "--list").split() == ["*", "main"]
    assert "(len(values) + 1)" in (service.repository / "stats.py").read_text("utf-8")
    # Every step was visible.
    rows = service.rows(session)
    assert rows[0].kind == "thought"
    assert not service.linear.world.unresponsive(service.linear.world.session(session.id))
    assert [row for row in rows if row.content.get("action") == "Edited" and "stats.py" in row.content["parameter"]]
    tested = [row for row in rows if "unittest" in row.content.get("parameter", "") and row.content.get("result")]
    assert "OK" in tested[-1].content["result"]
    assert str(service.folder) not in json.dumps([row.content for row in rows])
    assert all(row.body.strip() for row in rows if row.kind != "action")
    shown = service.linear.world.session(session.id)
    assert [item["status"] for item in shown.plan] == ["completed"] * 4  # type: ignore[attr-defined]  # as on the wire
    moved = service.linear.world.issue(issue.id)
    assert service.linear.world.state(moved.state).name == "In Progress"


async def test_a_message_during_the_run_steers_it(service: LiveService, opened: Opened) -> None:
    session = opened["steered"]
    await service.linear.model.wait_for_request("count", step=1)
    service.linear.people.follow_up(session.id, "and mention the weather")
    await service.shows(session, "thought", "passing this on")
    await service.becomes(lambda: [line for line in service.lines("effect.done") if line["effect"] == "SteerRun"])
    service.linear.model.release("steered")
    final = await service.ends(session)

    assert final.kind == "response"
    assert "mention the weather" in final.body
    steered = [one for one in service.linear.model.requests if "mention the weather" in one.newest]
    assert {len(one.users) for one in steered} == {2}


async def test_a_permission_is_asked_and_the_answer_counts(service: LiveService, opened: Opened) -> None:
    allowed, refused = opened["allowed"], opened["refused"]
    for session in (allowed, refused):
        asked = await service.shows(session, "elicitation", "touch allowed.txt")
        assert asked.signal == "select"
        assert not (service.workspace(session) / "allowed.txt").exists()
    service.linear.people.answer(allowed.id, "once")
    service.linear.people.answer(refused.id, "better not, it is too early")
    assert (await service.ends(allowed)).kind == "response"
    assert "too early" in (await service.ends(refused)).body
    assert (service.workspace(allowed) / "allowed.txt").exists()
    assert not (service.workspace(refused) / "allowed.txt").exists()


async def test_a_question_takes_free_text(service: LiveService, opened: Opened) -> None:
    session = opened["question"]
    await service.shows(session, "elicitation")
    service.linear.people.answer(session.id, "raise something that says so")
    assert "raises `ValueError`" in (await service.ends(session)).body
    assert 'raise ValueError("average of nothing")' in (service.workspace(session) / "stats.py").read_text("utf-8")


async def test_stop_ends_a_long_command_within_five_seconds(service: LiveService, opened: Opened) -> None:
    session = opened["long"]
    await becomes(lambda: running("sleep 4711"))
    began = time.monotonic()
    service.linear.people.stop(session.id)
    final = await service.ends(session, timeout_s=10)
    took_s = time.monotonic() - began
    assert took_s < 5
    assert final.body.startswith("Stopped.")
    assert running("sleep 4711") == []

    # Nothing comes after it, and the next message works.
    shown = len(service.rows(session))
    service.linear.people.follow_up(session.id, "[story=short] now something short")
    assert (await service.ends(session, turns=2)).body == "First answer."
    after = service.rows(session)[shown:]
    assert after[0].kind == "prompt"
    assert "Waited." not in json.dumps([row.content for row in after])


async def test_a_provider_that_refuses_is_told_in_words(service: LiveService, opened: Opened) -> None:
    session = opened["error"]
    final = await service.ends(session)
    assert final.kind == "error"
    assert "credentials" in final.body
    assert "Incorrect API key" in final.body


async def test_a_provider_that_is_busy_is_tried_again(service: LiveService, opened: Opened) -> None:
    session = opened["busy"]
    assert (await service.ends(session)).body == "It works."
    assert len([row for row in service.rows(session, "thought") if "trouble" in row.body]) == 1


async def test_a_sub_agent_is_one_action_with_its_report(service: LiveService, opened: Opened) -> None:
    session = opened["subagent"]
    final = await service.ends(session)
    assert "a module, its tests and a README" in final.body
    actions = [row for row in service.rows(session, "action") if not row.ephemeral]
    assert len(actions) == 1
    assert "Look around" in actions[0].content["parameter"]


async def test_several_sessions_of_one_issue_work_side_by_side(service: LiveService, opened: Opened) -> None:
    sessions = [opened[f"note {n}"] for n in range(3)]
    folders = {(await service.ends(session)).body.strip() for session in sessions}
    assert len(folders) == 3


async def test_a_follow_up_keeps_the_conversation_also_after_a_restart(service: LiveService, opened: Opened) -> None:
    model, session = service.linear.model, opened["short"]
    await service.ends(session)
    service.linear.people.follow_up(session.id, "go on with pears")
    await service.ends(session, turns=2)
    await service.terminate()
    assert service.left() == {}
    await service.start()
    service.linear.people.follow_up(session.id, "end with plums")
    final = await service.ends(session, turns=3)

    assert "end with plums" in final.body
    heard = [request for request in model.requests if "plums" in request.newest and not request.utility]
    assert len(heard) == 1
    said = heard[0].users  # all messages of this thread: nothing was begun anew
    assert len(said) == 3
    assert all(word in text for word, text in zip(("apples", "pears", "plums"), said, strict=True))
