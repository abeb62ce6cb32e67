"""Attacks by the agent, played on a real server: no canary of ours may appear in anything that it gets to see."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from dragoman.opencode.sandbox import sandbox_available
from tests.conftest import CHECKOUT
from tests.opencode.conftest import MODEL_KEY, Live, managed
from tests.opencode.scripted import Call, ScriptedModel

pytestmark = [
    pytest.mark.deep,
    pytest.mark.needs_opencode,
    pytest.mark.needs_bubblewrap,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]
ENV_CANARY, LEDGER_CANARY, REPOSITORY_CANARY, HOME_CANARY, KEY_CANARY = (
    f"canary-{name}-7c1e9f" for name in ("env", "ledger", "repository", "home", "keyfile")
)
CANARIES = (ENV_CANARY, LEDGER_CANARY, REPOSITORY_CANARY, HOME_CANARY, KEY_CANARY)
OVER_PROC = """
import glob
for name in glob.glob('/proc/*/environ') + glob.glob('/proc/*/task/*/environ') + glob.glob('/proc/*/cmdline'):
    try:
        print(name, open(name, 'rb').read())
    except OSError as error:
        print(name, error)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A place outside /tmp, which the sandbox replaces as a whole: the rules of the data folder must hold themselves."""
    parent = CHECKOUT / ".dev" / "tests"
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=parent))
    (made / "data" / "repositories").mkdir(parents=True)
    (made / "home").mkdir()
    (made / "data" / "ledger.sqlite").write_text(LEDGER_CANARY)
    (made / "data" / "repositories" / "config").write_text(REPOSITORY_CANARY)
    (made / "home" / ".netrc").write_text(HOME_CANARY)
    (made / "app.pem").write_text(KEY_CANARY)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def held(folder: Path, opencode_bin: Path) -> AsyncIterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAR_ACCESS_TOKEN", ENV_CANARY)
        patch.setenv("HOME", str(folder / "home"))
        async with ScriptedModel() as model:
            server = managed(folder, opencode_bin, model, hidden=[folder / "app.pem"])
            try:
                found = Live(server, await server.ensure(), model, folder)
                yield found
                await found.client.close()
            finally:
                await server.stop()


async def seen(live: Live, play: str, *calls: Call) -> str:
    """All that the tools gave back, one call after the other."""
    directory = live.workspace(play)
    live.model.plays[play] = [*([call] for call in calls), "fin"]
    view = await live.begin(directory, f"plays:{play}")
    await live.settle(view)
    results = [m["content"] for m in live.model.requests[-1]["messages"] if m["role"] == "tool"]
    assert len(results) == len(calls)
    return "\n".join(result if isinstance(result, str) else json.dumps(result) for result in results)


def bash(command: str) -> Call:
    return "bash", {"command": command, "description": "try"}


async def test_the_server_under_attack_is_held_in(held: Live) -> None:
    assert held.endpoint.sandboxed
    assert held.server.sandbox_missing == ""


async def test_commands_see_no_environment_but_their_own(held: Live) -> None:
    told = await seen(held, "environment", bash("env"), bash(f'python3 -c "{OVER_PROC}"'))
    assert "GIT_AUTHOR_NAME=" in told
    assert "/proc/self/environ" in told
    for secret in (*CANARIES, MODEL_KEY, held.endpoint.password, "OPENCODE_SERVER_PASSWORD"):
        assert secret not in told


async def test_commands_do_not_reach_what_is_ours(held: Live) -> None:
    data = held.folder / "data"
    told = await seen(
        held,
        "reach",
        bash(f"cat {data}/ledger.sqlite {data}/repositories/config {data}/opencode/server.json; ls -la {data}"),
        bash(f"cat {held.folder}/home/.netrc {held.folder}/app.pem; ls -la {held.folder}/home; echo looked"),
        bash(f"cat {data}/opencode/settings/opencode.json; grep -r apiKey {data} ; echo looked"),
    )
    assert told.count("looked") == 2
    for secret in (*CANARIES, MODEL_KEY, held.endpoint.password):
        assert secret not in told


async def test_the_read_tool_follows_links_to_nothing_of_ours(held: Live) -> None:
    links = "; ".join(
        f"ln -s {target} {name}"
        for name, target in (
            ("own", "/proc/self/environ"),
            ("init", "/proc/1/environ"),
            ("ledger", f"{held.folder}/data/ledger.sqlite"),
            ("state", f"{held.folder}/data/opencode/server.json"),
            ("netrc", f"{held.folder}/home/.netrc"),
            ("key", f"{held.folder}/app.pem"),
        )
    )
    directory = held.workspace("links")
    names = ("own", "init", "ledger", "state", "netrc", "key")
    told = await seen(
        held, "links", bash(links + "; ls -l"), *(("read", {"filePath": f"{directory}/{name}"}) for name in names)
    )
    assert "own -> /proc/self/environ" in told
    for canary in CANARIES:
        assert canary not in told


async def test_nothing_outside_the_workspaces_can_be_written(held: Live) -> None:
    settings = held.folder / "data" / "opencode" / "settings"
    before = {path: path.read_bytes() for path in settings.iterdir()}
    told = await seen(
        held,
        "write",
        bash(f"touch /etc/was-here {held.folder}/was-here {CHECKOUT}/was-here; echo tried"),
        ("write", {"filePath": str(settings / "sh"), "content": "#!/bin/sh\nexec /bin/bash"}),
        ("write", {"filePath": str(held.folder / "was-here"), "content": "x"}),
        bash("cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern && echo written; echo tried"),
        bash("mount -o remount,rw / && echo remounted; kill -9 -1; echo tried"),
    )
    assert told.count("tried") >= 2
    assert "written" not in told
    assert "remounted" not in told
    assert {path: path.read_bytes() for path in settings.iterdir()} == before
    for path in (held.folder, CHECKOUT, Path("/etc")):
        assert not (path / "was-here").exists()
    assert held.server.running


async def test_one_session_does_not_get_into_another_s_workspace(held: Live) -> None:
    theirs = held.folder / "workspaces" / "theirs"
    theirs.mkdir()
    (theirs / "a.txt").write_text("written by the other session")
    # As ours are, a repository from the beginning: otherwise OpenCode takes the repository around it for its own ground.
    await asyncio.to_thread(subprocess.run, ["git", "init", "-q", held.workspace("mine")], check=True, timeout=60)
    told = await seen(
        held,
        "mine",
        bash("mkdir -p sub/deep && echo made"),
        ("bash", {"command": "git status && touch ../../in-root && pwd", "description": "d", "workdir": "sub/deep"}),
        ("read", {"filePath": str(theirs / "a.txt")}),
        ("write", {"filePath": str(theirs / "b.txt"), "content": "x"}),
        bash("ls ..; cd .. && echo x > theirs/c.txt"),
        bash(f"cat {theirs}/a.txt; echo x > {theirs}/c.txt"),
        ("read", {"filePath": "/etc/os-release"}),
    )
    assert "No commits yet" in told
    assert (held.folder / "workspaces" / "mine" / "in-root").exists()
    assert "written by the other session" not in told
    assert [path.name for path in theirs.iterdir()] == ["a.txt"]
    assert "PRETTY_NAME" in told


async def test_a_repository_s_own_settings_do_not_take_the_shell_out_of_its_sandbox(held: Live) -> None:
    own = {"shell": "/bin/bash", "share": "auto", "autoupdate": True, "enabled_providers": ["opencode", "play"]}
    held.workspace("settings")
    (held.folder / "workspaces" / "settings" / "opencode.json").write_text(json.dumps(own))
    told = await seen(held, "settings", bash("env; ls /proc | grep -c '^[0-9]'"))
    assert "GIT_AUTHOR_NAME=" in told
    assert held.endpoint.password not in told
    assert await held.client.providers(held.workspace("settings")) == ("play/m",)


async def test_commands_have_the_tools_of_the_trade(held: Live) -> None:
    told = await seen(
        held,
        "trade",
        bash("git init -q . && echo hi > a && git add a && git commit -qm one && git log --format='%an <%ae>'"),
        bash("python3 -c 'print(6 * 7)' && node -e 'console.log(6 * 8)' && echo t > /tmp/t && cat /tmp/t"),
        bash("python3 -m venv v && v/bin/python -c 'print(6 * 9)'; cd / && pwd"),
    )
    assert "OpenCode agent <agent@dragoman.invalid>" in told
    for result in ("42", "48", "54"):
        assert result in told


async def test_a_sandbox_that_cannot_be_made_says_why() -> None:
    works, reason = await sandbox_available("/bin/false")
    assert not works
    assert "cannot make a sandbox" in reason
    works, reason = await sandbox_available("/no/such/bwrap")
    assert not works
    assert "could not be started" in reason
