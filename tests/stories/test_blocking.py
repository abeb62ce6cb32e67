"""Issues that wait for others, and issues with a pull request."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.runtime.performers import people
from tests.marks import deep
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, commits, writes
from tests.stories.world import DEADLINE_S


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the issue nothing is known of what blocks it, and work begins.
    monkeypatch.setattr(people, "ISSUE_S", DEADLINE_S)


@pytest.mark.parametrize("told", [True, deep(False)])
async def test_work_on_a_blocked_issue_begins_by_itself(
    make_stage: MakeStage, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not told:  # then it is found by looking
        monkeypatch.setattr("dragoman.core.blocking.FIRST_LOOK_S", 0.2)
    async with make_stage(tables="[issue]\nrespect_blockers = true") as stage:
        if told:
            stage.world.resources.add("Issue")
        first, second = stage.issue("First"), stage.issue("Second")
        stage.people.block(second, by_issue=first)
        session = stage.people.delegate(second).id
        await stage.until_shown(session, "thought", f"blocked by **{first}**")
        asked = stage.mention("what is it?", issue=second)
        await stage.final(asked)
        assert stage.prompts(session) == []
        stage.people.set_state(first, "Done")
        assert (await stage.final(session))[0] == "response"
        assert wording.waiting.UNBLOCKED in stage.thoughts(session)


async def test_people_may_have_blocked_work_begin(make_stage: MakeStage) -> None:
    async with make_stage(tables="[issue]\nrespect_blockers = true") as stage:
        first, second = stage.issue("First"), stage.issue("Second")
        stage.people.block(second, by_issue=first)
        session = stage.mention("please fix it", issue=second)
        await stage.until_shown(session, "thought", "blocked by")
        stage.people.follow_up(session, "start anyway")
        assert (await stage.final(session))[0] == "response"


@pytest.mark.parametrize("wanted", [True, deep(False)])
@pytest.mark.deep
async def test_an_issue_with_a_pull_request_moves_to_review(make_stage: MakeStage, wanted: bool) -> None:
    async with make_stage(forge=True, tables=f"[issue]\nin_review = {str(wanted).lower()}") as stage:
        issue = stage.issue()
        session = await at_work(stage, issue=issue)
        writes(stage.workspace(session))
        commits(stage.workspace(session))
        stage.agent.release("work")
        await stage.final(session)
        await stage.quiet()
        state = stage.world.state(stage.world.issue(issue).state).name
        assert (state == "In Review") is wanted
