"""Which workspace a session gets: real repositories, several sessions of one issue side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dragoman.core.events.linear import IssueRead, SessionOpened
from dragoman.core.events.runs import RunAborted, RunFailed, RunStarted
from dragoman.core.session import Session, Workspace
from dragoman.errors import GitError, Refusal
from dragoman.ids import AgentThread, SessionId, run_id
from dragoman.repositories.configured import Repository
from dragoman.runtime.desk import Desk
from dragoman.runtime.engine import Engine
from tests.builders import ORGANIZATION, a_prompt, an_issue
from tests.repositories.upstream import Upstream, run_git

ONE = SessionId("11111111-0000-4000-8000-000000000001")
TWO = SessionId("22222222-0000-4000-8000-000000000002")
ISSUE = replace(an_issue(), branch_name="ann/eng-12-parser")


def a_desk(engine: Engine, folder: Path, *repositories: Repository) -> Desk:
    made = Desk(engine.ledger, repositories, workspaces_dir=folder / "workspaces", trusted_dir=folder / "trusted")
    engine.listen(made.told)
    return made


@pytest.fixture
def desk(engine: Engine, upstream: Upstream, tmp_path: Path) -> Desk:
    return a_desk(engine, tmp_path, Repository(name="acme/shop", url=str(upstream.directory)))


async def opened(engine: Engine, session: SessionId) -> Session:
    """A session on the issue whose run is to be started."""
    event = SessionOpened(issue=ISSUE, prompt=a_prompt())
    outcome = await engine.receive(session, ORGANIZATION, event)
    assert outcome.session is not None
    return outcome.session


async def started(engine: Engine, session: SessionId, place: Workspace) -> Session:
    """Its run is under way."""
    run = run_id(session, 1)
    await engine.tell(session, IssueRead(run=run, issue=ISSUE))
    outcome = await engine.tell(
        session,
        RunStarted(
            run=run,
            thread=AgentThread(f"ses_{session}"),
            repository=place.repository,
            directory=place.directory,
            branch=place.branch,
        ),
    )
    assert outcome.session is not None
    return outcome.session


def agent_commits(place: Workspace) -> str:
    """The agent fixes something; the commit."""
    directory = Path(place.directory)
    (directory / "fix.py").write_text("fixed = True\n")
    run_git(directory, "add", "--", "fix.py")
    run_git(directory, "commit", "--quiet", "-m", "Fix it")
    return run_git(directory, "rev-parse", "HEAD")


def text_in(place: Workspace, file: str) -> str:
    return Path(place.directory, file).read_text()


def move_away(folder: Path) -> None:
    folder.rename(folder.with_name("moved-away"))


async def test_a_session_gets_a_clone_on_the_branch_that_linear_suggests(engine: Engine, desk: Desk) -> None:
    place, notes = await desk.workspace(await opened(engine, ONE))
    assert (place.repository, place.branch) == ("acme/shop", "ann/eng-12-parser")
    assert run_git(Path(place.directory), "branch", "--show-current") == "ann/eng-12-parser"
    assert run_git(Path(place.directory), "show", "HEAD:README.md") == "hello"
    assert notes == ()


async def test_the_same_session_gets_the_same_again(engine: Engine, desk: Desk) -> None:
    session = await opened(engine, ONE)
    place, _ = await desk.workspace(session)
    again, _ = await desk.workspace(session)  # an attempt that was cut before its outcome was told
    assert again == place
    known = await started(engine, ONE, place)
    agent_commits(place)
    assert (await desk.workspace(known))[0] == place


async def test_a_workspace_that_was_deleted_is_made_again_on_its_branch(engine: Engine, desk: Desk) -> None:
    place, _ = await desk.workspace(await opened(engine, ONE))
    known = await started(engine, ONE, place)
    move_away(Path(place.directory))
    again, _ = await desk.workspace(known)
    assert again == place
    assert text_in(again, "README.md") == "hello\n"


async def test_two_live_sessions_of_an_issue_work_on_two_branches(engine: Engine, desk: Desk) -> None:
    first, _ = await desk.workspace(await opened(engine, ONE))
    second, _ = await desk.workspace(await opened(engine, TWO))  # neither start was told yet
    assert (first.branch, second.branch) == ("ann/eng-12-parser", "ann/eng-12-parser-2")
    assert first.directory != second.directory
    await started(engine, ONE, first)
    three = SessionId("33333333-0000-4000-8000-000000000003")
    third, _ = await desk.workspace(await opened(engine, three))
    assert third.branch == "ann/eng-12-parser-3"


async def test_a_start_that_failed_gives_its_branch_back(engine: Engine, desk: Desk) -> None:
    await desk.workspace(await opened(engine, ONE))
    await engine.tell(ONE, RunFailed(run=run_id(ONE, 1), reason="it did not work"))
    second, _ = await desk.workspace(await opened(engine, TWO))
    assert second.branch == "ann/eng-12-parser"


async def test_a_new_session_starts_from_the_work_of_one_that_rests(engine: Engine, desk: Desk) -> None:
    first, _ = await desk.workspace(await opened(engine, ONE))
    await started(engine, ONE, first)
    commit = agent_commits(first)
    await engine.tell(ONE, RunFailed(run=run_id(ONE, 1), reason="enough"))
    await engine.tell(ONE, RunAborted(run=run_id(ONE, 1), verified=True))
    second, _ = await desk.workspace(await opened(engine, TWO))
    assert run_git(Path(second.directory), "rev-parse", "HEAD") == commit
    assert text_in(second, "fix.py") == "fixed = True\n"


async def test_the_work_of_a_live_session_is_not_taken(engine: Engine, desk: Desk, upstream: Upstream) -> None:
    first, _ = await desk.workspace(await opened(engine, ONE))
    await started(engine, ONE, first)
    agent_commits(first)
    second, _ = await desk.workspace(await opened(engine, TWO))
    assert run_git(Path(second.directory), "rev-parse", "HEAD") == run_git(upstream.directory, "rev-parse", "HEAD")


async def test_of_several_repositories_the_default_is_taken(engine: Engine, upstream: Upstream, tmp_path: Path) -> None:
    other = Repository(name="acme/other", url=str(tmp_path / "nowhere"))
    ours = Repository(name="acme/shop", url=str(upstream.directory), default=True)
    place, _ = await a_desk(engine, tmp_path, other, ours).workspace(await opened(engine, ONE))
    assert place.repository == "acme/shop"
    undecided = a_desk(engine, tmp_path, other, replace(ours, default=False))
    with pytest.raises(Refusal, match="Which repository to work in is not decided"):
        await undecided.workspace(await opened(engine, TWO))
    session = replace(await opened(engine, TWO), repository="acme/shop")
    place, _ = await undecided.workspace(session)
    assert place.repository == "acme/shop"


async def test_a_repository_that_cannot_be_fetched_is_told(engine: Engine, tmp_path: Path) -> None:
    desk = a_desk(engine, tmp_path, Repository(name="acme/shop", url=str(tmp_path / "nowhere")))
    with pytest.raises(GitError):
        await desk.workspace(await opened(engine, ONE))


async def test_an_older_copy_serves_while_the_remote_is_away(engine: Engine, desk: Desk, upstream: Upstream) -> None:
    await desk.workspace(await opened(engine, ONE))
    move_away(upstream.directory)
    place, notes = await desk.workspace(await opened(engine, TWO))
    assert text_in(place, "README.md") == "hello\n"
    assert len(notes) == 1
