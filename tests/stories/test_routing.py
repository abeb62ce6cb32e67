"""In which repository a request is worked on: each rule, people's choice, and what is remembered of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from msgspec.structs import replace

from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, commits, writes
from tests.stories.test_triggers import told, why
from tests.stories.world import Stage

TRIGGERS = """
[[triggers]]
name = "cash"
words = "cash register"
repository = "acme/till"
"""


def two(upstream: Path, *, more: str = "", routing: str = "") -> dict[str, object]:
    """A stage with a second repository and no default."""
    till = f'[[repositories]]\nname = "acme/till"\nurl = {json.dumps(str(upstream))}\n{more}\n'
    return {"repository": {"default": False}, "tables": f"{till}\n[routing]\n{routing}\n"}


async def place(stage: Stage, session: str) -> str:
    """The repository that a session works in."""
    known = (await stage.details(session)).session
    assert known.workspace is None or known.workspace.repository == known.repository
    return known.repository


async def chosen(stage: Stage, session: str) -> list[str]:
    """The buttons of the open question."""
    await stage.until_shown(session, "elicitation", "repository")
    asked = stage.world.open_elicitation(session)
    assert asked is not None
    assert isinstance(asked.signal_metadata, dict)
    options = asked.signal_metadata["options"]
    assert isinstance(options, list)
    return [option["value"] for option in options]


def read(result: Result) -> str:
    """What a command prints, whatever its columns are wide."""
    return " ".join(result.output.split())


async def test_the_request_a_trigger_and_labels_decide(make_stage: MakeStage, upstream: Path) -> None:
    how = two(upstream, more='labels = ["Money"]\nprojects = ["Till"]\nmodel = "scripted/till"\nagent = "teller"')
    async with make_stage(**{**how, "tables": f"{how['tables']}{TRIGGERS}"}) as stage:
        tagged = stage.mention(r"please fix it \[repo=acme/till\]")
        plain = stage.mention("please fix it in repo:acme/shop")
        trigger = stage.mention("please fix the cash register")
        labelled = stage.mention("please fix it", issue=stage.issue(labels=["repo:acme/shop"]))
        rule = stage.mention("please fix it", issue=stage.issue(labels=["Money"]))
        project = stage.issue(project=stage.world.add_project("Till"))
        by_project = stage.mention("please fix it", issue=project)
        sessions = [tagged, plain, trigger, labelled, rule, by_project]
        for session in sessions:
            assert (await stage.final(session))[0] == "response"
        assert [await place(stage, session) for session in sessions] == [
            "acme/till", "acme/shop", "acme/till", "acme/shop", "acme/till", "acme/till",
        ]  # fmt: skip
        assert not [session for session in sessions if any(kind == "elicitation" for kind, _ in stage.shown(session))]
        assert told(stage, tagged) == ("teller", "scripted/till")
        assert told(stage, plain) == ("build", "scripted/story")
        assert "issueRepositorySuggestions" not in stage.linear.graphql.requests


async def test_linears_suggestion_decides_when_it_is_sure(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**{**two(upstream), "repository": {"default": True}}) as stage:
        issue = stage.issue()
        stage.world.suggestions = {"acme/till": 0.85, "acme/shop": 0.2}
        assert "acme/till Linear suggests it (0.85)" in read(await why(stage, issue))
        session = stage.mention("please fix it", issue=issue)
        await stage.final(session)
        assert await place(stage, session) == "acme/till"
        assert stage.linear.graphql.requests["issueRepositorySuggestions"] == 2
        stage.world.suggestions = {"acme/till": 0.3}
        unsure = stage.mention("please fix it", issue=stage.issue("Another"))
        await stage.final(unsure)
        assert await place(stage, unsure) == "acme/shop"


async def test_people_are_asked_and_their_choice_holds_for_the_issue(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**two(upstream, routing="label_back = true")) as stage:
        stage.world.suggestions = {"acme/till": 0.5}
        issue = stage.issue()
        first = stage.mention("please fix the parser", issue=issue)
        assert await chosen(stage, first) == ["acme/shop", "acme/till"]
        assert stage.prompts(first) == []
        stage.people.answer(first, "acme/till")
        assert (await stage.final(first))[0] == "response"
        (prompt,) = stage.prompts(first)
        assert "please fix the parser" in prompt
        assert await place(stage, first) == "acme/till"
        await stage.quiet()
        assert [label.name for label in stage.world.issue(issue).labels] == ["repo:acme/till"]
        # The choice itself is remembered: without the label, too, and for every later session.
        stage.world.put(replace(stage.world.issue(issue), labels=()))
        for number in (2, 3):
            later = stage.mention(f"please fix more of it, {number}", issue=issue)
            assert (await stage.final(later))[0] == "response"
            assert await place(stage, later) == "acme/till"
            assert not [kind for kind, _ in stage.shown(later) if kind == "elicitation"]
        assert len(stage.world.sessions_on(stage.world.issue(issue).id)) == 3


async def test_three_sessions_on_one_issue_work_beside_each_other(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**two(upstream)) as stage:
        issue = stage.issue()
        sessions = [stage.mention(f"please fix part {number} in repo:acme/till", issue=issue) for number in range(3)]
        for session in sessions:
            assert (await stage.final(session))[0] == "response"
        places = [(await stage.details(session)).session.workspace for session in sessions]
        assert len({place.directory for place in places if place}) == 3
        assert {place.repository for place in places if place} == {"acme/till"}


async def test_nonsense_is_asked_about_once_more_and_then_given_up(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**two(upstream)) as stage:
        session = stage.mention("please fix it")
        await chosen(stage, session)
        stage.people.answer(session, "what is that?")
        await stage.until_shown(session, "elicitation", "did not understand")
        stage.people.answer(session, "I do not know either")
        kind, words = await stage.final(session)
        assert (kind, "I have not begun" in words) == ("response", True)
        assert stage.prompts(session) == []
        stage.people.follow_up(session, "please fix it in the repo:shop")
        assert (await stage.final(session, 2))[0] == "response"
        assert await place(stage, session) == "acme/shop"


async def test_stop_and_withdrawal_while_people_choose(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**two(upstream)) as stage:
        stopped = stage.mention("please fix it")
        await chosen(stage, stopped)
        stage.people.stop(stopped)
        assert (await stage.final(stopped))[0] == "response"
        issue = stage.issue()
        withdrawn = stage.people.delegate(issue).id
        await chosen(stage, withdrawn)
        stage.people.unassign(issue)
        await stage.final(withdrawn)
        assert stage.prompts(stopped) == stage.prompts(withdrawn) == []


@pytest.mark.deep
async def test_a_service_that_is_killed_while_people_choose_goes_on_with_their_answer(
    make_stage: MakeStage, upstream: Path
) -> None:
    async with make_stage(apart=True, **two(upstream)) as stage:
        session = stage.mention("please fix the parser")
        assert await chosen(stage, session) == ["acme/shop", "acme/till"]
        await stage.until_delivered()
        await stage.kill()
        await stage.start()
        stage.people.answer(session, "till, please")
        assert (await stage.final(session))[0] == "response"
        assert "please fix the parser" in stage.prompts(session)[0]
        assert [text for kind, text in stage.shown(session) if kind == "elicitation"] == [
            "In which repository shall I work? Choose one, or write its name. I remember it for this issue."
        ]


async def test_an_unknown_repository_is_asked_about_and_not_guessed(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = stage.mention("please fix it [repo=acme/other]")
        assert await chosen(stage, session) == ["acme/shop"]
        stage.people.answer(session, "acme/shop")
        assert (await stage.final(session))[0] == "response"


async def test_why_tells_the_rule_that_won_and_those_that_lost(make_stage: MakeStage, upstream: Path) -> None:
    async with make_stage(**two(upstream, more='labels = ["Money"]\nteams = ["OPS"]')) as stage:
        issue = stage.issue(labels=["Money"])
        before = list(stage.world.webhooks)
        dry = read(await why(stage, issue))
        assert "dry run for a delegation; nothing was written" in dry
        assert "acme/till its `labels`" in dry
        assert "no `repo:` label" in dry
        assert stage.world.webhooks == before
        open_ = stage.issue("Something else")
        stage.world.suggestions = {"acme/shop": 0.5}
        asked = read(await why(stage, open_, "--say", "please fix it"))
        assert "Linear suggests acme/shop, but is not sure enough (0.50 < 0.7)" in asked
        assert "people would be asked: acme/shop, acme/till" in asked
        session = stage.mention("please fix it [repo=acme/shop]", issue=issue)
        await stage.final(session)
        told_now = read(await why(stage, issue))
        assert "acme/shop the request" in told_now
        assert "its `labels` gives acme/till, but comes after what decided" in told_now
        waits = stage.mention("please fix it", issue=open_)
        await chosen(stage, waits)
        assert "people are asked: acme/shop, acme/till" in read(await why(stage, open_))
        stage.people.answer(waits, "acme/shop")
        await stage.final(waits)
        assert "Alice Example chose it" in read(await why(stage, open_))


@pytest.mark.deep
async def test_a_sub_issue_begins_at_the_branch_of_its_parent_and_is_offered_to_it(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        parent = stage.issue("The whole")
        above = await at_work(stage, issue=parent)
        writes(stage.workspace(above), "whole.py")
        commits(stage.workspace(above), "Begin the whole")
        stage.agent.release("work")
        await stage.final(above)
        await stage.quiet()
        branch = stage.world.issue(parent).branch_name
        stage.agent.plays("fix the part", Use(tool="bash", args={"command": "wait part"}), Say(text="Done."))
        below = stage.mention("please fix the part", issue=stage.issue("A part", parent=parent))
        await stage.until_shown(below, "action", "wait part")
        assert (stage.workspace(below) / "whole.py").is_file()
        writes(stage.workspace(below), "part.py")
        commits(stage.workspace(below), "Add the part")
        stage.agent.release("part")
        await stage.final(below)
        await stage.quiet()
        first, second = stage.forge.repositories["acme/shop"].pulls
        assert (first["base"]["ref"], second["base"]["ref"]) == ("main", branch)
        alone = stage.mention("please fix it", issue=stage.issue("Alone", parent=stage.issue("No branch yet")))
        await stage.final(alone)
        assert not (stage.workspace(alone) / "whole.py").exists()
