"""kill -9 in the middle of a review: one prompt, one reply in each thread, one final."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from dragoman.sim.script import Say
from tests.marks import deep
from tests.stories.conftest import MakeStage
from tests.stories.reviewing import BY_HOOK, FIXING, HOOKED, Pull, fixes, plan_fix
from tests.stories.test_shipping import at_work, commits, writes
from tests.stories.world import Stage

ANSWERED = "Renamed.\n\nReply to 1: Done.\nReply to 2: It is plus now."


async def reviewed(stage: Stage) -> Pull:
    """Work that was handed in and then reviewed: two things to answer."""
    session = await at_work(stage)
    writes(stage.workspace(session))
    commits(stage.workspace(session))
    stage.agent.release("work")
    await stage.final(session)
    pull = Pull(stage, session)
    pull.reviewed("Nearly.", lines=(("add.py", 1, "Call it plus"),))
    return pull


async def ends_once(pull: Pull) -> None:
    """The round is answered: once in Linear, once in each thread."""
    stage = pull.stage
    kind, body = await stage.final(pull.session, 2)
    assert (kind, body.startswith("Renamed.")) == ("response", True)
    await stage.until(lambda: pull.says() and pull.says("beside"), "the replies")
    assert len([text for text in stage.prompts(pull.session) if "On your pull request" in text]) == 1
    await pull.people.deliver(copies=2)
    await stage.until_known(lambda: nothing_to_look_at(stage), "the looks")
    assert [one["body"].startswith("It is plus now.") for one in pull.says()] == [True]
    assert [one["body"].startswith("@rita Done.") for one in pull.says("beside")] == [True]
    assert len(stage.finals(pull.session)) == 2


async def nothing_to_look_at(stage: Stage) -> bool:
    """Whether every look that was asked for is done."""
    with closing(sqlite3.connect(stage.folder / "data" / "dragoman.db")) as ledger:
        looks = ledger.execute("SELECT count(*) FROM effects WHERE kind LIKE 'look:%' AND done_at IS NULL")
        return int(looks.fetchone()[0]) == 0


@pytest.mark.deep
async def test_what_was_answered_with_200_is_looked_at_after_a_crash(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, apart=True, settings=HOOKED, session=BY_HOOK) as stage:
        pull = await reviewed(stage)
        held = stage.forge.hold("reviews")
        assert await pull.people.deliver() == [200, 200]
        await stage.until(held.reached.is_set, "the look")
        await stage.kill()
        held.release()
        plan_fix(stage, ANSWERED)
        await stage.start()
        await stage.until_shown(pull.session, "action", "wait fixing")
        await fixes(pull, "plus.py")
        await ends_once(pull)


@pytest.mark.deep
async def test_a_crash_while_the_agent_works_on_a_review(make_stage: MakeStage) -> None:
    async with make_stage(forge=True, apart=True, settings=HOOKED, session=BY_HOOK) as stage:
        pull = await reviewed(stage)
        plan_fix(stage, ANSWERED)
        await pull.people.deliver()
        await stage.until_shown(pull.session, "action", "wait fixing")
        await stage.kill()
        await stage.start()
        for hook in pull.people.hooks[-2:]:
            assert await pull.people.send(hook) == 200
        await fixes(pull, "plus.py")
        await ends_once(pull)


@pytest.mark.parametrize("after", [deep(False), deep(True)])
async def test_a_crash_between_the_replies(make_stage: MakeStage, after: bool) -> None:
    async with make_stage(forge=True, apart=True, settings=HOOKED, session=BY_HOOK) as stage:
        pull = await reviewed(stage)
        stage.agent.plays("On your pull request", FIXING, Say(text=ANSWERED))
        await pull.people.deliver()
        await stage.until_shown(pull.session, "action", "wait fixing")
        held = stage.forge.hold("reply", after=after)
        stage.agent.release("fixing")
        await stage.until(held.reached.is_set, "the first reply")
        await stage.kill()
        held.cut()
        await stage.start()
        await ends_once(pull)
