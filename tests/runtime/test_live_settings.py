"""Settings that change while the service runs: read again, taken up from the next turn, and never a reason to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dragoman import config
from dragoman.config import LIVE, Settings
from dragoman.runtime.live_settings import LiveSettings
from dragoman.runtime.service import Service
from tests.runtime.test_service import environment_in
from tests.runtime.waiting import until

TOML = '[[repositories]]\nname = "a/b"\nurl = "https://127.0.0.1:9/x.git"\n'


@pytest.fixture
def live(tmp_path: Path) -> LiveSettings:
    """Settings of a folder in which `dragoman.toml` and `.env` may be written."""
    load = partial(config.load, environment_in(tmp_path), folder=tmp_path)
    return LiveSettings(load(), load)


@pytest.fixture
async def watching(live: LiveSettings) -> AsyncIterator[LiveSettings]:
    task = asyncio.create_task(live.watch())
    yield live
    task.cancel()


async def test_a_changed_file_is_taken_up_without_a_signal(watching: LiveSettings, tmp_path: Path) -> None:
    heard: list[Settings] = []
    watching.apply_to(heard.append)
    (tmp_path / "dragoman.toml").write_text(TOML.replace("a/b", "c/d") + '[session]\nwhile_busy = "queue"\n')
    await until(lambda: len(heard) == 2)
    assert [repository.name for repository in heard[1].repositories] == ["c/d"]
    assert watching.current.rules.while_busy == "queue"


@pytest.mark.deep
async def test_a_file_that_is_replaced_by_another_is_taken_up(watching: LiveSettings, tmp_path: Path) -> None:
    (tmp_path / "new").write_text(TOML.replace("a/b", "c/d"))
    (tmp_path / "new").rename(tmp_path / "dragoman.toml")
    await until(lambda: watching.current.repositories[0].name == "c/d")


@pytest.mark.deep
async def test_a_wrong_file_is_told_and_the_last_good_settings_stay_until_it_is_mended(
    watching: LiveSettings, tmp_path: Path
) -> None:
    before = watching.current
    with capture_logs() as lines:
        (tmp_path / "dragoman.toml").write_text(TOML + '[session]\nwhile_bussy = "queue"\n')
        await until(lambda: watching.problems)
    [problem] = watching.problems
    assert problem.startswith(f"{tmp_path / 'dragoman.toml'}:5: [session] 'while_bussy' is no setting; did you mean")
    assert [line["problem"] for line in lines if line["event"] == "settings.refused"] == [problem]
    assert watching.current is before
    (tmp_path / "dragoman.toml").write_text(TOML + '[session]\nwhile_busy = "queue"\n')
    await until(lambda: watching.current.rules.while_busy == "queue")
    assert not watching.problems


def test_what_needs_a_restart_is_named_and_waits(live: LiveSettings, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENCODE_AGENT=plan\nSESSION_MAX_PER_ISSUE_HOUR=3\nDRAGOMAN_SANDBOX=off\n")
    (tmp_path / "dragoman.toml").write_text(TOML + '[opencode]\npass_env = ["KEY"]\n')
    with capture_logs() as lines:
        live.reload()
    assert live.waiting == ("DRAGOMAN_SANDBOX", "OPENCODE_AGENT", "[opencode] pass_env")
    assert (live.current.max_per_issue_hour, live.current.opencode_agent, live.current.pass_env) == (3, "build", ())
    [reloaded] = [line for line in lines if line["event"] == "settings.reloaded"]
    assert reloaded["changed"] == ["SESSION_MAX_PER_ISSUE_HOUR"]
    (tmp_path / ".env").unlink()
    (tmp_path / "dragoman.toml").write_text(TOML)
    live.reload()
    assert not live.waiting


def test_a_new_doubt_is_told_once(live: LiveSettings, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SESSION_TIMEOUT_MINUTE=3\n")
    with capture_logs() as lines:
        live.reload()
        live.reload()
    assert len([line for line in lines if line["event"] == "setting.doubtful"]) == 1


def test_every_field_that_may_change_is_one_of_the_settings() -> None:
    assert set(Settings.__struct_fields__) >= LIVE


async def test_the_parts_of_a_service_take_over_what_changed(tmp_path: Path) -> None:
    load = partial(config.load, environment_in(tmp_path), folder=tmp_path)
    service = Service(load(), load=load)
    await service.start()
    try:
        (tmp_path / ".env").write_text(
            "MAX_CONCURRENT_SESSIONS=3\nSESSION_MAX_PER_ISSUE_HOUR=0\nPUBLIC_URL=https://x.y\n"
        )
        (tmp_path / "dragoman.toml").write_text(TOML.replace("a/b", "c/d") + "[session]\nheartbeat_s = 60\n")
        service.live.reload()
        assert (service.engine.rules.heartbeat_s, service.engine.crowd) == (60.0, 0)
        assert [repository.name for repository in service.desk._repositories] == ["c/d"]
        assert service._start_gate.places == 3
        assert "settings: a restart is needed for PUBLIC_URL" in service.troubles()
        (tmp_path / "dragoman.toml").write_text("nonsense")
        service.live.reload()
        assert [trouble for trouble in service.troubles() if "cannot be read as TOML" in trouble]
    finally:
        await service.stop()
