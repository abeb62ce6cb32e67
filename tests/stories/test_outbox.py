"""What the agent puts into `.dragoman/outbox/` is shown under its answer, once, whatever else becomes of the turn."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dragoman.core.outbox import FOLDER
from dragoman.sim.faults import Fault
from dragoman.sim.script import Say, Use
from dragoman.sim.store import PREFIX
from tests.stories.comment_stage import CommentStage
from tests.stories.conftest import MakeStage
from tests.stories.test_shipping import at_work, commits, git, writes
from tests.stories.world import Stage

PNG = b"\x89PNG\r\n\x1a\n"
LINKED = re.compile(r"\((http://[^)\s]+/uploads/[^)\s]+)\)")


def puts(folder: Path, name: str = "shot.png", content: bytes = PNG + b"1", *, at: int = 1_000) -> Path:
    """The agent puts a file out for people."""
    path = folder / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def kept(stage: Stage, body: str) -> list[bytes | None]:
    """What Linear keeps under the addresses that people read, in their order."""
    paths = [PREFIX + url.partition(PREFIX)[2] for url in LINKED.findall(body)]
    return [stage.linear.store.files[path].content for path in paths]


async def goes_on(stage: Stage, session: str, request: str) -> None:
    """A person writes, and the agent works again; `stage.agent.release("more")` lets it end."""
    stage.agent.plays(request, Use(tool="bash", args={"command": f"wait {request}"}), Say(text="Here."))
    stage.people.follow_up(session, request)
    await stage.until_shown(session, "action", f"wait {request}")


@pytest.mark.deep
async def test_files_are_shown_once_under_answers_that_changed_no_code(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await at_work(stage, "Look.")
        folder = stage.workspace(session)
        puts(folder)
        puts(folder, "runs/report.md", b"# All green\n", at=999)
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert re.fullmatch(
            r"Look\.\n\n!\[shot\.png\]\(http\S+\)\n\n- \[runs/report\.md\]\(http\S+/report\.md\)", body
        ), body
        assert kept(stage, body) == [PNG + b"1", b"# All green\n"]
        assert f"`{FOLDER}/`" in stage.prompts(session)[0]

        await goes_on(stage, session, "and the dark one")
        puts(folder, at=2_000)  # merely touched
        puts(folder, "copy.png")
        puts(folder, "dark.png", PNG + b"2")
        stage.agent.release("and the dark one")
        _, body = await stage.final(session, 2)
        assert body.startswith("Here.\n\n![dark.png](")
        assert kept(stage, body) == [PNG + b"2"]

        await goes_on(stage, session, "again")
        puts(folder, "dark.png", PNG + b"3")
        stage.agent.release("again")
        _, body = await stage.final(session, 3)
        assert kept(stage, body) == [PNG + b"3"]
        await goes_on(stage, session, "nothing new")
        stage.agent.release("nothing new")
        assert await stage.final(session, 4) == ("response", "Here.")
        assert len(stage.linear.store.written) == 4


async def test_files_stand_between_the_words_and_the_receipt_and_in_no_commit(make_stage: MakeStage) -> None:
    async with make_stage(forge=True) as stage:
        session = await at_work(stage)
        folder = stage.workspace(session)
        writes(folder)
        puts(folder)
        commits(folder)
        stage.agent.release("work")
        _, body = await stage.final(session)
        [pull] = stage.forge.repositories["acme/shop"].pulls
        assert body.startswith("Done: add() is there.\n\n![shot.png](http")
        assert body.index("![shot.png]") < body.index("**Pull request:**") < body.index("+++ Receipt")
        changed = stage.forge.repositories["acme/shop"].git("diff", "--name-only", "main", pull["head"]["ref"])
        assert changed == "add.py"
        await stage.quiet()
        # What is saved of a workspace holds all of it: one that is made anew has its outbox, too.
        trusted = next((stage.folder / "data" / "repositories").glob("*.git"))
        saved = git(trusted, "for-each-ref", "--format=%(refname)", "refs/dragoman/checkpoint/")
        assert git(trusted, "ls-tree", "-r", "--name-only", saved, FOLDER) == f"{FOLDER}/shot.png"


@pytest.mark.deep
async def test_a_storage_that_is_away_costs_the_files_and_not_the_answer(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        session = await at_work(stage, "Look.")
        folder = stage.workspace(session)
        stage.linear.store.refuse = [503, 503]
        puts(folder)
        puts(folder, "other.png", PNG + b"2", at=999)
        stage.agent.release("work")
        later = "is not shown: Linear could not be reached. It comes with my next answer."
        assert await stage.final(session) == ("response", f"Look.\n\n- ⚠️ `shot.png` {later}\n- ⚠️ `other.png` {later}")
        assert len(stage.linear.store.written) == 2  # the second file did not ask any more
        await goes_on(stage, session, "more")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        assert kept(stage, body) == [PNG + b"1", PNG + b"2"]


async def test_a_hostile_outbox_gives_nothing_away_and_keeps_nobody_waiting(make_stage: MakeStage) -> None:
    async with make_stage(session={"outbox_files": 3, "outbox_mb": 0.001}) as stage:
        session = await at_work(stage, "Look.")
        folder = stage.workspace(session)
        outbox = puts(folder, "](x) ![y](z).png", at=40).parent
        (outbox / "token.txt").symlink_to(stage.folder / "dragoman.toml")
        os.mkfifo(outbox / "pipe.png")
        os.truncate(puts(folder, "huge.png", PNG), 1 << 40)
        os.utime(outbox / "huge.png", (30, 30))
        for number in range(500):
            puts(folder, f"{number}.png", PNG + str(number).encode(), at=10)
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert "`token.txt` is not shown: it is a link" in body
        assert r"![\]\(x\) \!\[y\]\(z\).png](http" in body
        assert "`huge.png` is not shown: it is larger than 0.001 MB" in body
        assert "501 more files wait: an answer shows 3 at most" in body
        assert kept(stage, body) == [PNG + b"1"]
        assert all(
            file.content != (stage.folder / "dragoman.toml").read_bytes() for file in stage.linear.store.files.values()
        )
        await goes_on(stage, session, "more")
        stage.agent.release("more")
        _, body = await stage.final(session, 2)
        assert "token.txt" not in body
        assert len(kept(stage, body)) == 3


async def test_nothing_is_sent_when_the_operator_wants_none(make_stage: MakeStage) -> None:
    async with make_stage(session={"outbox_files": 0}) as stage:
        session = await at_work(stage, "Look.")
        puts(stage.workspace(session))
        stage.agent.release("work")
        assert await stage.final(session) == ("response", "Look.")
        assert stage.linear.store.files == {}
        assert FOLDER not in stage.prompts(session)[0]


@pytest.mark.deep
async def test_a_kill_between_upload_and_answer_neither_loses_nor_doubles_a_file(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        session = await at_work(stage, "Look.")
        folder = stage.workspace(session)
        puts(folder, "first.png", PNG + b"1", at=20)
        puts(folder, "second.png", PNG + b"2", at=10)
        stage.linear.faults.order(Fault(kind="hang", operation="fileUpload", skip=1))
        stage.agent.release("work")
        await stage.until(lambda: stage.linear.faults.hits.get("hang"), "the second file")
        await stage.kill()
        await stage.start()
        _, body = await stage.final(session)
        assert kept(stage, body) == [PNG + b"1", PNG + b"2"]
        assert len(stage.finals(session)) == 1
        stage.linear.faults.clear()
        assert [file.content for file in stage.linear.store.files.values()].count(PNG + b"1") == 1


async def test_people_without_agent_sessions_read_the_same_in_their_thread(tmp_path: Path, upstream: Path) -> None:
    async with CommentStage(tmp_path, upstream) as stage:
        stage.agent.plays("please fix it", Use(tool="bash", args={"command": "wait work"}), Say(text="Look."))
        session = stage.call()
        await stage.until(lambda: stage.prompts(session), "the prompt")
        puts(stage.workspace(session))
        stage.agent.release("work")
        _, body = await stage.final(session)
        assert kept(stage, body) == [PNG + b"1"]
