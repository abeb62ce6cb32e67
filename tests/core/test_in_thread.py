"""Numbers instead of buttons, and later mentions, in the conversation of a thread of comments."""

from __future__ import annotations

import pytest

from dragoman.core.events import Event
from dragoman.core.events.linear import Prompted, SessionOpened, StopRequested
from dragoman.core.events.opencode import PermissionAsked, Question, QuestionAsked
from dragoman.core.in_thread import as_heard, choices_of
from dragoman.core.session import OpenAsk, Resting, Session, Turn, Working
from dragoman.ids import AgentThread, AskId
from tests.builders import a_person, a_prompt, a_run, a_session, an_issue

TURN = Turn(run=a_run(), number=1)


def asking(*, multiple: bool = False, shown: int = 1) -> Session:
    question = Question(text="Which?", options=(("Red", ""), ("Green", ""), ("Blue", "")), multiple=multiple)
    ask = QuestionAsked(run=a_run(), ask=AskId("que_1"), thread=AgentThread("ses_1"), questions=(question,))
    return with_phase(Working(turn=TURN, asks=(OpenAsk(ask=ask, shown=shown),)))


def allowing() -> Session:
    ask = PermissionAsked(
        run=a_run(), ask=AskId("per_1"), thread=AgentThread("ses_1"), permission="bash", subject="git push"
    )
    return with_phase(Working(turn=TURN, asks=(OpenAsk(ask=ask, shown=1),)))


def with_phase(phase: Working | Resting) -> Session:
    session = a_session(issue=an_issue())
    return Session(
        id=session.id, organization=session.organization, host=session.host, phase=phase, turns=1, messages=1
    )


def words(session: Session, text: str) -> str:
    heard = as_heard(session, Prompted(prompt=a_prompt(text)))
    assert isinstance(heard, Prompted)
    return heard.prompt.text


@pytest.mark.parametrize(
    "text,taken",
    [
        ("1", "Red"),
        (" 3. ", "Blue"),
        ("#2", "Green"),
        ("2)", "Green"),
        ("0", "0"),
        ("4", "4"),
        ("2 of them", "2 of them"),
    ],
)
def test_a_number_is_what_it_stands_for(text: str, taken: str) -> None:
    assert words(asking(), text) == taken


@pytest.mark.parametrize("text", ["1, 3", "1 3", "1 and 3", "1 & 3."])
def test_several_numbers_count_where_several_may_be_chosen(text: str) -> None:
    assert words(asking(multiple=True), text) == "Red, Blue"
    assert words(asking(), text) == text


def test_a_permission_is_given_by_the_first_two_numbers_and_by_no_others() -> None:
    assert [words(allowing(), number) for number in "1234"] == ["Allow once", "Always allow", "Reject", "4"]


def test_a_number_is_a_number_while_nothing_is_before_people() -> None:
    assert words(asking(shown=0), "1") == "1"
    assert words(with_phase(Resting()), "1") == "1"
    assert choices_of(with_phase(Resting(after="answered"))) == ()


def test_a_later_mention_is_one_more_message_and_the_first_one_opens() -> None:
    opened = SessionOpened(issue=an_issue(), prompt=a_prompt("2"))
    later = as_heard(asking(), opened)
    assert isinstance(later, Prompted)
    assert (later.prompt.text, later.issue) == ("Green", an_issue())
    assert as_heard(a_session(), opened) == opened


def test_what_nobody_wrote_passes() -> None:
    event: Event = StopRequested(sent_at=1.0, by=a_person())
    assert as_heard(asking(), event) is event
