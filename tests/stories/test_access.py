"""Who may do what: whoever may not gets one reply, and nothing of what they wrote reaches the agent."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from dragoman.core import pace
from dragoman.ledger import audit, paces, read
from dragoman.runtime import directory
from dragoman.sim.script import Ask, Say, Use
from tests.stories.agent_script import Guarded
from tests.stories.conftest import MakeStage
from tests.stories.world import DEADLINE_S, Stage

WORDS = "zanzibar-marmalade"  # in what is refused, and nowhere else
ALICE_ONLY = {"SESSION_ALLOWED_USERS": "alice@acme.example"}
WAIT = Use(tool="bash", args={"command": "wait tool"})
COLOUR = Ask(question="Which colour?", header="Colour", options=(("Red", "warm"), ("Blue", "cold")))
PUSH = Guarded(tool="bash", args={"command": "git push"}, always=("git push *",))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Who was not looked up in time is refused: that is another story.
    monkeypatch.setattr(directory, "LOOK_UP_S", DEADLINE_S)


async def decisions(stage: Stage) -> list[tuple[str, str]]:
    """What the audit trail says, oldest first; it must hold."""
    assert stage.service is not None
    assert await stage.service.ledger.read(audit.verify) is None
    return [(row.action, row.verdict) for row in reversed(await stage.service.ledger.read(audit.newest))]


async def nobody_kept(stage: Stage, words: str) -> None:
    """Hold the agent, the ledger and the log against words that were refused."""
    await stage.quiet()
    assert words not in repr([thread.messages for thread in stage.agent.threads.values()])
    with closing(sqlite3.connect(stage.folder / "data" / "dragoman.db")) as ledger:
        assert words not in "\n".join(ledger.iterdump())
    assert words not in stage.logged()


async def test_a_refused_start_is_one_polite_response_and_nothing_runs(make_stage: MakeStage) -> None:
    async with make_stage(settings=ALICE_ONLY) as stage:
        session = stage.people.mention(stage.issue(), f"please fix {WORDS}", by=stage.world.bob).id
        kind, text = await stage.final(session)
        assert (kind, text.startswith("I'm sorry, Bob Example, I may not take this on")) == ("response", True)
        await nobody_kept(stage, WORDS)
        assert stage.shown(session) == [(kind, text)]
        assert stage.prompts(session) == []
        assert await decisions(stage) == [("start", "user")]
        assert (await stage.details(session)).summary.status == "completed"
        assert '"event":"person.refused"' in stage.logged()


async def test_whoever_may_goes_on_where_somebody_was_refused_and_the_agent_never_hears_of_it(
    make_stage: MakeStage,
) -> None:
    async with make_stage(settings=ALICE_ONLY) as stage:
        stage.agent.plays("", Say(text="Done."))
        issue = stage.issue()
        refused = stage.people.mention(issue, f"please fix {WORDS}", by=stage.world.bob).id
        await stage.final(refused)
        # In the same thread, then in a new one whose context holds all comments of the issue.
        stage.people.follow_up(refused, "please fix it")
        assert await stage.final(refused, 2) == ("response", "Done.")
        session = stage.mention("fix it once more", issue=issue)
        assert await stage.final(session) == ("response", "Done.")
        await nobody_kept(stage, WORDS)
        assert any("left out" in prompt for prompt in stage.prompts(session))
        assert await decisions(stage) == [("start", "user"), ("start", "allowed"), ("start", "allowed")]


async def test_a_refused_message_during_a_run_does_not_reach_it(make_stage: MakeStage) -> None:
    async with make_stage(settings=ALICE_ONLY) as stage:
        stage.agent.plays("", WAIT, Say(text="Done."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.people.follow_up(session, f"and {WORDS}", by=stage.world.bob)
        await stage.until_shown(session, "response", "you are not among the people")
        await stage.until_shown(session, "thought", "The work goes on")
        stage.agent.release("tool")
        await stage.until_shown(session, "response", "Done.")
        assert len(stage.prompts(session)) == 1
        await nobody_kept(stage, WORDS)


async def test_a_refused_answer_leaves_the_question_open_for_others(make_stage: MakeStage) -> None:
    async with make_stage(access='answer = [{ users = ["alice@acme.example"] }]') as stage:
        stage.agent.plays("", COLOUR, Say(text="{answer}"))
        session = stage.mention("fix it")
        await stage.until_shown(session, "elicitation", "Which colour?")
        stage.people.follow_up(session, WORDS, by=stage.world.bob)
        await stage.until_shown(session, "response", "only some people may answer")
        await stage.until_shown(session, "elicitation", "Which colour?", count=2)
        await stage.until(lambda: stage.world.open_elicitation(session), "an open elicitation")
        stage.people.answer(session, "Red")
        await stage.until_shown(session, "response", '"Which colour?"="Red"')
        assert await decisions(stage) == [("start", "allowed"), ("answer", "rule"), ("answer", "allowed")]
        await nobody_kept(stage, WORDS)


async def test_a_refused_approval_allows_nothing(make_stage: MakeStage) -> None:
    async with make_stage(access='approve = [{ users = ["alice@acme.example"], teams = ["ENG"] }]') as stage:
        stage.agent.plays("", PUSH, Say(text="{result}"))
        session = stage.people.mention(stage.issue(), "fix it", by=stage.world.bob).id
        await stage.until_shown(session, "elicitation", "git push")
        await stage.until(lambda: stage.world.open_elicitation(session), "an open elicitation")
        stage.people.answer(session, "always", by=stage.world.bob)
        await stage.until_shown(session, "response", "only some people may give permissions")
        await stage.until_shown(session, "elicitation", "git push", count=2)
        assert "permission_reply" not in stage.agent.requests
        stage.people.follow_up(session, "reject")
        await stage.until_shown(session, "thought", "Declined")
        await stage.until(lambda: stage.finals(session)[1:], "the end")
        assert stage.agent.requests.count("permission_reply") == 1
        assert await decisions(stage) == [("start", "allowed"), ("approve", "rule"), ("approve", "allowed")]


async def test_a_refused_stop_stops_nothing(make_stage: MakeStage) -> None:
    async with make_stage(access='stop = [{ users = ["alice@acme.example"] }]') as stage:
        stage.agent.plays("", WAIT, Say(text="Done."))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.people.stop(session, by=stage.world.bob)
        await stage.until_shown(session, "response", "only some people may stop me")
        assert stage.agent.aborts == []
        stage.people.stop(session)
        await stage.until_shown(session, "response", "Stopped")
        assert await decisions(stage) == [("start", "allowed"), ("stop", "rule"), ("stop", "allowed")]


async def test_an_automation_is_refused_where_a_person_is_wanted(make_stage: MakeStage) -> None:
    async with make_stage(settings={"SESSION_REQUIRE_AUTH": "true"}) as stage:
        stage.agent.plays("", Say(text="Done."))
        automated = stage.people.automate(stage.issue()).id
        assert "I cannot see which person it comes from" in (await stage.final(automated))[1]
        assert await stage.final(stage.mention()) == ("response", "Done.")
        assert await decisions(stage) == [("start", "nobody"), ("start", "allowed")]


async def test_an_issue_of_another_team_is_refused(make_stage: MakeStage) -> None:
    async with make_stage(settings={"SESSION_ALLOWED_TEAMS": "OPS"}) as stage:
        kind, text = await stage.final(stage.mention(f"fix {WORDS}"))
        assert (kind, "issues of this team" in text) == ("response", True)
        await nobody_kept(stage, WORDS)


@pytest.mark.deep
async def test_whoever_goes_too_fast_hears_it_once_and_then_nothing(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pace, paces):  # a minute that does not go by while this test lasts
        monkeypatch.setattr(module, "WINDOW_S", 3_600.0)
    async with make_stage(settings={"SESSION_MAX_PER_USER_MINUTE": "2"}) as stage:
        stage.agent.plays("", Say(text="Done."))
        session = stage.mention()
        await stage.final(session)
        for number in range(2, 6):
            stage.people.follow_up(session, f"message {number} {WORDS if number > 2 else ''}")
            await stage.until_delivered()
        await stage.until_shown(session, "response", "your limit of messages a minute is used up")
        await stage.quiet()
        assert [delivery.status for delivery in stage.deliveries(session)] == [200] * 5
        assert [text for _, text in stage.finals(session)].count("Done.") == 2
        assert len(stage.finals(session)) == 3
        # Somebody else has a bucket of their own.
        stage.people.follow_up(session, "and me?", by=stage.world.bob)
        await stage.final(session, 4)
        assert [verdict for _, verdict in await decisions(stage)] == ["allowed"] * 2 + ["person_pace"] * 3 + ["allowed"]
        await nobody_kept(stage, WORDS)


async def test_the_trail_holds_what_was_heard_in_its_order(make_stage: MakeStage) -> None:
    async with make_stage(settings=ALICE_ONLY) as stage:
        stage.agent.plays("", Say(text="Done."))
        for _ in range(3):
            await stage.final(stage.mention())
            await stage.final(stage.people.mention(stage.issue(), "please fix it", by=stage.world.bob).id)
        assert stage.service is not None
        rows = await stage.service.ledger.read(audit.newest)
        assert [(row.n, row.name, row.verdict) for row in rows[:2]] == [
            (6, "Bob Example", "user"),
            (5, "Alice Example", "allowed"),
        ]
        assert rows[0].session in {one.id for one in await stage.service.ledger.read(read.sessions)}
        assert (rows[0].team, rows[0].source) == ("ENG", "linear")
