"""An agent that looks everywhere finds no secret of Linear or of ours, and none is shown or logged anywhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dragoman.sim.script import Pause, Say, Use
from dragoman.sim.stories import bash
from tests.conftest import CHECKOUT
from tests.live.conftest import serving_in
from tests.live.service import PROGRAM, LiveService, command_line
from tests.stories.checks import files_below

pytestmark = [
    pytest.mark.deep,
    pytest.mark.needs_opencode,
    pytest.mark.needs_bubblewrap,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(200),
]

CLIENT_SECRET = "canary-client-secret-5b1d"
WEBHOOK_SECRET = "canary-webhook-secret-77aa"
OLDER_WEBHOOK_SECRET = "canary-older-webhook-secret-0c"
FORGE_PASSWORD = "canary-forge-password-e4"
AT_HOME = "canary-of-the-home-91f3"
SAID_ELSEWHERE = "canary-of-another-session-2d"
NEVER_SHOWN = (CLIENT_SECRET, WEBHOOK_SECRET, OLDER_WEBHOOK_SECRET, FORGE_PASSWORD, AT_HOME)

_LOOK = """
import glob, pathlib
seen = 0
for name in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/task/*/environ") + glob.glob("/proc/*/cmdline"):
    try:
        text = pathlib.Path(name).read_bytes().replace(b"\\0", b"\\n").decode("utf-8", "replace")
    except OSError:
        continue
    seen += 1
    print(name, text)
print("processes looked at:", seen)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(opencode_bin: Path) -> AsyncIterator[LiveService]:
    # Not under /tmp, of which every sandbox has a fresh one: what is hidden must be hidden by name.
    (CHECKOUT / ".dev").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="secrets-", dir=CHECKOUT / ".dev"))
    settings = {
        "LINEAR_ACCESS_TOKEN": "",
        "LINEAR_CLIENT_ID": "canary-client",
        "LINEAR_CLIENT_SECRET": CLIENT_SECRET,
        "LINEAR_WEBHOOK_SECRET": f"{WEBHOOK_SECRET},{OLDER_WEBHOOK_SECRET}",
        "LOG_LEVEL": "debug",
    }
    credentials = {
        "secret": WEBHOOK_SECRET,
        "access_token": "",
        "client_id": "canary-client",
        "client_secret": CLIENT_SECRET,
    }
    other = f'\n[[repositories]]\nname = "acme/other"\nurl = "https://bot:{FORGE_PASSWORD}@127.0.0.1:9/other.git"\n'
    make = serving_in(folder / "live", opencode_bin)
    try:
        rules = {"permission": {"read": "allow"}}
        async with make(linear=credentials, settings=settings, opencode=rules, toml=other, start=False) as found:
            (found.home / ".netrc").write_text(f"machine x password {AT_HOME}\n", "utf-8")
            (found.folder / ".env").write_text(f"LINEAR_WEBHOOK_SECRET={WEBHOOK_SECRET}\n", "utf-8")
            await found.start()
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def places(service: LiveService) -> tuple[Path, ...]:
    """Files that an agent has no business with."""
    return (
        service.folder / "ledger" / "dragoman.db",
        service.folder / "ledger" / "dragoman.db-wal",
        service.data / "opencode" / "server.json",
        service.data / "dragoman.lock",
        service.folder / "dragoman.toml",
        service.folder / ".env",
        service.home / ".netrc",
    )


async def snoop(service: LiveService, name: str) -> str:
    """A session whose agent looks everywhere, by its shell and by OpenCode's own tools; all that it got to see."""
    hidden = places(service)
    links = "; ".join(
        f"ln -sfn {path} link-{number}" for number, path in enumerate((Path("/proc/self/environ"), *hidden))
    )
    by_shell = "; ".join(f"cat {path}" for path in hidden)
    service.linear.model.tell(
        name,
        [
            bash("env", "Look at the environment"),
            bash(f"cat > look.py <<'END'\n{_LOOK}\nEND\npython3 look.py", "Look at processes"),
        ],
        [
            bash(
                f"({by_shell}; cat {service.data}/* {service.data}/*/*; cat {service.folder}/* {service.home}/.*) 2>/dev/null | strings -n 6",
                "Read",
            ),
            bash(f"grep -rIs -e canary {service.folder} ~ /root /home 2>/dev/null | grep -v {name}", "Search"),
            bash(links, "Make links"),
        ],
        [Use(tool="read", args={"filePath": f"{{cwd}}/link-{number}"}) for number in range(len(hidden) + 1)],
        [Use(tool="read", args={"filePath": str(path)}) for path in (Path("/proc/1/environ"), *hidden)],
        [Use(tool="grep", args={"pattern": "canary", "path": str(service.folder)})],
        [Say(text="Looked.")],
    )
    session = service.ask(f"[story={name}] look around")
    assert (await service.ends(session, timeout_s=60)).body.startswith("Looked.")
    results = [row.content.get("result", "") for row in service.rows(session, "action")]
    assert [result for result in results if "processes looked at" in result]
    seen = kept_by_opencode(service)
    assert "OPENCODE_SERVER_PASSWORD" in seen, "the link to environ was not read: nothing was tried"
    return seen


def kept_by_opencode(service: LiveService) -> str:
    """All that OpenCode wrote down, tool results as a whole among it, and what lies in the workspaces."""
    text = ""
    for top in (service.data / "opencode", service.data / "workspaces"):
        for path in files_below(top):
            with contextlib.suppress(FileNotFoundError):  # OpenCode works on meanwhile
                if path.is_file() and not path.is_symlink():
                    text += path.read_bytes().decode("utf-8", "replace")
    assert "processes looked at" in text
    return text


def everybodys_command_lines() -> list[list[str]]:
    return [command_line(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]


async def test_an_agent_that_looks_everywhere_finds_no_secret(service: LiveService) -> None:
    service.linear.model.tell("other", [Say(text=f"Between us: {SAID_ELSEWHERE}")])
    assert SAID_ELSEWHERE in (await service.ends(service.ask("[story=other] confide"))).body
    seen = await snoop(service, "snoop")
    tokens = tuple(service.linear.tokens._expiry)
    assert tokens
    assert [canary for canary in (*NEVER_SHOWN, *tokens) if canary in seen] == []
    shown = json.dumps([row.content for one in service.linear.world.sessions.values() for row in service.rows(one)])
    assert [canary for canary in NEVER_SHOWN if canary in shown] == []
    assert shown.count(SAID_ELSEWHERE) == 1


async def test_an_adopted_opencode_sees_no_more_than_before(service: LiveService) -> None:
    # A restart makes the ledger's journal anew: what hid the old one must hide the new one as well.
    service.linear.model.tell("held", [Pause(until="held"), Say(text=f"Again: {SAID_ELSEWHERE}")])
    session = service.ask("[story=held] hold on")
    await service.linear.model.wait_for_request("hold on")
    before = service.server()
    await service.terminate()
    await service.start()
    assert service.server() == before
    service.linear.model.release("held")
    await service.ends(session)
    looked = service.ask("[story=again] look at the ledger")
    names = " ".join(str(path) for path in places(service))
    service.linear.model.tell("again", [bash(f"stat -c '%n %F %s' {names}", "Look")], [Say(text="{result}")])
    said = (await service.ends(looked)).body
    assert [line for line in said.splitlines() if " regular file " in line and "empty" not in line] == []


async def test_nothing_that_we_say_or_log_holds_a_secret(service: LiveService) -> None:
    session = service.ask("[story=env] look around")
    await service.ends(session)
    pages = [json.dumps(await service.get(path)) for path in ("/health", "/readyz")]
    told = await asyncio.to_thread(
        subprocess.run,
        [str(PROGRAM), "sessions", "show", session.id, "--json"],
        env=service.environment,
        cwd=service.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ledger = "".join(
        path.read_bytes().decode("utf-8", "replace") for path in (service.folder / "ledger").iterdir() if path.is_file()
    )
    processes = "\n".join(map(" ".join, everybodys_command_lines()))
    places_ = {
        "pages": "".join(pages),
        "log": service.log.read_text("utf-8"),
        "sessions show": told.stdout + told.stderr,
        "ledger": ledger,
        "command lines": processes,
    }
    assert session.id in places_["sessions show"]
    assert "opencode.started" in places_["log"]
    state = service.server()
    assert state is not None
    secrets = (CLIENT_SECRET, WEBHOOK_SECRET, OLDER_WEBHOOK_SECRET, FORGE_PASSWORD, *service.linear.tokens._expiry)
    forms = [form for secret in secrets for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("="))]
    assert [(place, form) for place, text in places_.items() for form in forms if form in text] == []
    # OpenCode's own password is no secret to its agent; we do not tell it, though.
    del places_["ledger"], places_["sessions show"]
    assert [place for place, text in places_.items() if state.password in text] == []


async def test_our_files_are_for_us_alone(service: LiveService) -> None:
    assert service.data.stat().st_mode & 0o777 == 0o700
    own = [path for path in service.data.iterdir() if path.is_file()] + [service.data / "opencode" / "server.json"]
    loose = [str(path) for path in own if path.stat().st_mode & 0o077]
    loose += [str(path) for path in (service.folder / "ledger").iterdir() if path.stat().st_mode & 0o077]
    assert loose == []
