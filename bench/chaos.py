"""Kill the service and OpenCode at random moments while people work with them, and count what came of it.

    .venv/bin/python bench/chaos.py [--kills 20] [--people 5] [--seed 1]

`dragoman serve` runs as a process of its own with the real OpenCode; a pretend Linear and a scripted model live here.
People open sessions, answer what is asked, write during runs, press Stop and follow up, while the killer sends SIGKILL
to the service, to OpenCode, to its sandbox or to both, and starts the service again after a while. At the end everything has to be
settled. The seed fixes what people and the killer want; when exactly it happens depends on the machine.

What must be 0: turns without a final, turns with several, turns with an error unless OpenCode was killed under them more
often than they are resumed, requests to the model that were made again though OpenCode was not killed in between, prompts
that stand twice in a conversation, processes left over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dragoman.core.limits import Rules  # noqa: E402
from dragoman.core.session import Resting, Session  # noqa: E402
from dragoman.core.wording.trouble import interrupted_too_often  # noqa: E402
from dragoman.ids import SessionId  # noqa: E402
from dragoman.ledger import turns  # noqa: E402
from dragoman.ledger.sqlite import SqliteLedger  # noqa: E402
from dragoman.sim.records import Activity, AgentSession  # noqa: E402
from dragoman.sim.script import Part, Say  # noqa: E402
from dragoman.sim.server import Simulator  # noqa: E402
from dragoman.sim.stories import bash  # noqa: E402
from tests.live.service import LiveService  # noqa: E402

TURN_S = 240.0  # a turn that is not over by then counts as one without a final
STORIES = ("default", "slow", "steer", "permission", "short", "stop", "work")
VICTIMS = ("service", "service", "service", "opencode", "holder", "both")  # the holder keeps OpenCode in its sandbox
GIVEN_UP = interrupted_too_often(Rules().resumes + 1)
_TOKEN = re.compile(r"token-\d+")


class Chaos:
    """One round: people, a killer, and the books."""

    def __init__(self, service: LiveService, *, people: int, kills: int, seed: int) -> None:
        self.service = service
        self.linear = service.linear
        self.people = people
        self.kills = kills
        self.seed = seed
        self.sessions: list[AgentSession] = []
        self.told: Counter[str] = Counter()
        self.killed: list[tuple[float, str]] = []
        self.late: list[str] = []
        self.failed_starts = 0
        self._over = asyncio.Event()
        self._tokens = 0
        model = self.linear.model
        model.tell("short", [Say(text="A short answer.")], after=([Say(text="Another short answer.")],))
        steps: list[Sequence[Part]] = [
            [Say(text=f"Now {n}."), bash(f"sleep 0.4; echo {n} >> work.txt", f"Write {n}")] for n in range(4)
        ]
        model.tell("work", *steps, [Say(text="Worked.")])

    async def play(self) -> None:
        """Everything, to the end."""
        talkers = [asyncio.create_task(self._talk(random.Random(f"{self.seed}/{n}"))) for n in range(self.people)]
        try:
            await self._kill(random.Random(f"{self.seed}/killer"))
            self._over.set()
            await asyncio.gather(*talkers)
        finally:
            for talker in talkers:
                talker.cancel()
            await asyncio.gather(*talkers, return_exceptions=True)

    # ── the killer ───────────────────────────────────────────────────────
    async def _kill(self, chance: random.Random) -> None:
        service = self.service
        for number in range(1, self.kills + 1):
            # Often soon after the last one: starting is the most delicate time.
            await asyncio.sleep(
                chance.choice((chance.uniform(0.0, 1.5), chance.uniform(1.5, 9.0), chance.uniform(6.0, 18.0)))
            )
            victim = chance.choice(VICTIMS)
            if victim != "service":
                victim = victim if self._kill_opencode(holder=victim == "holder") else "service"
            if victim in ("service", "both"):
                service.kill()
            self.killed.append((time.time(), victim))
            print(f"{number:>3}. killed {victim}; {self._open()} sessions have an open turn", flush=True)
            if victim in ("service", "both"):
                await asyncio.sleep(chance.choice((0.0, chance.uniform(0.0, 2.5))))
                await service.start(ready=False)

    def _kill_opencode(self, *, holder: bool) -> bool:
        try:
            self.service.kill_opencode(holder=holder)
        except AssertionError:  # it was not up at this moment
            return False
        return True

    def _open(self) -> int:
        return sum(
            1
            for one in self.sessions
            if self.linear.world.session(one.id).stage in ("pending", "active", "awaitingInput")
        )

    # ── people ───────────────────────────────────────────────────────────
    async def _talk(self, chance: random.Random) -> None:
        while not self._over.is_set():
            story = chance.choice(STORIES)
            session = self._mention(story)
            await self._turn(session, story, chance)
            for _ in range(chance.choice((0, 0, 1, 2))):
                if self._over.is_set():
                    return
                self._say(session, chance.choice(("And now?", "[story=short] once more", "[story=slow] and slowly")))
                await self._turn(session, "", chance)

    async def _turn(self, session: AgentSession, story: str, chance: random.Random) -> None:
        """Answer what is asked until nothing is open any more; interfere as the story wants."""
        world = self.linear.world
        if story in ("steer", "stop") and await self._sees_action(session):
            await asyncio.sleep(chance.uniform(0.0, 1.5))
            if story == "stop":
                self.told["stops"] += 1
                self.linear.people.stop(session.id)
            else:
                self._say(session, "and mind the rain")
        deadline = time.monotonic() + TURN_S
        while time.monotonic() < deadline:
            stage = world.session(session.id).stage
            asked = world.open_elicitation(session.id)
            if asked is not None:
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                if world.open_elicitation(session.id) is asked:
                    self.told["answers"] += 1
                    answers = (
                        ("once", "once", "not now") if "git push" in asked.body else ("Return 0.0", "raise an error")
                    )
                    self.linear.people.answer(session.id, chance.choice(answers))
            elif stage in ("complete", "error"):
                return
            await self._changes(session)
        self.late.append(session.id)

    async def _sees_action(self, session: AgentSession) -> bool:
        """Whether a command was shown before the turn ended."""

        def found(_: object) -> str | None:
            if any(row.kind == "action" for row in self.service.rows(session)):
                return "action"
            return "over" if self.service.finals(session) else None

        try:
            return await self.linear.wait_for(found, TURN_S) == "action"
        except TimeoutError:
            return False

    async def _changes(self, session: AgentSession) -> None:
        version = self.linear.world.version
        try:
            await self.linear.wait_for(lambda world: world.version != version, 2.0)
        except TimeoutError:
            return

    def _mention(self, story: str) -> AgentSession:
        self.told["prompts"] += 1
        session = self.service.ask(f"[story={story}] {self._token()} please", title=f"Chaos with {story}")
        self.sessions.append(session)
        return session

    def _say(self, session: AgentSession, text: str) -> None:
        self.told["prompts"] += 1
        self.linear.people.follow_up(session.id, f"{text} {self._token()}")

    def _token(self) -> str:
        self._tokens += 1
        return f"token-{self._tokens:05d}"

    # ── the books ────────────────────────────────────────────────────────
    def asked_again(self) -> tuple[list[str], int]:
        """Requests to the model that repeat an earlier one: without, and with, a kill of OpenCode in between."""
        cuts = [at for at, victim in self.killed if victim != "service"]
        seen: dict[tuple[str, int, tuple[str, ...]], list[float]] = defaultdict(list)
        for heard in self.linear.model.requests:
            if not heard.utility:
                seen[heard.story, heard.step, heard.users].append(heard.at)
        wrong, excused = [], 0
        for (story, step, users), times in seen.items():
            for before, after in pairwise(times):
                # The books are written a moment after the kill.
                if any(before - 0.5 <= cut <= after for cut in cuts):
                    excused += 1
                else:
                    wrong.append(f"{story} step {step}, {_tokens(users)}: {after - before:.2f} s apart")
        return wrong, excused

    def given_twice(self) -> list[str]:
        """Prompts that stand in a conversation as two messages."""
        found: set[str] = set()
        for heard in self.linear.model.requests:
            own = Counter(token for text in heard.users for token in set(_TOKEN.findall(_request_of(text))))
            found |= {token for token, times in own.items() if times > 1}
        return sorted(found)

    def never_heard(self) -> list[str]:
        """Prompts that the model never saw, of sessions in which nobody pressed Stop and no turn was given up."""
        heard = {token for one in self.linear.model.requests for token in _tokens(one.users)}
        return sorted(self._written() - heard)

    def _written(self) -> set[str]:
        stopped = {
            row.session for session in self.sessions for row in self.service.rows(session) if row.signal == "stop"
        }
        ended = stopped | set(self.given_up())
        return {token for session in self.sessions if session.id not in ended for token in self._prompts_of(session)}

    def given_up(self) -> list[str]:
        """The session of each turn under which OpenCode was killed so often that it ended in an error."""
        return [row.session for row in self._errors() if row.body == GIVEN_UP]

    def failed(self) -> list[str]:
        """Turns that ended in another error; there is no reason for one."""
        return [f"{row.session}: {row.body}" for row in self._errors() if row.body != GIVEN_UP]

    def _errors(self) -> list[Activity]:
        return [row for session in self.sessions for row in self.service.rows(session, "error")]

    def _prompts_of(self, session: AgentSession) -> Iterator[str]:
        comment = self.linear.world.comments.get(session.comment or "")
        for text in [comment.body if comment else "", *(row.body for row in self.service.rows(session, "prompt"))]:
            yield from _TOKEN.findall(text)


def _tokens(users: Sequence[str]) -> list[str]:
    return [token for text in users for token in _TOKEN.findall(text)]


def _request_of(text: str) -> str:
    """The person's own words of a message: its last block, for the context before it quotes them too."""
    return text.rpartition("The request, in the words of")[2]


async def _books(service: LiveService) -> dict[str, Session]:
    """How the ledger says that each session stands."""
    ledger = await SqliteLedger.open(service.environment["SESSION_STORAGE_URL"])
    try:
        found: dict[str, Session] = {}
        for known in service.linear.world.sessions:
            session = await ledger.read(turns.load, SessionId(known))
            if session is not None:
                found[known] = session
        return found
    finally:
        await ledger.close()


def _strays(folder: Path) -> list[str]:
    """Processes that still have to do with the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if where.startswith(str(folder)) or str(folder) in words:
            found.append(f"{entry.name} {words[:100]}")
    return found


async def chaos(*, kills: int, people: int, seed: int, binary: Path, keep: Path | None) -> int:
    """One round and its table; how many deviations there were."""
    with tempfile.TemporaryDirectory(prefix="dragoman-chaos-") as place:
        folder = keep or Path(place)
        rules = {"permission": {"bash": {"*": "allow", "git push*": "ask"}}}
        began = time.monotonic()
        async with Simulator(retry_scale=0.02) as linear:
            service = LiveService(folder / "chaos", linear, binary, opencode=rules)
            try:
                await service.start()
                round_ = Chaos(service, people=people, kills=kills, seed=seed)
                await round_.play()
                stopped_s = await service.terminate()
                books = await _books(service)
                strays = [*_strays(folder / "chaos"), *map(str, service.left().items())]
            finally:
                await service.close()
            return _table(round_, books, strays, took_s=time.monotonic() - began, stopped_s=stopped_s)


def _table(round_: Chaos, books: dict[str, Session], strays: list[str], *, took_s: float, stopped_s: float) -> int:
    service = round_.service
    finals = {one.id: len(service.finals(one)) for one in round_.sessions}
    without = [
        f"{one}: {finals[one]} of {books[one].turns}"
        for one in finals
        if one in books and finals[one] < books[one].turns
    ]
    several = [
        f"{one}: {finals[one]} of {books[one].turns}"
        for one in finals
        if one in books and finals[one] > books[one].turns
    ]
    unknown = [one for one in finals if one not in books]
    restless = [one for one, session in books.items() if not isinstance(session.phase, Resting)]
    wrong, excused = round_.asked_again()
    twice, unheard = round_.given_twice(), round_.never_heard()
    victims = Counter(victim for _, victim in round_.killed)
    turns_ = sum(session.turns for session in books.values())
    requests = [heard for heard in round_.linear.model.requests if not heard.utility]
    rows: list[tuple[str, object]] = [
        ("seed", round_.seed),
        ("SIGKILLs", f"{len(round_.killed)} ({', '.join(f'{n} {victim}' for victim, n in sorted(victims.items()))})"),
        ("sessions", len(finals)),
        ("prompts / answers / stops", " / ".join(str(round_.told[what]) for what in ("prompts", "answers", "stops"))),
        ("turns", turns_),
        ("finals", sum(finals.values())),
        ("…of them errors: OpenCode was killed too often", len(round_.given_up())),
        ("requests to the model", len(requests)),
        ("…repeated after OpenCode was killed", excused),
        ("SIGTERM at rest", f"{stopped_s:.1f} s"),
        ("took", f"{took_s:.0f} s"),
    ]
    checks = {
        "turns without a final": without,
        "turns with several finals": several,
        "turns that took too long": round_.late,
        "sessions that are not at rest": restless,
        "sessions nobody knows": unknown,
        "requests repeated though OpenCode lived": wrong,
        "turns that failed": round_.failed(),
        "prompts given twice": twice,
        "prompts the model never saw": unheard,
        "processes left over": strays,
    }
    print()
    for name, value in rows:
        print(f"{name:<50}{value}")
    for name, found in checks.items():
        print(f"{name:<50}{len(found)}{'' if not found else '   <-- ' + '; '.join(found[:5])}")
    return sum(map(len, checks.values()))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many SIGKILLs (20)")
    parser.add_argument("--people", type=int, default=5, help="how many people work at a time (5)")
    parser.add_argument("--seed", type=int, default=1, help="what people and the killer want (1)")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept afterwards")
    given = parser.parse_args()
    binary = Path(os.environ.get("OPENCODE_BIN") or ROOT / ".dev/opencode/package/bin/opencode")
    if not os.access(binary, os.X_OK):
        print("no OpenCode binary: run ./dev setup, or set OPENCODE_BIN", file=sys.stderr)
        return 2
    deviations = asyncio.run(
        chaos(kills=given.kills, people=given.people, seed=given.seed, binary=binary, keep=given.keep)
    )
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
