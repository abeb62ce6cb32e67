"""What stories about pull requests begin with: work that was handed in, and people on the pretend GitHub."""

from __future__ import annotations

from dragoman.sim.forge_repository import Json, Repository
from dragoman.sim.script import Say, Use
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, commits, writes
from tests.stories.world import GITHUB_HOOK, Stage

HOOKED = {"GITHUB_WEBHOOK_SECRET": GITHUB_HOOK}
BY_HOOK = {"review_settle_s": 0.3, "review_poll_s": 1_000.0}
BY_CLOCK = {"review_settle_s": 0.3, "review_poll_s": 0.3}
FIXING = Use(tool="bash", args={"command": "wait fixing"})


def hooked(make_stage: MakeStage, **rules: object) -> Stage:
    """A stage with a pretend GitHub that sends webhooks."""
    return make_stage(forge=True, settings=HOOKED, session={**BY_HOOK, **rules})


class Pull:
    """The pull request of a session."""

    def __init__(self, stage: Stage, session: str) -> None:
        self.stage = stage
        self.session = session
        self.people = stage.forge.reviews
        self.people.rights |= {"rita": "write", "stan": "read", "adam": "admin"}

    @property
    def shop(self) -> Repository:
        return self.stage.forge.repositories["acme/shop"]

    @property
    def number(self) -> int:
        return int(self.shop.pulls[-1]["number"])

    def says(self, kind: str = "comments") -> list[Json]:
        """Replies of ours there."""
        rows: list[Json] = getattr(self.people.talk(self.shop, self.number), kind)
        return [row for row in rows if row["user"]["login"] == self.people.us]

    def reviewed(self, body: str = "Please rename it.", by: str = "rita", **more: object) -> Json:
        """Somebody requests changes."""
        return self.people.review(self.shop, self.number, by, body, **more)  # type: ignore[arg-type]

    def remarked(self, words: str, by: str = "rita") -> Json:
        """Somebody writes in the conversation."""
        return self.people.remark(self.shop, self.number, by, words)


async def handed_in(stage: Stage) -> Pull:
    """A session with its first answer and an open pull request."""
    session = await at_work(stage)
    writes(stage.workspace(session))
    commits(stage.workspace(session))
    stage.agent.release("work")
    await stage.final(session)
    await stage.quiet()
    await stage.forge.reviews.deliver()
    return Pull(stage, session)


async def fixes(pull: Pull, path: str, *, say: str = "", text: str = "mended\n") -> None:
    """The agent, having been asked, changes a file, commits it and ends; `plan_fix` came before."""
    stage = pull.stage
    folder = stage.workspace(pull.session)
    writes(folder, path, text)
    commits(folder, say or f"Mend {path}")
    stage.agent.release("fixing")


def plan_fix(stage: Stage, words: str, *, on: str = "On your pull request") -> None:
    """What the agent does when it is told of a review: it waits in a tool for `fixes`, then says its words."""
    stage.agent.plays(on, FIXING, Say(text=words))
