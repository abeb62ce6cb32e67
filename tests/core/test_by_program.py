"""What a program says of its session counts at rest, and nowhere else."""

from __future__ import annotations

from dragoman.core.events.linear import IssueRead, SessionOpened
from dragoman.core.events.operators import CompletionRequested, ErrorCounted, LibraryEvent, SessionMade, ThreadLinked
from dragoman.core.events.runs import RunStarted
from dragoman.core.session import Working
from dragoman.core.status import status
from dragoman.ids import AgentThread, run_id
from tests.builders import SESSION, a_prompt, an_issue
from tests.core.histories import Story
from tests.library.contexts import CONTEXT, a_context

MINE = AgentThread("ses_mine")
ALL: tuple[LibraryEvent, ...] = (
    SessionMade(context=CONTEXT),
    ThreadLinked(thread=MINE),
    ErrorCounted(reason="no answer"),
)


def test_a_session_is_made_once_and_keeps_its_context() -> None:
    story = Story()
    story.hear(SessionMade(context=CONTEXT, issue_key="ENG-7", timeout_s=60.0, max_messages=9))
    story.hear(SessionMade(context=a_context(issue_title="Another")))
    session = story.session
    assert session.context == CONTEXT
    assert session.issue is not None
    assert (session.issue.key, session.issue.title, session.issue.team_key) == ("ENG-7", "Add authentication", "ENG")
    assert session.creator is not None
    assert session.creator.name == "Ann"
    assert (session.timeout_s, session.max_messages) == (60.0, 9)
    assert session.expires_at == story.now + 60.0
    assert story.effects == []  # nothing is done for it, and nobody in Linear hears of it


def test_while_a_turn_is_under_way_a_program_changes_nothing() -> None:
    story = Story()
    run = run_id(SESSION, 1)
    story.hear(SessionOpened(issue=an_issue(), prompt=a_prompt()))
    story.hear(IssueRead(run=run))
    story.hear(RunStarted(run=run, thread=AgentThread("ses_1"), repository="app", directory="/w", branch="b"))
    before = story.session
    assert isinstance(before.phase, Working)
    for event in ALL:
        assert story.hear(event) == ()
    assert story.session == before


def test_a_session_that_is_over_changes_by_none_of_it() -> None:
    story = Story()
    story.hear(SessionMade(context=CONTEXT))
    story.hear(CompletionRequested(reason="done"))
    before = story.session
    for event in ALL:
        story.hear(event)
    assert story.session == before
    assert status(before) == "completed"
