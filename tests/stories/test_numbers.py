"""What is counted is what happened: in the ledger, in Linear, after a restart and after a crash."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from dragoman.cli import main
from dragoman.sim.faults import Fault
from dragoman.sim.script import Ask, Fail, Say, Use
from dragoman.web import metrics
from tests.stories.conftest import MakeStage
from tests.stories.world import DEADLINE_S, LOOK_S, Stage
from tests.web.sockets import Answer, ask, get, request

COLOUR = Ask(question="Which colour?", options=(("Red", "warm"), ("Blue", "cold")))
WAITS = Use(tool="bash", args={"command": "wait tool"})

Numbers = dict[tuple[str, ...], float]


async def ask_for(stage: Stage, path: str) -> Answer:
    return await get(f"http://127.0.0.1:{stage._port}", path)


async def stats(stage: Stage, query: str) -> Answer:
    assert stage.service is not None
    key = f"Authorization: Bearer {stage.service.operator_key}"
    asked = request(b"", method="GET", path=f"/api/v1/stats{query}", signature=None, more=[key])
    return await ask(f"http://127.0.0.1:{stage._port}", asked)


async def scraped(stage: Stage) -> Numbers:
    """The numbers by (name, label values); the durations by their counts."""
    answer = await ask_for(stage, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def labelled(numbers: Numbers, name: str) -> dict[Any, float]:
    found = {key[1:]: value for key, value in numbers.items() if key[0] == name and value}
    return {key[0] if len(key) == 1 else key: value for key, value in found.items()}


def shown(stage: Stage) -> dict[Any, float]:
    """The activities that Linear has of us, as they are counted."""
    rows = [row for session in stage.world.sessions for row in stage.world.activities(session, vanished=True)]
    return dict(Counter(row.kind for row in rows if row.author == stage.world.agent.id))


def counted_as_shown(numbers: Numbers) -> dict[Any, float]:
    """Those that Linear has taken; fleeting ones that came to nothing are counted as dropped."""
    counted = labelled(numbers, "dragoman_activities_total")
    assert {outcome for outcome, _ in counted} <= {"done", "dropped"}
    return {kind: number for (outcome, kind), number in counted.items() if outcome == "done"}


async def played(stage: Stage) -> list[str]:
    """Four sessions: answered twice, answered after a question, stopped, failed."""
    stage.agent.plays("simple", Say(text="Done."))
    stage.agent.plays("again", Say(text="Done again."))
    stage.agent.plays("ask", COLOUR, Say(text="{answer}"))
    stage.agent.plays("stop", WAITS, Say(text="never said"))
    stage.agent.plays("fail", Fail(status=400, message="no such thing"))
    simple = stage.mention("fix simple")
    await stage.final(simple)
    stage.people.follow_up(simple, "again")
    await stage.final(simple, 2)
    asks = stage.mention("fix ask")
    await stage.until_shown(asks, "elicitation")
    numbers = await scraped(stage)
    assert (numbers["dragoman_open_asks",], numbers["dragoman_sessions", "active"]) == (1, 2)
    stage.people.answer(asks, "Red")
    await stage.final(asks)
    stops = stage.mention("fix stop")
    await stage.until_shown(stops, "action", "wait tool")
    stage.people.stop(stops)
    await stage.final(stops)
    fails = stage.mention("fix fail")
    assert (await stage.final(fails))[0] == "error"
    return [simple, asks, stops, fails]


def check_against_the_world(stage: Stage, numbers: Numbers) -> None:
    assert labelled(numbers, "dragoman_sessions") == {"active": 4}
    assert labelled(numbers, "dragoman_turns_total") == {"answered": 3, "stopped": 1, "failed": 1}
    assert counted_as_shown(numbers) == shown(stage)
    accepted = sum(one.body["type"] == "AgentSessionEvent" for one in stage.linear.hooks.deliveries)
    assert labelled(numbers, "dragoman_deliveries_total")["accepted"] == accepted
    assert numbers["dragoman_open_asks",] == numbers["dragoman_starts_waiting",] == 0
    assert numbers["dragoman_ledger_up",] == 1
    assert numbers["dragoman_tokens_total",] > 0
    assert "linear" not in labelled(numbers, "dragoman_effect_age_seconds")


def command(stage: Stage, monkeypatch: pytest.MonkeyPatch, *arguments: str, given: str | None = None) -> Result:
    """The command line beside the service."""
    monkeypatch.chdir(stage.folder)
    monkeypatch.setenv("DRAGOMAN_DATA_DIR", str(stage.folder / "data"))
    monkeypatch.setenv("DRAGOMAN_CONFIG", str(stage.folder / "dragoman.toml"))
    return CliRunner().invoke(main, arguments, input=given, catch_exceptions=False)


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "KEPT_S", 0.0)
    monkeypatch.setattr(metrics, "LEDGER_S", DEADLINE_S)


@pytest.mark.deep
async def test_the_numbers_of_a_run_are_those_of_ledger_and_linear_after_a_restart_too(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        await played(stage)
        await stage.quiet()
        numbers = await scraped(stage)
        check_against_the_world(stage, numbers)
        assert numbers["dragoman_turn_seconds_count",] == numbers["dragoman_first_activity_seconds_count",] == 5
        assert numbers["dragoman_webhook_ack_seconds_count",] == sum(
            len(delivery.attempts) for delivery in stage.linear.hooks.deliveries
        )
        assert numbers["dragoman_opencode_up",] == 1
        assert 0 < numbers["dragoman_linear_quota_left",] <= 5_000
        assert numbers["process_resident_memory_bytes",] > 1e7
        await stage.stop()
        await stage.start()
        again = await scraped(stage)
        check_against_the_world(stage, again)
        assert again["dragoman_turn_seconds_count",] == 0


@pytest.mark.deep
async def test_a_crash_makes_no_number_wrong(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", WAITS, Say(text="Done."))
        stage.linear.faults.order(Fault(kind="hang_after", operation="agentActivityCreate", content_type="response"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        stage.agent.release("tool")
        await stage.final(session)
        await stage.kill()  # Linear has the answer, and nobody was told
        await stage.start()
        async with asyncio.timeout(DEADLINE_S):
            while counted_as_shown(numbers := await scraped(stage)) != shown(stage):  # noqa: ASYNC110 - the service is another process
                await asyncio.sleep(LOOK_S)
        assert labelled(numbers, "dragoman_turns_total") == {"answered": 1}
        assert numbers["dragoman_tokens_total",] > 0


async def test_the_statistics_of_a_run_tell_it_by_team_user_repository_model_and_day(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_stage() as stage:
        await played(stage)
        await stage.quiet()
        report: dict[str, Any] = {}
        for by, groups in (
            ("team", ["ENG"]),
            ("repository", ["acme/shop"]),
            ("user", ["Alice Example"]),
            ("model", ["scripted/story"]),
        ):
            report = json.loads(command(stage, monkeypatch, "stats", "--by", by, "--json").stdout)
            assert [one["group"] for one in report["groups"]] == groups
            assert report["groups"][0] | {"group": "all"} == report["total"]
        total = report["total"]
        assert (total["sessions"], total["turns"], total["answered"], total["failed"], total["stopped"]) == (
            4,
            5,
            3,
            1,
            1,
        )
        assert (total["asks"], total["under_way"], total["refused"]) == (1, 0, 0)
        assert 0 < total["first_p50_s"] <= total["first_p95_s"] < DEADLINE_S
        assert 0 < total["turn_p50_s"] <= total["turn_p95_s"] < DEADLINE_S
        assert total["tokens"] > 0
        assert (await stats(stage, "?by=user")).json["total"] == total
        header, row = command(stage, monkeypatch, "stats", "--since", "1h", "--csv").stdout.splitlines()
        assert dict(zip(header.split(","), row.split(","), strict=True))["turns"] == "5"
        table = command(stage, monkeypatch, "stats", "--by", "day").stdout.splitlines()
        assert table[-1].split()[:7] == ["all", "4", "5", "3", "1", "1", "0"]
        assert all(len(line) <= 100 for line in table)


@pytest.mark.deep
async def test_a_recorded_session_replays_to_where_it_stands(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_stage(session={"while_busy": "queue"}) as stage:
        sessions = [*await played(stage), stage.mention("fix stop it not")]
        await stage.until_shown(sessions[-1], "action", "wait tool")
        stage.people.follow_up(sessions[-1], "again")  # waits for its turn, as the configuration has it
        await stage.until_heard(sessions[-1], "Prompted")
        stage.agent.release("tool")
        await stage.final(sessions[-1], 2)
        await stage.quiet()
        for session in sessions:
            for form in ("json", "ndjson"):
                exported = command(stage, monkeypatch, "sessions", "export", session, "--format", form)
                assert exported.exit_code == 0
                replayed = command(stage, monkeypatch, "replay", "-", given=exported.stdout)
                assert replayed.stdout.endswith("The end is exactly the stored session.\n"), replayed.stdout
                assert replayed.exit_code == 0
        exported = command(stage, monkeypatch, "sessions", "export", sessions[3])
        lines = command(stage, monkeypatch, "replay", "-", given=exported.stdout).stdout.splitlines()
        assert "SessionOpened    Resting → Starting    Post Thought" in lines[0]
        assert any("RunSettled" in line and "Working → Resting" in line and "Post Failure" in line for line in lines)
