"""The example of docs/how-to/library.md does what the page says, with a pretend OpenCode and with the real one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman import LibrarySettings, SessionManager
from dragoman.opencode.server import ManagedServer
from dragoman.sim.script import Fail, Say
from tests.conftest import CHECKOUT
from tests.library.contexts import CONTEXT
from tests.linear.recorded import changed
from tests.opencode.scripted import ScriptedModel
from tests.stories.agent_threads import text_of
from tests.stories.scripted_agent import ScriptedAgent

PAGE = CHECKOUT / "docs" / "how-to" / "library.md"
FIRST = changed("comment-create-mention", data__body="help me implement authentication plays:first")
SECOND = changed("comment-create-mention", data__body="add OAuth2 support plays:second")

Answer = Callable[[bytes], Awaitable[str]]


@pytest.fixture
def answer() -> Answer:
    """Give the page's own function."""
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(compile(example[1], str(PAGE), "exec"), names)  # noqa: S102  our own page
    function: Answer = names["answer"]
    return function


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LibrarySettings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_STORAGE_URL", f"sqlite:///{tmp_path}/library.db")
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("PROJECT", str(tmp_path / "project"))
    return LibrarySettings(ledger_url=f"sqlite:///{tmp_path}/library.db")


async def test_s50_a_second_comment_goes_into_the_same_conversation(
    answer: Answer, settings: LibrarySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedAgent(password="pass-word") as agent:
        monkeypatch.setenv("OPENCODE_SESSION_API_URL", agent.url)
        monkeypatch.setenv("OPENCODE_SESSION_TOKEN", agent.password)
        monkeypatch.setenv("OPENCODE_MODEL", "scripted/story")
        agent.plays("implement", Say(text="I'll help you implement it."))
        agent.plays("OAuth2", Say(text="I'll add OAuth2 support."))
        assert await answer(json.dumps({"type": "Issue"}).encode()) == ""
        assert await answer(FIRST) == "I'll help you implement it."
        assert await answer(SECOND) == "I'll add OAuth2 support."
        (thread,) = agent.threads.values()
        assert [("implement" in text_of(m), "OAuth2" in text_of(m)) for m in thread.users()] == [
            (True, False),
            (False, True),
        ]
        agent.plays("OAuth2", Fail(status=401, message="no key"))
        assert (await answer(SECOND)).startswith("🔐")
    async with SessionManager.open(settings) as manager:
        (session,) = await manager.get_active_sessions()
        assert session.opencode_session_id == thread.id
        assert [message.role for message in session.messages] == ["user", "assistant", "user", "assistant", "user"]
        assert session.error_count == 1


@pytest.mark.deep
@pytest.mark.needs_opencode
@pytest.mark.timeout(180)
async def test_the_example_works_with_the_real_opencode(
    answer: Answer, settings: LibrarySettings, tmp_path: Path, opencode_bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedModel() as model:
        model.plays["first"] = ["I'll help you implement it."]
        model.plays["second"] = ["I'll add OAuth2 support."]
        server = ManagedServer(
            opencode_bin, tmp_path / "data", tmp_path / "project", config=model.config(), model="play/m"
        )
        try:
            endpoint = await server.ensure()
            monkeypatch.setenv("OPENCODE_SESSION_API_URL", endpoint.url)
            monkeypatch.setenv("OPENCODE_SESSION_TOKEN", endpoint.password)
            monkeypatch.setenv("OPENCODE_MODEL", "play/m")
            assert await answer(FIRST) == "I'll help you implement it."
            assert await answer(SECOND) == "I'll add OAuth2 support."
        finally:
            await server.stop()
        told = str(model.requests[-1]["messages"])
        assert "Fix accessibility on checkout page" in told  # the context of the first is still there
        assert "I'll help you implement it." in told
    async with SessionManager.open(settings) as manager:
        (session,) = await manager.get_active_sessions()
        assert session.message_count == 4


async def test_s53_what_happens_to_sessions_is_told_to_the_programs_own_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with SessionManager.open(LibrarySettings()) as manager:
        caplog.set_level("INFO", "dragoman")
        session = await manager.create_session(CONTEXT)
        await manager.add_message(session.id, "user", "my words")
        await manager.update_session_status(session.id, "active")
        await manager.increment_error_count(session.id, "no answer")
        await manager.complete_session(session.id, "done")
    said = [record.getMessage() for record in caplog.records if record.name == "dragoman"]
    assert [line.partition(" ")[0] for line in said] == [
        "event='session.created'",
        "event='message.added'",
        "event='session.status_changed'",
        "event='session.error_counted'",
        "event='session.completed'",
    ]
    assert all(session.id in line for line in said)
    assert "my words" not in caplog.text
    assert capsys.readouterr() == ("", "")


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = "import dragoman, sys; print(sorted({'aiohttp', 'sqlite3', 'msgspec'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "[]\n"


def test_every_name_of_the_library_is_there_and_documented() -> None:
    for name in dragoman.__all__:
        assert getattr(dragoman, name), name
        if name != "__version__":
            assert (getattr(dragoman, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dragoman.nothing  # noqa: B018


def test_the_page_names_every_call_of_both_classes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for face in (dragoman.SessionManager, dragoman.OpenCodeClient):
        calls = [name for name in vars(face) if not name.startswith("_") and name not in ("open", "close")]
        assert [name for name in calls if f"`{name}(" not in page] == []
