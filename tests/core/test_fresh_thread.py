"""A conversation that has grown long goes on in a fresh agent thread, from a summary."""

from __future__ import annotations

from msgspec.structs import replace

from dragoman.core import prompts
from dragoman.core.effects import StartRun
from dragoman.core.events.runs import RunFailed, RunStarted
from dragoman.core.limits import Rules
from dragoman.core.session import Workspace
from dragoman.core.status import status
from dragoman.ids import AgentThread
from tests.builders import a_prompt, a_session
from tests.core.histories import DIRECTORY, THREAD, Story, bodies

FRESH = AgentThread("ses_2")
SUMMARY = "We fixed the parser."


def long() -> Story:
    """A session whose thread has seen as many messages as it may: two turns of two."""
    story = Story(Rules(max_messages=4)).works()
    story.settles()
    story.writes("more")
    story.starts()
    story.settles()
    return story


def begins_afresh(story: Story, summary: str = SUMMARY) -> list[str]:
    event = RunStarted(run=story.run, thread=FRESH, repository="app", directory=DIRECTORY, branch="b", summary=summary)
    return bodies(story.hear(event))


def test_up_to_the_limit_the_thread_stays() -> None:
    story = Story(Rules(max_messages=5)).works()
    story.settles()
    story.writes("more")
    story.starts()
    story.settles()
    assert story.session.messages == 4
    story.writes("the fifth")
    assert (story.session.thread, story.session.leaving) == (THREAD, None)


def test_beyond_it_the_next_turn_leaves_the_thread_and_people_are_told_in_one_thought() -> None:
    story = long()
    assert bodies(story.writes("and this")) == ["On it: “and this”"]
    assert (story.session.thread, story.session.leaving, story.session.threads) == (None, THREAD, 1)
    assert status(story.session) == "active"
    assert begins_afresh(story) == [
        "Our conversation has grown long, so I go on in a fresh thread that starts from the agent's own summary of it."
    ]
    assert (story.session.thread, story.session.leaving) == (FRESH, None)
    assert story.messages[-1].text == f"Summary of the conversation so far: {SUMMARY}"
    assert begins_afresh(story) == []


def test_without_a_summary_people_read_from_what_it_starts() -> None:
    story = long()
    story.writes("and this")
    assert "gave no summary" in begins_afresh(story, summary="")[0]
    assert story.messages[-1].role == "user"


def test_a_start_that_fails_keeps_the_thread_to_be_summed_up_for_the_next() -> None:
    story = long()
    story.writes("and this")
    story.hear(RunFailed(run=story.run, reason="The repository is gone."))
    assert story.session.leaving == THREAD
    story.writes("again")
    assert (story.session.leaving, story.session.threads) == (THREAD, 1)
    assert len(begins_afresh(story)) == 1


def test_the_fresh_thread_counts_from_its_own_beginning() -> None:
    story = long()
    story.writes("and this")
    begins_afresh(story)
    story.settles()
    story.writes("the next")
    assert story.session.thread == FRESH


def test_a_session_may_have_a_limit_of_its_own_and_none_means_never() -> None:
    story = long()
    story.session = replace(story.session, max_messages=100)
    story.writes("and this")
    assert story.session.thread == THREAD
    story = long()
    story.rules = Rules(max_messages=0)
    story.writes("and this")
    assert story.session.thread == THREAD


def test_the_fresh_thread_is_told_the_summary_instead_of_the_history() -> None:
    story = long()
    workspace = Workspace(repository="app", directory="/w", branch="b")
    text = prompts.first_prompt(
        a_session(), a_prompt("and this"), history=story.messages, workspace=workspace, summary=SUMMARY
    )
    assert SUMMARY in text
    assert "and this" in text
    assert "Earlier conversation" not in text


def test_every_start_of_a_run_is_one_effect_whatever_thread_it_gets() -> None:
    story = long()
    story.writes("and this")
    assert len(story.all(StartRun)) == story.session.runs == 3
