"""Killed again and again at any moment: what `/metrics` says is what the ledger holds, and what Linear was shown."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

import pytest

from dragoman.sim.script import Ask, Fail, Say, Think, Use
from dragoman.web import metrics
from tests.stories.conftest import MakeStage
from tests.stories.test_numbers import Numbers, counted_as_shown, labelled, scraped, shown
from tests.stories.world import Stage

QUESTION = Ask(question="Which?", options=(("One", ""), ("Two", "")))
TOOL = Use(tool="bash", args={"command": "echo done"})
KILLS = 6


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "KEPT_S", 0.0)


@pytest.mark.deep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
async def test_after_crashes_at_random_moments_the_metrics_are_the_sums_of_the_ledger(
    make_stage: MakeStage, seed: int
) -> None:
    chance = random.Random(seed)
    async with make_stage(apart=True) as stage:
        stage.agent.plays("fix", Think(text="Hm."), TOOL, Say(text="Fixed."))
        stage.agent.plays("ask", QUESTION, Say(text="{answer}"))
        stage.agent.plays("break", Fail(status=400, message="no such thing"))
        sessions: dict[str, int] = {}
        answered: set[str] = set()
        for _ in range(KILLS):
            for words in chance.sample(["fix it", "fix by asking: ask", "fix what will break"], 2):
                sessions[stage.mention(words)] = 1
            if chance.random() < 0.5:
                session = chance.choice(list(sessions))
                sessions[session] += len(stage.finals(session)) == sessions[session]
                stage.people.follow_up(session, "fix more")
            await _some_steps(stage, answered, chance.randrange(1, 12))
            await stage.kill()
            await stage.start()
            _send_again(stage)
        await stage.until(lambda: _look(stage, answered, lambda: _all_rest(stage)), "rest")
        await stage.until_delivered()
        numbers = await _settled(stage)
        _compare(stage, numbers)


def _send_again(stage: Stage) -> None:
    """What was not answered because nobody was there comes again, as Linear does it."""
    for delivery in stage.linear.hooks.deliveries:
        if delivery.state in ("waiting", "failed"):
            stage.linear.hooks.resend(delivery)


def _look(stage: Stage, answered: set[str], true: Callable[[], bool]) -> bool:
    """Answer what is asked, once each; whether it is true then."""
    for session in list(stage.world.sessions):
        asked = stage.world.open_elicitation(session)
        if asked is not None and asked.id not in answered:
            answered.add(asked.id)
            stage.people.answer(session, "One")
    return true()


async def _some_steps(stage: Stage, answered: set[str], steps: int) -> None:
    """Wait until people were shown so many more activities, or all there will be."""
    before = sum(shown(stage).values())

    def moved() -> bool:
        return sum(shown(stage).values()) >= before + steps or _all_rest(stage)

    await stage.until(lambda: _look(stage, answered, moved), "some steps")


def _all_rest(stage: Stage) -> bool:
    """Whether every session has had an end after the last thing that people wrote."""
    for session in stage.world.sessions:
        kinds = [row.kind for row in stage.world.activities(session)]
        written = max((at for at, kind in enumerate(kinds) if kind == "prompt"), default=-1)
        if not any(kind in ("response", "error") for kind in kinds[written + 1 :]):
            return False
    return True


async def _settled(stage: Stage) -> Numbers:
    """The numbers when nothing is under way any more."""
    found: list[Numbers] = []

    async def quiet() -> bool:
        found[:] = [await scraped(stage)]
        busy = {"linear", "start", "agent", "abort"} & set(labelled(found[0], "dragoman_effect_age_seconds"))
        return not busy and counted_as_shown(found[0]) == shown(stage)

    await stage.until_known(quiet, "silence")
    return found[0]


def _compare(stage: Stage, numbers: Numbers) -> None:
    connection = sqlite3.connect(stage.folder / "data" / "dragoman.db")  # the service is another process
    try:

        def rows(sql: str) -> dict[object, float]:
            return {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in connection.execute(sql) if row[-1]}

        by_kind = (
            "SELECT outcome, replace(lower(json_extract(body, '$.value.activity.type')), 'failure', 'error'), count(*) "
            "FROM effects WHERE kind = 'Post' AND done_at IS NOT NULL GROUP BY 1, 2"
        )
        assert labelled(numbers, "dragoman_activities_total") == rows(by_kind)
        assert labelled(numbers, "dragoman_sessions") == rows("SELECT status, count(*) FROM sessions GROUP BY 1")
        ended = "SELECT outcome, count(*) FROM turns WHERE ended_at IS NOT NULL GROUP BY 1"
        assert labelled(numbers, "dragoman_turns_total") == rows(ended)
        verdicts = "SELECT verdict, count(*) FROM deliveries GROUP BY 1"
        assert labelled(numbers, "dragoman_deliveries_total") == rows(verdicts)
        [sums] = connection.execute("SELECT sum(asks), sum(tokens), sum(cost), count(*) FROM turns").fetchall()
        asks, tokens, cost, turns = sums
        assert (numbers["dragoman_asks_total",], numbers["dragoman_tokens_total",]) == (asks, tokens)
        assert numbers["dragoman_cost_dollars_total",] == pytest.approx(cost)
        [(said_tokens, said_cost)] = connection.execute("SELECT sum(tokens), sum(cost) FROM messages").fetchall()
        assert (said_tokens, said_cost) == (tokens, pytest.approx(cost))
        begun = "SELECT sum(json_extract(body, '$.value.turns')) FROM sessions"
        assert connection.execute(begun).fetchone() == (turns,)
        assert len(stage.world.sessions) == sum(labelled(numbers, "dragoman_sessions").values())
        assert numbers["dragoman_open_asks",] == numbers["dragoman_starts_waiting",] == 0
    finally:
        connection.close()
