"""What an operator configures, what people and labels choose, plans that wait for approval, and `dragoman why`."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from click.testing import CliRunner, Result

from dragoman.cli import main
from dragoman.core import wording
from dragoman.ledger import numbers
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.test_session_or_answer import denied
from tests.stories.world import Stage

TABLES = """
[[templates]]
name = "bugfix"
text = "Write a failing test for {issue.title} first."
agent = "fixer"
[[templates]]
name = "big"
plan_first = true
[[triggers]]
name = "docs"
label = "docs"
mode = "session"
agent = "writer"
model = "scripted/words"
permissions = { bash = "deny" }
priority = "high"
[[triggers]]
name = "bugs"
words = "crash"
mode = "session"
template = "bugfix"
[[triggers]]
name = "chat"
team = "ENG"
words = "review"
mode = "simple"
"""


def told(stage: Stage, session: str) -> tuple[str, str]:
    """With which agent and model the newest message of a session was given."""
    info = stage.agent.thread_of(session).users()[-1]["info"]
    return info["agent"], "/".join(info["model"].values())


async def why(stage: Stage, *arguments: str) -> Result:
    """Run `dragoman why` beside the service, with its settings."""
    environment = {
        name: "" for name in os.environ if name.startswith(("LINEAR_", "SESSION_", "OPENCODE_", "DRAGOMAN_"))
    }
    run = CliRunner(env={**environment, **stage.environment()}).invoke
    return await asyncio.to_thread(run, main, ["why", *arguments])


async def test_a_trigger_on_a_label_makes_a_session_with_its_agent_model_permissions_and_priority(
    make_stage: MakeStage,
) -> None:
    async with make_stage(tables=TABLES) as stage:
        session = stage.mention("look at this", issue=stage.issue(labels=["docs"]))
        assert (await stage.final(session))[0] == "response"
        first, *rest = stage.thoughts(session)
        assert first == wording.beginning.READING_FIRST
        assert any("Session Started" in thought for thought in rest)
        assert told(stage, session) == ("writer", "scripted/words")
        assert denied(stage, session) == {"bash"}
        assert (await stage.details(session)).session.priority == 2
        other = stage.mention("look at this")
        assert (await stage.final(other))[0] == "elicitation"


async def test_a_trigger_may_make_an_answer_of_what_would_be_a_session(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        assert (await stage.final(stage.mention("please review it")))[0] == "elicitation"


async def test_a_template_tells_the_agent_how(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        session = stage.mention("it shows a crash", issue=stage.issue("It breaks"))
        await stage.final(session)
        (prompt,) = stage.prompts(session)
        assert "Write a failing test for <untrusted-" in prompt
        assert "It breaks" in prompt
        assert told(stage, session)[0] == "fixer"
        assert stage.service is not None
        found = await stage.service.ledger.read(numbers.report, 3_600.0, "template")
        assert [(one.group, one.turns, one.answered) for one in found.groups] == [("bugfix", 1, 1)]


async def test_the_request_chooses_and_what_it_names_wrongly_is_told(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        words = r"fix it \[agent=my\_own\] \[model=scripted/other\] \[template=none\]"
        session = stage.mention(words)
        await stage.final(session)
        assert told(stage, session) == ("my_own", "scripted/other")
        assert any("known: bugfix, big" in thought for thought in stage.thoughts(session))
        stage.people.follow_up(session, "and now [agent=another]")
        await stage.final(session, 2)
        assert told(stage, session) == ("another", "scripted/other")


async def test_labels_choose(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        labels = ["agent:of-label", "model:scripted/label", "template:bugfix", "priority:urgent"]
        session = stage.mention("please fix it", issue=stage.issue(labels=labels))
        await stage.final(session)
        assert told(stage, session) == ("of-label", "scripted/label")
        choice = (await stage.details(session)).session.choice
        assert choice is not None
        assert (choice.template, choice.priority) == ("bugfix", 1)


async def test_a_plan_waits_for_approval_and_is_made_anew_until_people_say_build(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        stage.agent.plays("smaller", Say(text="A small plan."))
        stage.agent.plays("Build it", Say(text="Built."))
        stage.agent.plays("fix it", Say(text="A grand plan."))
        session = stage.mention("fix it [template=big]")
        kind, text = await stage.final(session)
        assert (kind, text) == ("elicitation", f"A grand plan.\n\n{wording.beginning.PLAN_OFFER}")
        assert {"bash", "edit", "write", "task"} <= denied(stage, session)
        stage.people.follow_up(session, "smaller, please")
        assert (await stage.final(session, 2))[1].startswith("A small plan.")
        assert {"bash", "edit", "write", "task"} <= denied(stage, session)
        stage.people.answer(session, wording.beginning.BUILD_IT)
        assert await stage.final(session, 3) == ("response", "Built.")
        assert denied(stage, session) == set()
        (prompt,) = stage.prompts(session)
        assert "The plan that people have approved" in prompt
        assert "A small plan." in prompt
        stage.people.follow_up(session, "thanks")
        assert (await stage.final(session, 4))[0] == "response"
        assert len(stage.agent.threads) == 2


@pytest.mark.deep
async def test_whoever_may_not_approve_does_not_and_what_was_written_before_the_plan_approves_nothing(
    make_stage: MakeStage,
) -> None:
    async with make_stage(tables=TABLES, access='approve = [{ users = ["alice@acme.example"] }]') as stage:
        stage.agent.plays("fix it", Use(tool="read", args={"filePath": "wait look"}), Say(text="A plan."))
        session = stage.mention("fix it [template=big]")
        await stage.until_shown(session, "action", "wait look")
        stage.people.follow_up(session, "/queue build it")
        await stage.until_shown(session, "thought", "Queued")
        stage.agent.release("look")
        assert (await stage.final(session))[0] == "elicitation"
        assert (await stage.final(session, 2))[0] == "elicitation"  # planned again, not built
        stage.people.follow_up(session, "build it", by=stage.world.bob)
        await stage.until_shown(session, "response", "I'm sorry, Bob")
        assert len(stage.agent.threads) == 1
        stage.people.follow_up(session, "build it")
        await stage.until_shown(session, "thought", wording.beginning.PLAN_APPROVED)
        await stage.quiet()
        assert len(stage.agent.threads) == 2


async def test_a_dropped_plan_changes_nothing(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        session = stage.mention("fix it [template=big]")
        await stage.final(session)
        stage.people.answer(session, wording.beginning.DROP_IT)
        assert await stage.final(session, 2) == ("response", wording.beginning.PLAN_DROPPED)
        assert len(stage.agent.threads) == 1
        stage.people.follow_up(session, "fix it otherwise")
        assert (await stage.final(session, 3))[0] == "elicitation"


@pytest.mark.deep
async def test_changed_triggers_hold_from_the_next_turn_on_and_wrong_ones_change_nothing(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        file = stage.folder / "dragoman.toml"
        service = stage.service
        assert service is not None
        assert (await stage.final(stage.mention("zap it")))[0] == "elicitation"
        file.write_text(file.read_text().replace('words = "crash"', 'words = "zap"'))
        service.live.reload()
        assert (await stage.final(stage.mention("zap it")))[0] == "response"
        file.write_text(file.read_text().replace('template = "bugfix"', 'template = "bugfux"'))
        service.live.reload()
        assert "did you mean 'bugfix'?" in service.live.problems[0]
        assert (await stage.final(stage.mention("zap it")))[0] == "response"
        stage.expected.append("settings.refused")


async def test_why_tells_what_was_decided_and_a_dry_run_writes_nothing(make_stage: MakeStage) -> None:
    async with make_stage(tables=TABLES) as stage:
        issue, other = stage.issue(labels=["docs"]), stage.issue("Another", labels=["model:scripted/label"])
        session = stage.mention("look at this", issue=issue)
        await stage.final(session)
        await stage.quiet()
        before = (stage.world.version, len(stage.linear.hooks.deliveries))
        decided = (await why(stage, issue)).stdout
        assert decided.splitlines()[0].startswith(f"{issue} “The parser drops the last line”: session {session}")
        assert "trigger “docs”" in decided
        columns = {line[15:].partition("  ")[0]: line[:15].strip() for line in decided.splitlines()[1:]}
        assert columns["session"] == "mode", "in columns, for people"
        dry = await why(stage, other, "--say", "it shows a crash", "--json")
        found = json.loads(dry.stdout)
        assert (found["dry_run"], found["choice"]["mode"], found["choice"]["template"]) == (True, "session", "bugfix")
        rows = {(one["what"], one["chosen"], one["because"]) for one in found["reasons"]}
        assert ("trigger", "", "“docs” does not fit: label is model:scripted/label") in rows
        assert ("model", "scripted/label", "a label") in rows
        assert ("agent", "fixer", "template “bugfix”") in rows
        assert ("priority", "none", "the issue's") in rows
        delegated = (await why(stage, other)).stdout
        assert "dry run for a delegation; nothing was written" in delegated
        assert before == (stage.world.version, len(stage.linear.hooks.deliveries))
        stage.unrefused.append("Entity not found")
        assert (await why(stage, "ENG-999")).exit_code == 1


@pytest.mark.parametrize("words", ["help", "what is this?"])
async def test_why_of_an_unknown_request(make_stage: MakeStage, words: str) -> None:
    async with make_stage(tables=TABLES) as stage:
        shown = (await why(stage, stage.issue(), "--say", words)).stdout
        assert ("guide" if words == "help" else "simple") in shown
