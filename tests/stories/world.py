"""A stage for stories: a pretend Linear, a pretend OpenCode, and the real service between them.

People act through `stage.people`, OpenCode follows `stage.agent`, and a test asserts on what people would see. Nothing
sleeps: `until` looks again after every change in Linear, in OpenCode and in the ledger. When a story is over, `check`
holds it against what must always be true.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from dragoman import config, logs
from dragoman.core.session import Session
from dragoman.ids import SessionId, activity_id
from dragoman.ledger import read
from dragoman.ledger.read import Details
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.ports import free_port
from dragoman.runtime.service import Service
from dragoman.sim.forge import Forge
from dragoman.sim.hooks import Delivery
from dragoman.sim.records import Activity, AgentSession
from dragoman.sim.server import Simulator
from dragoman.sim.world import UNRESPONSIVE_AFTER_S
from dragoman.web.app import Door
from dragoman.web.asgi import HttpServer
from tests.stories.checks import all_sessions, said, unfinished, wrong_with
from tests.stories.scripted_agent import ScriptedAgent

T = TypeVar("T")

DEADLINE_S = 60.0  # for what must happen: longer than any machine is busy with something else
LOOK_S = 0.02
LAG_LOOK_S = 0.1
TURNS_MOST = 50  # in a session of a story
SERVE = "from dragoman.cli import main; main()"  # what the installed command does
GITHUB_TOKEN = "canary-secret-github"
GITHUB_HOOK = "canary-secret-github-hook"
CANARY = "canary-secret"  # no secret of ours may be seen anywhere
SLOW = ("not on disk within",)  # an error of the machine: whoever sent the webhook sends it again
HARMLESS = ("conflict on insert of",)  # the second write of an activity is refused, and that is a success


class Stage:
    """Everything a story needs, inside `async with`.

    folder    for data, logs and configuration
    upstream  the git repository that is worked in
    session   what stands under [session] in the configuration file: rules, in seconds
    apart     the service runs as a process of its own, which can be killed
    opencode  whether OpenCode is there from the start
    settings  environment variables besides the usual ones
    access    what stands under [access] in the configuration file
    tables    what else stands in the configuration file, TOML
    forge     a pretend GitHub has the repository "acme/shop"; otherwise `upstream` itself is worked in
    repository  more about it, as in the configuration file
    linear    arguments of the pretend Linear besides the usual ones
    """

    def __init__(
        self,
        folder: Path,
        upstream: Path,
        *,
        session: Mapping[str, object] | None = None,
        apart: bool = False,
        opencode: bool = True,
        settings: Mapping[str, str] | None = None,
        access: str = "",
        tables: str = "",
        forge: bool = False,
        repository: Mapping[str, object] | None = None,
        linear: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.forge = Forge(folder / "forge", {GITHUB_TOKEN: "write"}, self.wake)
        secrets = {"access_token": f"{CANARY}-linear", "secret": f"{CANARY}-webhook"}
        self.linear = Simulator(retry_scale=0.001, forge=self.forge if forge else None, **{**secrets, **(linear or {})})
        self.people = self.linear.people
        self.world = self.linear.world
        self.agent = ScriptedAgent(password=f"{CANARY}-opencode", changed=self.wake)
        self.service: Service | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.log = io.StringIO()
        self.unchecked: set[str] = set()  # sessions whose end people cannot see: deleted, forbidden
        self.excused: set[str] = set()  # sessions whose first sign was held up by something else than the service
        self.unrefused: list[str] = []  # refusals of Linear that the story is about
        self.expected: list[str] = []  # errors in the log that the story is about
        self.upstream = upstream
        self._on_forge = forge
        self.repository = dict(repository or {})
        self._rules = dict(session or {})
        self._apart = apart
        self._opencode = opencode
        self._settings = dict(settings or {})
        self._access = access
        self._tables = tables
        self._door: HttpServer | None = None
        self._woken = asyncio.Event()
        self._lagging: asyncio.Task[None] | None = None
        self._lag_s = 0.0  # for so long in all this machine had something else to do
        self._log_file = folder / "service.log"

    # ── acting ───────────────────────────────────────────────────────────
    def issue(self, title: str = "The parser drops the last line", **more: Any) -> str:
        """A new issue; its identifier."""
        return self.people.create_issue(title, **more).identifier

    def mention(self, text: str = "please fix it", *, issue: str | None = None) -> str:
        """Somebody mentions the agent; the session."""
        return self.people.mention(issue or self.issue(), text).id

    # ── waiting ──────────────────────────────────────────────────────────
    def wake(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def until(self, happened: Callable[[], T | None], what: str = "it", deadline_s: float = DEADLINE_S) -> T:
        """Wait until `happened()` is true and return what it gave."""
        try:
            async with asyncio.timeout(deadline_s):
                while not (value := happened()):
                    await self._woken.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"{what} did not happen within {deadline_s:g} s\n{self.picture()}") from None

    async def until_shown(self, session: str, kind: str, text: str = "", *, count: int = 1) -> str:
        """Wait until the `count`-th activity of that kind with that text is there; its text."""

        def found() -> str | None:
            fitting = [words for shown, words in self.shown(session) if shown == kind and text in words]
            return fitting[count - 1] if len(fitting) >= count else None

        return await self.until(found, f"{kind} “{text}” (number {count})")

    async def final(self, session: str, number: int = 1) -> tuple[str, str]:
        """Wait for the `number`-th final activity; its kind and text."""

        def found() -> tuple[str, str] | None:
            finals = self.finals(session)
            return finals[number - 1] if len(finals) >= number else None

        return await self.until(found, f"final {number}")

    async def until_written(self, thread_of: str, text: str) -> None:
        """Wait until the agent's thread of a session holds a message of people with that text."""
        await self.until(lambda: any(text in prompt for prompt in self.prompts(thread_of)), f"prompt “{text}”")

    async def until_delivered(self) -> None:
        """Wait until all webhooks were answered, those included that are sent again."""
        await self.until(lambda: self.linear.hooks.at_rest, "the delivery of all webhooks")

    async def until_done(self, effect: str) -> None:
        """Wait until the service has logged that an effect of that kind was done."""

        async def done() -> bool:
            return any("effect.done" in line and effect in line for line in self.logged().splitlines())

        await self.until_known(done, f"the doing of {effect}")

    async def until_opencode_is_up(self) -> None:
        """Wait until the service has found OpenCode."""

        async def up() -> bool:
            return self._here.opencode_state() == "up"

        await self.until_known(up, "OpenCode to be found")

    async def until_linear_is_known(self) -> None:
        """Wait until the service has learnt from Linear who it is there."""

        async def known() -> bool:
            return "viewer.known" in self.logged()

        await self.until_known(known, "who we are")

    async def until_heard(self, session: str, kind: str, count: int = 1) -> None:
        """Wait until the machine has heard that many events of a kind in a session."""

        async def heard() -> bool:
            journal = await self._here.ledger.read(read.journal, SessionId(session))
            return sum(line.kind == kind for line in journal) >= count

        await self.until_known(heard, f"{kind} (number {count})")

    async def quiet(self) -> None:
        """Wait until nothing waits to be done any more, timers aside."""

        await self.until_delivered()
        async with self._ledger() as ledger:

            async def done() -> bool:
                return not await ledger.read(unfinished)

            await self.until_known(done, "silence")

    async def until_known(self, known: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for what has to be asked for: the ledger and the log wake nobody."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not await known():  # noqa: ASYNC110 - see above
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"{what} did not come within {DEADLINE_S:g} s\n{self.picture()}") from None

    # ── seeing ───────────────────────────────────────────────────────────
    def shown(self, session: str) -> list[tuple[str, str]]:
        """What people see of the agent in a session: (kind, text)."""
        return [(row.kind, said(row)) for row in self._rows(session)]

    def thoughts(self, session: str) -> list[str]:
        """The texts of its thoughts."""
        return [text for kind, text in self.shown(session) if kind == "thought"]

    def finals(self, session: str) -> list[tuple[str, str]]:
        """What ended turns; an elicitation among it is an answer or a plan that offers the way on."""
        ends = {activity_id(SessionId(session), number) for number in range(1, TURNS_MOST)}
        rows = self._rows(session)
        return [(row.kind, said(row)) for row in rows if row.kind in ("response", "error") or row.id in ends]

    def plan(self, session: str) -> list[tuple[str, str]]:
        """The plan that Linear shows: (content, status)."""
        items: Any = self.world.session(session).plan or []
        return [(item["content"], item["status"]) for item in items]

    def prompts(self, session: str) -> list[str]:
        """What the agent was told in the thread of a session, oldest first."""
        try:
            thread = self.agent.thread_of(session)
        except LookupError:
            return []
        return ["".join(part.get("text", "") for part in message["parts"]) for message in thread.users()]

    def workspace(self, session: str) -> Path:
        """Where the agent works for a session."""
        return Path(self.agent.thread_of(session).directory)

    def links(self, session: str) -> list[str]:
        """The URLs that Linear shows on a session."""
        return [link.url for link in self.world.session(session).links]

    def deliveries(self, session: str) -> list[Delivery]:
        """The webhooks about a session."""
        return self.linear.hooks.of_session(session)

    def picture(self) -> str:
        """All that can be seen, for a failing test."""
        lines = []
        for session in self.world.sessions.values():
            lines.append(f"session {session.id} ({self.world.status(session)})")
            lines += [f"  {row.created_at:.2f} {row.kind:12}{said(row)[:200]}" for row in self._rows(session.id)]
        lines.append(f"agent: {self.agent.requests[-12:]}")
        lines.append(self.logged()[-6000:])
        return "\n".join(lines)

    def logged(self) -> str:
        """What the service has logged."""
        if self._apart:
            return self._log_file.read_text("utf-8") if self._log_file.is_file() else ""
        return self.log.getvalue()

    async def details(self, session: str) -> Details:
        """What the ledger knows of a session."""
        found = await self._here.ledger.read(read.details, SessionId(session))
        assert found is not None
        return found

    # ── the service ──────────────────────────────────────────────────────
    @property
    def _here(self) -> Service:
        assert self.service is not None, "the service runs apart"
        return self.service

    async def start(self) -> None:
        """Start the service."""
        if self._apart:
            await self._start_apart()
            return

        def load() -> config.Settings:
            return config.load(self.environment(), folder=self.folder)

        self.service = Service(load(), load=load)
        await self.service.start()
        self.service.ledger.on_commit(lambda _: self.wake())
        self.service.engine.listen(lambda _: self.wake())
        self._door = HttpServer(Door(self.service), host="127.0.0.1", port=self.service.settings.port)
        await self._door.start()

    async def stop(self) -> None:
        """Stop the service as SIGTERM does."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.terminate()
                await asyncio.wait_for(self.process.wait(), DEADLINE_S)
            self.process = None
        if self._door is not None:
            await self._door.stop()
            self._door = None
        if self.service is not None:
            fatal = self.service.fatal
            await self.service.stop()
            self.service = None
            assert fatal is None or not fatal.done(), fatal.result()

    async def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self.process is not None
        self.excused |= {one.id for one in self.world.sessions.values() if not one.first_sign_at}
        self.process.kill()
        await asyncio.wait_for(self.process.wait(), DEADLINE_S)
        self.process = None

    async def _start_apart(self) -> None:
        environment = self.environment()
        with self._log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SERVE, "serve", env=environment, cwd=self.folder, stderr=log, stdout=log
            )
        until = time.monotonic() + DEADLINE_S
        while self.process.returncode is None and time.monotonic() < until:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(environment["PORT"]))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise AssertionError(f"the service did not start\n{self.logged()[-4000:]}")

    def environment(self) -> dict[str, str]:
        """The settings of the service."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LINEAR_API_URL": self.linear.url,
            "LINEAR_ACCESS_TOKEN": self.linear.access_token,
            "LINEAR_WEBHOOK_SECRET": self.linear.secret,
            "OPENCODE_SESSION_API_URL": self.agent.url,
            "OPENCODE_SESSION_TOKEN": self.agent.password,
            "OPENCODE_MODEL": "scripted/story",
            "DRAGOMAN_CONFIG": str(self.folder / "dragoman.toml"),
            "DRAGOMAN_DATA_DIR": str(self.folder / "data"),
            "PORT": str(self._port),
            "LOG_LEVEL": "debug",
            **self._settings,
        }

    async def _watch_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_LOOK_S)
            self._lag_s += time.monotonic() - before - LAG_LOOK_S

    def _late(self, one: AgentSession) -> bool:
        """Whether a session had its first sign of life too late, and the machine is not to blame."""
        if not one.first_sign_at or one.id in self.excused:
            return False
        return one.first_sign_at - one.created_at - self._lag_s > UNRESPONSIVE_AFTER_S

    async def __aenter__(self) -> Self:
        self._lagging = asyncio.create_task(self._watch_lag())
        logs.configure(level="debug", stream=self.log)
        await self.linear.__aenter__()
        self._port = free_port("127.0.0.1")  # now that the others have theirs: nobody has this one before the service
        url = str(self.upstream)
        if self._on_forge:
            self.forge.add("acme/shop", self.upstream)
            url = self.forge.git_url("acme/shop")
            self._settings = {"GITHUB_TOKEN": GITHUB_TOKEN, "GITHUB_API_URL": self.forge.api_url, **self._settings}
            self.forge.reviews.hook_url = f"http://127.0.0.1:{self._port}/webhooks/github"
            self.forge.reviews.hook_secret = self._settings.get("GITHUB_WEBHOOK_SECRET", "")
        repository = _lines({"name": "acme/shop", "url": url, "default": True, **self.repository})
        (self.folder / "dragoman.toml").write_text(
            f"[[repositories]]\n{repository}\n[session]\n{_lines(self._rules)}\n[access]\n{self._access}\n{self._tables}\n",
            encoding="utf-8",
        )
        self.world.watch(lambda _: self.wake())
        self.linear.set_webhook_url(f"http://127.0.0.1:{self._port}/webhooks/linear")
        await self.agent.come_up()
        if not self._opencode:
            await self.agent.die()
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.quiet()
                await self.check()
        finally:
            try:
                await self.stop()
            finally:
                if self._lagging is not None:
                    self._lagging.cancel()
                await self.agent.die()
                await self.linear.close()

    # ── what must always be true ─────────────────────────────────────────
    async def check(self) -> None:
        """Hold the story against what must be true of every story."""
        problems = [f"Linear refused: {text[:300]}" for text in self._refusals()]
        for session in await self._sessions():
            if session.id not in self.unchecked:
                problems += wrong_with(session, self._rows(session.id, vanished=True))
        late = [one.id for one in self.world.sessions.values() if self._late(one)]
        problems += [f"{session} had no sign of life for ten seconds" for session in late]
        problems += [f"{place} holds a secret" for place, text in self._texts() if CANARY in text]
        errors = [line for line in self.logged().splitlines() if '"level":"error"' in line.replace('": "', '":"')]
        unexpected = [line for line in errors if not any(text in line for text in (*self.expected, *SLOW))]
        problems += [f"logged: {line[:1500]}" for line in unexpected]
        assert not problems, "\n".join([*problems, self.picture()])

    async def _sessions(self) -> list[Session]:
        if self.service is not None:
            return await self.service.ledger.read(all_sessions)
        await self.stop()
        async with self._ledger() as ledger:
            assert not await ledger.read(unfinished), f"something was left undone\n{self.picture()}"
            return await ledger.read(all_sessions)

    @asynccontextmanager
    async def _ledger(self) -> AsyncIterator[SqliteLedger]:
        """The ledger of the service; that of a service that runs apart is opened beside it."""
        if self.service is not None:
            yield self.service.ledger
            return
        ledger = await SqliteLedger.open(f"sqlite:///{self.folder}/data/dragoman.db")
        try:
            yield ledger
        finally:
            await ledger.close()

    def _refusals(self) -> list[str]:
        known = (*HARMLESS, *self.unrefused)
        return [text for text in self.linear.graphql.refusals if not any(harmless in text for harmless in known)]

    def _texts(self) -> list[tuple[str, str]]:
        texts = [("the log", self.logged())]
        for session in self.world.sessions.values():
            texts += [(f"{row.kind} of {session.id}", json.dumps(row.content)) for row in self._rows(session.id)]
            texts += [(f"a prompt of {session.id}", text) for text in self.prompts(session.id)]
        return texts

    def _rows(self, session: str, *, vanished: bool = False) -> list[Activity]:
        rows = self.world.activities(session, vanished=vanished)
        return [row for row in rows if row.author == self.world.agent.id and row.kind != "prompt"]


def _lines(row: Mapping[str, object]) -> str:
    """A table of TOML; JSON's plain values are TOML's."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in row.items())
