"""The small pure pieces: causes, bounds, settings, what is written down."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.events.opencode import Aborted, Answered, Broke, Declined
from dragoman.errors import ConfigurationError, Refusal
from dragoman.opencode import adopt, wire
from dragoman.opencode.outcome import broke, cause_of, read_outcome
from dragoman.opencode.parts import INPUT_LIMIT, bounded_json, clipped, todos_of, tool_of
from dragoman.opencode.settings import configuration, enforced, environment, read_operator_configuration


def an_error(name: str = "APIError", message: str = "no", status: int | None = None) -> wire.MessageError:
    return wire.MessageError(name, wire.ErrorData(message=message, statusCode=status))


@pytest.mark.parametrize(
    "error,cause",
    [
        (an_error(status=401), "credentials"),
        (an_error(status=403), "credentials"),
        (an_error("ProviderAuthError"), "credentials"),
        (an_error(status=404), "not_found"),
        (an_error(status=400, message="The model gpt-x does not exist"), "not_found"),
        (an_error("UnknownError", "Model not found: nope/m. Did you mean: x?"), "not_found"),
        (an_error(status=429), "rate_limit"),
        (an_error(status=500), "server"),
        (an_error(status=529, message="Overloaded"), "server"),
        (an_error(message="Cannot connect to API: Unable to connect."), "network"),
        (an_error(status=504), "timeout"),
        (an_error("UnknownError", "The operation timed out."), "timeout"),
        (an_error("ContextOverflowError"), "context"),
        (an_error(status=400, message="maximum context length is 200000 tokens"), "context"),
        (an_error("MessageOutputLengthError"), "cut_off"),
        (an_error("ContentFilterError"), "cut_off"),
        (an_error("StructuredOutputError"), "model"),
        (an_error(status=400, message="tools.3: bad schema"), "model"),
        (an_error("SomethingNew", "?"), "other"),
    ],
)
def test_each_failure_has_a_cause(error: wire.MessageError, cause: str) -> None:
    assert broke(error).cause == cause


@pytest.mark.parametrize(
    "message,cause",
    [
        ("Rate limit reached for requests", "rate_limit"),
        ("fake error 429", "rate_limit"),
        ("fake error 500", "server"),
        ('{"message":"fake mid-stream error","type":"server_error","code":"500"}', "server"),
        ("Overloaded", "server"),
        ("Cannot connect to API: The socket connection was closed unexpectedly.", "network"),
        ("Connection reset by server", "network"),
        ("The operation timed out.", "timeout"),
        ("Something new", "other"),
    ],
)
def test_a_retry_tells_its_cause_in_words_only(message: str, cause: str) -> None:
    assert cause_of(message) == cause


def test_a_failure_without_words_says_its_name() -> None:
    assert broke(an_error("MessageOutputLengthError", "")).message == "MessageOutputLengthError"


def answer(finish: str | None, *parts: wire.Part, completed: float | None = 2.0) -> list[wire.Message]:
    info = wire.MessageInfo(id="msg_2", role="assistant", time=wire.Span(created=1, completed=completed), finish=finish)
    return [wire.Message(wire.MessageInfo(id="msg_1", role="user")), wire.Message(info, list(parts))]


def text(words: str, *, synthetic: bool = False, ignored: bool = False) -> wire.Part:
    return wire.Part(
        id=f"prt_{words}", messageID="msg_2", type="text", text=words, synthetic=synthetic, ignored=ignored
    )


def tool(error: str) -> wire.Part:
    state = wire.ToolState("error", error=error)
    return wire.Part(id="prt_t", messageID="msg_2", type="tool", tool="bash", state=state)


def test_outcomes_of_small_runs() -> None:
    no, yes = "The user rejected permission to use this specific tool call.", " with the following feedback: use pwd"
    assert read_outcome([], []) is None
    assert isinstance(read_outcome([], [an_error()]), Broke)
    assert read_outcome(answer("stop", text("bye"))[:1], []) == "cut"
    assert read_outcome(answer("stop", text("bye"))[:1], [an_error("MessageAbortedError")]) == Aborted()
    assert read_outcome(answer("tool-calls", text("so"), tool(no)), []) == Declined()
    assert read_outcome(answer("tool-calls", tool(no + yes)), []) == "cut"
    assert read_outcome(answer(None), []) == Aborted()
    assert read_outcome(answer("stop", completed=None), []) == "cut"


def test_the_last_words_are_those_after_the_last_tool_without_synthetic_ones() -> None:
    parts = (
        text("before"),
        tool("x"),
        text("one"),
        text("hidden", synthetic=True),
        text("not", ignored=True),
        text("two"),
    )
    outcome = read_outcome(answer("stop", *parts), [])
    assert isinstance(outcome, Answered)
    assert outcome.text == "one\n\ntwo"


@given(st.text(max_size=300), st.integers(min_value=60, max_value=200))
def test_clipping_keeps_the_limit_and_both_ends(words: str, limit: int) -> None:
    short = clipped(words, limit)
    assert len(short) <= limit
    if len(words) <= limit:
        assert short == words
    else:
        assert short[0] == words[0]
        assert short[-1] == words[-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3_000),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=900), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
def test_bounded_arguments_are_short_and_still_json(value: object) -> None:
    bounded = bounded_json(json.dumps(value).encode())
    assert len(bounded) <= INPUT_LIMIT
    json.loads(bounded)


def test_the_arguments_of_a_large_write_keep_its_path() -> None:
    state = wire.ToolState(
        "completed", input=msgspec.Raw(json.dumps({"filePath": "/w/a.txt", "content": "x" * 50_000}).encode())
    )
    made = tool_of(wire.Part(id="p", messageID="m", type="tool", tool="write", state=state))
    assert json.loads(made.input)["filePath"] == "/w/a.txt"


def test_a_todowrite_with_other_arguments_is_no_plan() -> None:
    state = wire.ToolState("running", input=msgspec.Raw(b'{"todos":"all"}'))
    assert todos_of(wire.Part(id="p", messageID="m", type="tool", tool="todowrite", state=state)) is None


# ── settings ─────────────────────────────────────────────────────────────
WORKSPACES = Path("/srv/workspaces")


def test_the_operator_s_settings_go_over_ours() -> None:
    theirs = {"snapshot": True, "permission": {"doom_loop": "ask", "bash": "ask"}, "provider": {"x": {}}}
    made = configuration(model="a/b", sandboxed=True, workspaces=WORKSPACES, operator=theirs)
    assert made["snapshot"] is True
    assert made["provider"] == {"x": {}}
    assert made["permission"] == {
        "external_directory": {"*": "allow", "/srv/workspaces/*": "deny"},
        "doom_loop": "ask",
        "bash": "ask",
    }


def test_without_a_sandbox_nothing_outside_is_allowed_and_nothing_asks() -> None:
    made = configuration(model=None, sandboxed=False, workspaces=WORKSPACES, operator={})
    assert made["permission"] == {"external_directory": "deny", "doom_loop": "deny"}
    assert "model" not in made


def test_what_safety_needs_is_enforced() -> None:
    shell = Path("/s/sh")
    operator: dict[str, object] = {"share": "auto", "shell": "/bin/bash", "enabled_providers": ["c"]}
    assert enforced(model="a/b", shell=shell, operator=operator) == {
        "autoupdate": False,
        "share": "disabled",
        "shell": "/s/sh",
        "enabled_providers": ["a", "c"],
    }
    assert "enabled_providers" not in enforced(model=None, shell=shell, operator={})


def test_the_server_gets_only_the_environment_that_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAR_WEBHOOK_SECRET", "whsec")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    home = Path("/h")
    made = environment(
        home=home, config=home / "c", fixed={"share": "disabled"}, shell=home / "sh", path="/bin", password="pw",
        instance="i", pass_on=["ANTHROPIC_API_KEY"],
    )  # fmt: skip
    assert made["HOME"] == "/h"
    assert made["ANTHROPIC_API_KEY"] == "sk-ant"
    assert made["HTTPS_PROXY"] == "http://proxy:1"
    assert "whsec" not in made.values()
    assert json.loads(made["OPENCODE_CONFIG_CONTENT"]) == {"share": "disabled"}


@pytest.mark.parametrize("content", [b"[]", b"{", b'"x"', None])
def test_an_operator_s_file_that_is_no_object_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "opencode.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="OPENCODE_CONFIG"):
        read_operator_configuration(path)
    assert read_operator_configuration(None) == {}


# ── what is written down ─────────────────────────────────────────────────
def test_the_state_comes_back_and_is_readable_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    assert adopt.read_state(path) is None
    state = adopt.ServerState(pid=1, started=2, port=3, password="p", instance="i", settings="s")
    old_mask = os.umask(0)
    try:
        adopt.write_state(path, state)
    finally:
        os.umask(old_mask)
    assert adopt.read_state(path) == state
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"{half")
    assert adopt.read_state(path) is None


async def test_one_process_at_a_time_tends_a_data_folder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    async with adopt.exclusive(lock):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        with pytest.raises(Refusal, match="Another process is starting or ending OpenCode"):
            async with adopt.exclusive(lock, deadline_s=0.2):
                pass
    async with adopt.exclusive(lock, deadline_s=0.2):
        assert lock.exists()


def test_a_process_id_that_was_used_again_is_not_our_server() -> None:
    started = adopt.started_at(os.getpid())
    assert started is not None
    state = adopt.ServerState(pid=os.getpid(), started=started, port=1, password="p", instance="nobody", settings="s")
    assert adopt.is_alive(state)
    assert not adopt.is_alive(msgspec.structs.replace(state, started=started + 1))
    assert adopt.started_at(2**22 + 1) is None


@pytest.mark.parametrize(
    "written,read",
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"cut \uDE00 here", "cut \ufffd here"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"a path \\ud83d and \ud83d", "a path \\ud83d and \ufffd"),
    ],
)
def test_half_a_character_in_an_output_does_not_blind_us(written: str, read: str) -> None:
    """OpenCode cuts outputs at a number of UTF-16 units; one such row must not make the whole thread unreadable."""
    row = '[{"info":{"id":"msg_1","role":"user"},"parts":[{"id":"p","messageID":"msg_1","type":"text","text":"%s"}]}]'
    (message,) = wire.decode_messages((row % written).encode())
    assert message.parts[0].text == read
    with pytest.raises(wire.WireError):
        wire.decode_messages(b'[{"info": 5}]')
