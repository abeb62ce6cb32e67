"""When nothing decides where to work, people are asked; the request waits as it was made."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman.core import wording
from dragoman.core.access import deed_of
from dragoman.core.activities import Elicitation, Response
from dragoman.core.asks import WHERE
from dragoman.core.effects import LabelIssue, Post, ReadIssue, StartRun, SteerRun, SuggestRepositories, when_parked
from dragoman.core.events.linear import (
    IssueRead,
    Prompted,
    RepositoriesSuggested,
    RequestRefused,
    Suggestion,
    Withdrawn,
)
from dragoman.core.events.runs import RunFailed
from dragoman.core.events.timers import AskDue
from dragoman.core.limits import Rules
from dragoman.core.routing import Place, Routing
from dragoman.core.session import Choosing, Closed, Resting, Starting, Stopping
from tests.builders import a_person, a_prompt, an_issue
from tests.core.histories import Story, answer, bodies, shown

TWO = Routing(places=(Place(name="acme/shop", teams=("OPS",)), Place(name="acme/till")))


def asked(routing: Routing = TWO, text: str = "please fix it") -> Story:
    """A story whose request waits for the answer of people."""
    story = Story(Rules(routing=routing))
    story.opens(text)
    story.reads_issue()
    story.hear(RepositoriesSuggested(run=story.run))
    assert isinstance(story.phase, Choosing)
    return story


def test_linear_is_asked_only_when_nothing_above_decides() -> None:
    story = Story(Rules(routing=TWO))
    story.opens()
    (suggest,) = story.reads_issue()
    assert isinstance(suggest, SuggestRepositories)
    assert suggest.candidates == (("localhost", "acme/shop"), ("localhost", "acme/till"))
    story.hear(RepositoriesSuggested(run=story.run, suggestions=(Suggestion(name="acme/till", confidence=0.8),)))
    assert story.session.repository == "acme/till"
    with_default = Story(Rules(routing=replace(TWO, places=(replace(TWO.places[0], default=True), TWO.places[1]))))
    with_default.opens()
    with_default.reads_issue()
    assert len(with_default.all(SuggestRepositories)) == 1
    with_default.hear(RepositoriesSuggested(run=with_default.run))
    assert with_default.session.repository == "acme/shop"
    named = Story(Rules(routing=TWO))
    named.opens("please fix it [repo=acme/shop]")
    named.reads_issue()
    assert not named.all(SuggestRepositories)
    assert named.session.repository == "acme/shop"


def test_the_question_is_one_elicitation_with_a_button_for_each() -> None:
    story = asked()
    last = shown(story.effects)[-1]
    assert isinstance(last, Elicitation)
    assert [choice.value for choice in last.choices] == ["acme/shop", "acme/till"]
    assert not story.all(StartRun)


@pytest.mark.parametrize("words", ["acme/till", "till", "2", "the till please"])
def test_the_answer_starts_the_request_as_it_was_made(words: str) -> None:
    story = asked(text="please fix the parser")
    followed = story.writes(words)
    (start,) = story.all(StartRun)
    assert start.prompt.text == "please fix the parser"
    assert wording.place.place_chosen("acme/till") in bodies(followed)
    assert (story.session.repository, story.session.chosen) == ("acme/till", "acme/till")
    choice = story.session.choice
    assert choice is not None
    assert [one.because for one in choice.trace if one.what == "repository" and one.chosen] == ["Ann chose it"]


def test_words_beside_the_name_go_to_the_agent_and_a_bare_name_does_not() -> None:
    story = asked()
    story.writes("till")
    assert not story.all(SteerRun)
    other = asked()
    other.writes("use till, and add a test")
    (steer,) = other.all(SteerRun)
    assert steer.prompt.text == "use till, and add a test"


def test_nonsense_is_asked_about_once_more_and_then_given_up_honestly() -> None:
    story = asked()
    again = shown(story.writes("what do you mean?"))
    assert isinstance(again[-1], Elicitation)
    assert "did not understand" in again[-1].body
    end = story.writes("no idea")
    assert answer(end).startswith("I still do not know in which repository to work, so I have not begun")
    assert story.phase == Resting(after="answered")
    assert not story.all(StartRun)


def test_what_was_not_understood_is_not_lost_once_people_are() -> None:
    story = asked()
    story.writes("and keep it small")
    story.writes("shop")
    assert [steer.prompt.text for steer in story.all(SteerRun)] == ["and keep it small"]


def test_another_repository_than_those_offered_may_be_named() -> None:
    tied = Routing(places=(*(replace(place, teams=("ENG",)) for place in TWO.places), Place(name="acme/docs")))
    story = Story(Rules(routing=tied))
    story.opens()
    story.hear(IssueRead(run=story.run, issue=replace(an_issue(), team_key="ENG")))
    story.hear(RepositoriesSuggested(run=story.run))
    question = shown(story.effects)[-1]
    assert isinstance(question, Elicitation)
    assert [choice.value for choice in question.choices] == ["acme/shop", "acme/till"]
    story.writes("docs")
    assert story.session.repository == "acme/docs"


def test_an_unknown_repository_in_the_request_is_named_in_the_question() -> None:
    story = Story(Rules(routing=TWO))
    story.opens("fix it [repo=acme/other]")
    story.reads_issue()
    assert "I do not know the repository “acme/other”" in bodies(story.effects)[-1]
    assert not story.all(SuggestRepositories)


def test_the_choice_is_remembered_for_the_issue() -> None:
    story = Story(Rules(routing=TWO))
    story.opens()
    story.hear(IssueRead(run=story.run, issue=an_issue(), chosen="acme/till"))
    assert story.session.repository == "acme/till"
    assert not story.all(SuggestRepositories)


def test_the_choice_is_written_to_the_issue_only_when_that_is_wanted() -> None:
    story = asked(replace(TWO, label_back=True))
    story.writes("till")
    assert story.all(LabelIssue) == [LabelIssue(issue=an_issue().id, label="repo:acme/till")]
    silent = asked()
    silent.writes("till")
    assert not silent.all(LabelIssue)


def test_stop_while_choosing_ends_it_and_the_request_is_not_started() -> None:
    story = asked()
    story.stops()
    assert isinstance(story.phase, Stopping)
    story.aborts()
    assert isinstance(story.finals[-1], Response)
    story.writes("fix it in repo:till")
    story.reads_issue()
    assert story.session.repository == "acme/till"
    assert [start.prompt.text for start in story.all(StartRun)] == ["fix it in repo:till"]


def test_a_withdrawal_while_choosing_closes_the_session() -> None:
    story = asked()
    story.writes("/queue later")
    story.hear(Withdrawn(reason="unassigned"))
    story.aborts()
    assert story.phase == Closed(reason="unassigned")


def test_a_message_that_is_to_wait_waits_and_the_question_stays() -> None:
    story = asked()
    assert not shown(story.writes("/queue and then the docs"))
    assert len(story.session.queued) == 1
    followed = story.writes("till")
    assert wording.waiting.QUEUED in bodies(followed)


def test_the_mention_that_comes_after_the_first_message_is_no_answer() -> None:
    story = Story(Rules(routing=TWO))
    story.hear(Prompted(prompt=a_prompt("hurry please"), issue=an_issue()))
    story.reads_issue()
    story.hear(RepositoriesSuggested(run=story.run))
    assert not shown(story.opens("please fix the till"))
    assert isinstance(story.phase, Choosing)
    story.writes("shop")
    assert [steer.prompt.text for steer in story.all(SteerRun)] == ["please fix the till"]


def test_the_question_is_put_again_after_a_day_and_nothing_times_out() -> None:
    story = asked()
    followed = story.wait(90_000.0)
    assert [type(each) for each in shown(followed)] == [Elicitation]
    assert isinstance(story.phase, Choosing)
    assert not story.hear(AskDue(run=story.run, ask=WHERE)), "an early reminder says nothing"


def test_a_refused_person_does_not_choose_and_the_question_is_there_again() -> None:
    story = asked()
    followed = story.hear(RequestRefused(deed="answer", reason="user", person=a_person()))
    assert [type(each) for each in shown(followed)] == [Response, Elicitation]
    assert deed_of(story.session, Prompted(prompt=a_prompt("till"))) == "answer"


def test_a_question_that_linear_does_not_take_ends_the_turn() -> None:
    story = asked()
    post = [effect for effect in story.effects if isinstance(effect, Post)][-1]
    told = when_parked(post)
    assert isinstance(told, RunFailed)
    story.hear(told)
    assert isinstance(story.phase, Resting)


def test_without_an_issue_people_are_asked_at_once() -> None:
    story = Story(Rules(routing=TWO))
    story.opens(with_issue=False)
    assert isinstance(story.phase, Choosing)
    assert not story.all(ReadIssue)


def test_a_session_stays_in_its_repository_and_says_so() -> None:
    story = asked()
    story.writes("till")
    story.starts()
    story.settles()
    story.writes("now in [repo=acme/shop]")
    assert story.session.repository == "acme/till"
    assert wording.place.stays_in("acme/till", "acme/shop") in bodies(story.effects)


def test_an_answer_may_be_followed_by_work_elsewhere() -> None:
    story = Story(Rules(routing=TWO))
    story.opens("where is it? repo:till")
    story.reads_issue()
    story.starts()
    story.settles()
    story.writes("fix it in repo:acme/shop")
    story.reads_issue()
    assert story.session.repository == "acme/shop"
    assert isinstance(story.phase, Starting)
    assert story.session.workspace is None
