"""The main stories, from a mention to an answer, with the real OpenCode in a real git workspace."""

from __future__ import annotations

import base64
import json
import time

import pytest

from dragoman.sim.script import Fail, Pause, Say, Use
from dragoman.sim.stories import bash
from tests.live.service import LiveService, becomes, git, running

pytestmark = [pytest.mark.needs_opencode, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_a_mention_becomes_finished_work_on_disk(service: LiveService) -> None:
    issue = service.linear.people.create_issue("average() is wrong", "It divides by one too many.")
    session = service.linear.people.delegate(issue.id)
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
    # What people work in is untouched but for the branch that was pushed there.
    assert git(service.repository, "status", "--porcelain") == ""
    assert git(service.repository, "log", "--format=%s") == "Add small statistics"
    assert git(service.repository, "branch", "--list").split() == [issue.branch_name, "*", "main"]
    assert git(service.repository, "log", "-1", "--format=%s", issue.branch_name) == "Divide by the number of values"
    assert f"**Branch:** `{issue.branch_name}` is pushed." in final.body
    assert "+++ Receipt\n**1 commit** on" in final.body
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


async def test_a_message_during_the_run_steers_it(service: LiveService) -> None:
    service.linear.model.tell(
        "steered", [bash("echo one", "One")], [Pause(until="steered"), Say(text="Two.")], [Say(text="{newest}")]
    )
    session = service.ask("[story=steered] count")
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


@pytest.mark.deep
async def test_attached_files_reach_the_model_and_missing_ones_are_told(service: LiveService) -> None:
    linear = service.linear
    picture = linear.store.put("shot.png", "image/png", PIXEL)
    log = linear.store.put("trace.log", "application/octet-stream", b"ValueError: the canary of the log")
    linear.model.tell("looks", [Say(text="I saw it.")])
    issue = linear.people.create_issue("It looks wrong", f"See ![shot.png]({linear.url}{picture}).")
    session = linear.people.mention(
        issue.id,
        f"@OpenCode [story=looks] review what is in [trace.log]({linear.url}{log}) and [gone.txt]({linear.url}/uploads/0/gone.txt)?",
    )
    final = await service.ends(session)
    assert final.body.startswith("I saw it.")
    heard = next(one for one in linear.model.requests if "looks" in one.story and not one.utility)
    told = "\n".join(heard.users)
    assert heard.files == ("image/png",)
    assert "the canary of the log" in told
    assert "gone.txt could not be fetched (HTTP 404)" in told
    assert linear.access_token not in told


@pytest.mark.deep
async def test_what_the_agent_puts_out_is_shown_under_its_answer(service: LiveService) -> None:
    linear = service.linear
    made = base64.b64encode(PIXEL).decode()
    linear.model.tell(
        "shows",
        [
            bash(
                "mkdir -p .dragoman/outbox/run && cd .dragoman/outbox && "
                f"echo {made} | base64 -d > shot.png && echo '# All green' > run/report.md && ln -s /etc/hostname name",
                "Take a screenshot",
            )
        ],
        [Say(text="It looks like this.")],
    )
    session = service.ask("[story=shows] fix it and show me how it looks")
    final = await service.ends(session)
    assert final.body.startswith("It looks like this.\n\n![shot.png](")
    assert "- [run/report.md](" in final.body
    assert "`name` is not shown: it is a link" in final.body
    kept = {linear.url + path: file.content for path, file in linear.store.files.items()}
    shown = [url.rstrip(")") for url in final.body.replace("(", " ").split() if url.startswith(linear.url)]
    assert [kept[url] for url in shown] == [PIXEL, b"# All green\n"]
    assert linear.access_token not in str(linear.store.given)
    assert git(service.workspace(session), "status", "--porcelain") == ""
    heard = next(one for one in linear.model.requests if "shows" in one.story and not one.utility)
    assert "`.dragoman/outbox/`" in "\n".join(heard.users)


@pytest.mark.deep
async def test_a_permission_is_asked_and_the_answer_counts(service: LiveService) -> None:
    service.linear.model.tell("touch", [bash("touch allowed.txt", "Make a file")], [Say(text="It said: {result}")])
    allowed, refused = service.ask("[story=touch] one"), service.ask("[story=touch] two")
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


@pytest.mark.deep
async def test_a_question_takes_free_text(service: LiveService) -> None:
    session = service.ask("[story=default] average is wrong")
    await service.shows(session, "elicitation")
    service.linear.people.answer(session.id, "raise something that says so")
    assert "raises `ValueError`" in (await service.ends(session)).body
    assert 'raise ValueError("average of nothing")' in (service.workspace(session) / "stats.py").read_text("utf-8")


async def test_stop_ends_a_long_command_within_five_seconds(service: LiveService) -> None:
    command = f"sleep 4711{service.port}"  # nobody else's
    service.linear.model.tell("long", [bash(f"echo begun; {command}", "Wait")], [Say(text="Waited.")])
    service.linear.model.tell("short", [Say(text="Short.")])
    session = service.ask("[story=long] wait")
    await becomes(lambda: running(command))
    began = time.monotonic()
    service.linear.people.stop(session.id)
    final = await service.ends(session, timeout_s=10)
    took_s = time.monotonic() - began
    assert took_s < 5
    assert final.body.startswith("Stopped.")
    assert running(command) == []

    # Nothing comes after it, and the next message works.
    shown = len(service.rows(session))
    service.linear.people.follow_up(session.id, "[story=short] now something short")
    assert (await service.ends(session, turns=2)).body == "Short."
    after = service.rows(session)[shown:]
    assert after[0].kind == "prompt"
    assert "Waited." not in json.dumps([row.content for row in after])


@pytest.mark.deep
async def test_a_provider_that_refuses_is_told_in_words(service: LiveService) -> None:
    session = service.ask("[story=error] try")
    final = await service.ends(session)
    assert final.kind == "error"
    assert "credentials" in final.body
    assert "Incorrect API key" in final.body


@pytest.mark.deep
async def test_a_provider_that_is_busy_is_tried_again(service: LiveService) -> None:
    service.linear.model.tell(
        "busy", [Fail(status=429, message="Rate limit reached.", retry_after_s=0.2, times=2), Say(text="It works.")]
    )
    session = service.ask("[story=busy] try")
    assert (await service.ends(session)).body == "It works."
    assert len([row for row in service.rows(session, "thought") if "trouble" in row.body]) == 1


@pytest.mark.deep
async def test_a_sub_agent_is_one_action_with_its_report(service: LiveService) -> None:
    session = service.ask("[story=subagent] look around")
    final = await service.ends(session)
    assert "a module, its tests and a README" in final.body
    actions = [row for row in service.rows(session, "action") if not row.ephemeral]
    assert len(actions) == 1
    assert "Look around" in actions[0].content["parameter"]


@pytest.mark.deep
async def test_several_sessions_of_one_issue_work_side_by_side(service: LiveService) -> None:
    service.linear.model.tell("note", [bash("echo noted > note.txt; pwd", "Write")], [Say(text="{result}")])
    issue = service.linear.people.create_issue("Many at once")
    sessions = [service.linear.people.mention(issue.id, f"fix [story=note] number {n}") for n in range(3)]
    folders = {(await service.ends(session)).body.strip() for session in sessions}
    assert len(folders) == 3


@pytest.mark.deep
async def test_a_simple_answer_cannot_write_and_the_session_after_it_can(service: LiveService) -> None:
    """Its model tries the shell, a new file, an edit and a sub-agent; the session's one does the same and may."""
    written = {"filePath": "{cwd}/written.txt", "content": "by the agent"}
    edited = {"filePath": "{cwd}/README.md", "oldString": "stats", "newString": "spoilt"}
    helper = {"description": "Help", "prompt": "write it for me", "subagent_type": "general"}
    tries = (
        [bash("echo x > shell.txt", "Write by shell")],
        [Use(tool="write", args=written)],
        [Use(tool="read", args={"filePath": "{cwd}/README.md"}), Use(tool="edit", args=edited)],
        [Use(tool="task", args=helper)],
    )
    service.linear.model.tell("reads", *tries, [Say(text="I tried.")])
    service.linear.model.tell("works", *tries[:2], [Say(text="I wrote.")])
    issue = service.linear.people.create_issue("What does it do?")
    session = service.linear.people.mention(issue.id, "[story=reads] what does it do?")
    asked = await service.shows(session, "elicitation", "I tried.")
    assert asked.signal == "select"
    heard = [one for one in service.linear.model.requests if one.story == "reads" and not one.utility]
    assert len(heard) == len(tries) + 1
    assert not {"bash", "write", "edit", "patch", "task"} & set(heard[0].tools)
    assert "read" in heard[0].tools
    checkouts = service.data / "workspaces" / "acme-sample"
    key = issue.identifier.lower()
    await service.becomes(lambda: not [*checkouts.glob(f"{key}-*"), *checkouts.glob(f".{key}-*.gone")])
    assert not list(service.folder.glob("data/**/shell.txt")) + list(service.folder.glob("data/**/written.txt"))

    service.linear.people.follow_up(session.id, "[story=works] then write it")
    final = await service.ends(session)
    assert "I wrote." in final.body
    workspace = service.workspace(session)
    assert (workspace / "shell.txt").read_text("utf-8") == "x\n"
    assert (workspace / "written.txt").read_text("utf-8") == "by the agent"
