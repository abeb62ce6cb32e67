"""The library beside a running service, and what it says when it cannot have its ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dragoman import LibrarySettings, SessionManager, config, load_library_settings
from dragoman.core.choosing import Handling
from dragoman.core.limits import Rules
from dragoman.errors import ConfigurationError, LedgerError, Refusal
from dragoman.ledger import sqlite_file
from dragoman.sim.script import Pause, Say
from tests.library.contexts import CONTEXT, a_context
from tests.runtime.test_service import environment_in
from tests.runtime.waiting import until
from tests.stories.conftest import MakeStage, upstream
from tests.stories.world import Stage

__all__ = ["upstream"]


@pytest.fixture
def make_stage(tmp_path: Path, upstream: Path) -> MakeStage:
    return lambda **how: Stage(tmp_path, upstream, **how)


def the_ledger(stage: Stage) -> LibrarySettings:
    return LibrarySettings(ledger_url=f"sqlite:///{stage.folder}/data/dragoman.db")


@pytest.mark.deep
async def test_a_session_of_linear_keeps_its_id_and_is_completed_beside_the_running_service(
    make_stage: MakeStage,
) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("", (Say(text="Well,"), Pause(until="never")))
        session = stage.mention("please fix it")
        await stage.until_written(session, "please fix it")
        async with SessionManager.open(the_ledger(stage)) as manager:

            async def active() -> bool:
                found = await manager.get_session(session)
                return found is not None and found.status == "active"

            await until(active)
            found = await manager.get_session(session)
            assert found is not None
            assert (found.id, found.status, found.context) == (session, "active", None)
            assert found.messages[0].text.endswith("please fix it")
            await manager.complete_session(session, "shipped by hand")
            assert "completed from outside" in (await stage.final(session))[1]

            async def completed() -> bool:
                return (await manager.get_stats()).completed == 1

            await until(completed)


async def test_program_and_service_see_what_the_other_keeps(make_stage: MakeStage) -> None:
    async with make_stage() as stage, SessionManager.open(the_ledger(stage)) as manager:
        made = await manager.create_session(CONTEXT)
        session = stage.mention("fix it, please")
        assert await stage.final(session)
        assert {each.id for each in await manager.get_active_sessions()} == {made.id, session}
        details = await stage.details(made.id)
        assert (details.summary.status, details.session.context) == ("creating", CONTEXT)
        await manager.delete_session(made.id)


async def test_work_under_way_is_not_deleted(make_stage: MakeStage) -> None:
    async with make_stage() as stage, SessionManager.open(the_ledger(stage)) as manager:
        stage.agent.plays("", Pause(until="go"))
        session = stage.mention("please fix it")
        await stage.until_written(session, "please fix it")
        with pytest.raises(Refusal, match="complete the session first"):
            await manager.delete_session(session)
        with pytest.raises(Refusal, match="has work under way"):
            await manager.increment_error_count(session)
        stage.agent.release("go")
        await stage.final(session)


async def test_several_programs_on_one_file_lose_nothing(tmp_path: Path) -> None:
    settings = LibrarySettings(ledger_url=f"sqlite:///{tmp_path}/shared.db")
    async with SessionManager.open(settings) as one, SessionManager.open(settings) as other:
        session = await one.create_session(CONTEXT)
        await asyncio.gather(
            *(manager.add_message(session.id, "user", f"{n}") for n in range(20) for manager in (one, other))
        )
        found = await other.get_session(session.id)
        assert found is not None
        assert found.message_count == len(found.messages) == 40


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    settings = LibrarySettings(ledger_url=f"sqlite:///{tmp_path}/kept.db")
    async with SessionManager.open(settings) as manager:
        session = await manager.create_session(CONTEXT)
        kept = await manager.add_message(session.id, "user", "Hello")
    async with SessionManager.open(settings) as manager:
        assert await manager.get_session(session.id) == kept


async def test_the_cleanup_happens_by_itself() -> None:
    now = [1_000.0]
    settings = LibrarySettings(cleanup_interval_minutes=0.0001)
    async with SessionManager.open(settings, clock=lambda: now[0]) as manager:
        session = await manager.create_session(CONTEXT)
        now[0] += 1_801.0

        async def over() -> bool:
            found = await manager.get_session(session.id)
            return found is not None and found.status == "timeout"

        await until(over)


# ── settings ─────────────────────────────────────────────────────────────
def test_the_settings_are_those_of_the_service_and_want_no_secret_of_linear(tmp_path: Path) -> None:
    environment = {
        "SESSION_STORAGE_URL": "sqlite:////var/lib/dragoman/dragoman.db",
        "SESSION_TIMEOUT_MINUTES": "45",
        "SESSION_MAX_MESSAGES": "80",
        "SESSION_CLEANUP_INTERVAL_MINUTES": "7",
        "ENABLE_SESSIONS": "false",
    }
    settings = load_library_settings(environment, folder=tmp_path)
    assert settings == LibrarySettings(
        ledger_url="sqlite:////var/lib/dragoman/dragoman.db",
        enabled=False,
        cleanup_interval_minutes=7,
        rules=Rules(timeout_s=2_700.0, max_messages=80, sessions=False, handling=Handling(names=("OpenCode",))),
    )
    # What the service works with is the same, once there is a file that names repositories.
    of_service = environment_in(tmp_path, **environment)
    whole = config.load(of_service, folder=tmp_path)
    assert LibrarySettings.of(whole) == load_library_settings(of_service, folder=tmp_path)


def test_all_that_is_wrong_with_them_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        load_library_settings({"SESSION_TIMEOUT_MINUTES": "soon", "ENABLE_SESSIONS": "perhaps"}, folder=tmp_path)
    assert [problem.partition(" ")[0] for problem in wrong.value.problems] == [
        "ENABLE_SESSIONS",
        "SESSION_TIMEOUT_MINUTES",
    ]


async def test_a_manager_takes_the_settings_of_the_service(tmp_path: Path) -> None:
    whole = config.load(environment_in(tmp_path, SESSION_MAX_MESSAGES="7"), folder=tmp_path)
    async with SessionManager.open(whole) as manager:
        assert (await manager.create_session(a_context())).max_messages == 7


async def test_a_ledger_that_cannot_be_used_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_bytes(b"this is no database, but quite some text" * 100)
    with pytest.raises(Refusal, match=r"odd\.db"):
        async with SessionManager.open(LibrarySettings(ledger_url=f"sqlite:///{tmp_path}/odd.db")):
            pass
    with pytest.raises(ConfigurationError, match="sqlite:///file"):
        async with SessionManager.open(LibrarySettings(ledger_url="mysql://x")):
            pass


async def test_a_ledger_that_somebody_holds_is_said_to_be_and_taken_up_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 0.05)
    async with SessionManager.open(LibrarySettings(ledger_url=f"sqlite:///{tmp_path}/held.db")) as manager:
        holder = sqlite3.connect(tmp_path / "held.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process holds it: try again") as held:
            await manager.create_session(CONTEXT)
        assert held.value.retryable
        holder.execute("ROLLBACK")
        holder.close()
        await manager.create_session(CONTEXT)
        assert (await manager.get_stats()).total == 1
