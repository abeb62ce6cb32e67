"""Permissions and questions: one before people at a time, answered in any wording, never allowed by a guess."""

from __future__ import annotations

import pytest

from dragoman.core import wording
from dragoman.core.activities import Action, Choice, Elicitation, Thought
from dragoman.core.asks import read_answer, read_permission
from dragoman.core.effects import AnswerPermission, AnswerQuestion, Post, SteerRun, when_parked
from dragoman.core.events.opencode import AskGone, PermissionAsked, Question, QuestionAsked, Tool
from dragoman.core.events.runs import RunFailed
from dragoman.core.session import Resting, Working
from dragoman.ids import AgentThread, AskId, RunId
from tests.core.histories import WHICH_COLOUR, Story, bodies, shown

LEAVE = PermissionAsked(
    run=RunId("s/1"),
    ask=AskId("per_1"),
    thread=AgentThread("ses_1"),
    permission="bash",
    subject="rm x",
    always=("rm *",),
)


# ── permissions ──────────────────────────────────────────────────────────
def test_a_permission_is_an_elicitation_with_allow_once_first() -> None:
    story = Story().works()
    (asked,) = shown(story.asks_leave(subject="rm -rf build"))
    assert isinstance(asked, Elicitation)
    assert "rm -rf build" in asked.body
    assert asked.choices == (
        Choice(value="once", label="Allow once"),
        Choice(value="always", label="Always allow rm *"),
        Choice(value="reject", label="Reject"),
    )


@pytest.mark.parametrize(
    "words,reply",
    [
        ("once", "once"),
        ("Allow once", "once"),
        ("yes\ufe0f!", "once"),
        ("“OK”", "once"),
        ("always", "always"),
        ("Always allow rm *", "always"),
        ("always allow RM *.", "always"),
        ("reject", "reject"),
        ("Reject.", "reject"),
        ("no", "reject"),
        ("", "reject"),
        ("yes, but only the build folder", "reject"),
        ("allow everything you like", "reject"),
        ("I would not allow once", "reject"),
        ("always be careful", "reject"),
        ("ｙｅｓ", "once"),
    ],
)
def test_label_value_and_plain_yes_or_no_are_understood_and_free_text_never_allows(words: str, reply: str) -> None:
    assert read_permission(LEAVE, words)[0] == reply


def test_free_text_declines_and_is_passed_on_to_the_agent() -> None:
    story = Story().works()
    story.asks_leave()
    followed = story.writes("use git clean instead")
    (reply,) = story.all(AnswerPermission)
    assert (reply.reply, reply.ask) == ("reject", "per_1")
    assert "use git clean instead" in reply.message
    assert bodies(followed) == ["Declined; I told the agent why."]
    assert not story.all(SteerRun)


def test_every_rejection_carries_a_message_so_that_the_run_goes_on() -> None:
    assert read_permission(LEAVE, "no")[1]
    assert read_permission(LEAVE, "")[1]
    assert read_permission(LEAVE, "not now")[1]


@pytest.mark.parametrize("words,reply", [("Allow once", "once"), ("Always allow rm *", "always")])
def test_allowing_is_told_and_the_run_goes_on(words: str, reply: str) -> None:
    story = Story().works()
    story.asks_leave()
    followed = story.writes(words)
    assert [each.reply for each in story.all(AnswerPermission)] == [reply]
    assert bodies(followed) == [wording.asking.permission_answered(reply)]
    assert isinstance(story.phase, Working)
    assert not story.phase.asks


def test_a_permission_that_nobody_answers_is_declined_with_a_message_and_the_run_goes_on() -> None:
    story = Story().works()
    story.asks_leave()
    followed = story.wait(901.0)
    (reply,) = story.all(AnswerPermission)
    assert (reply.reply, reply.message) == ("reject", wording.asking.PERMISSION_EXPIRED_FOR_AGENT)
    assert bodies(followed) == [wording.asking.permission_expired(15)]
    assert isinstance(story.phase, Working)


def test_the_time_of_a_permission_begins_when_it_is_put_before_people() -> None:
    story = Story().works()
    story.asks_leave("per_1")
    story.wait(600.0)
    story.asks_leave("per_2")
    story.wait(200.0)
    story.writes("yes")
    story.wait(899.0)
    assert len(story.all(AnswerPermission)) == 1
    story.wait(2.0)
    assert [each.ask for each in story.all(AnswerPermission)] == ["per_1", "per_2"]


# ── questions ────────────────────────────────────────────────────────────
def test_a_question_shows_its_options_and_takes_the_label() -> None:
    story = Story().works()
    (asked,) = shown(story.asks())
    assert isinstance(asked, Elicitation)
    assert [choice.label for choice in asked.choices] == ["Red", "Blue"]
    assert "Which colour?" in asked.body
    assert "like the sea" in asked.body
    story.writes("blue!")
    assert [each.answers for each in story.all(AnswerQuestion)] == [(("Blue",),)]


def test_several_questions_of_one_ask_come_one_after_another() -> None:
    story = Story().works()
    story.asks(WHICH_COLOUR, Question(text="How many?"))
    between = story.writes("Red")
    assert [type(activity) for activity in shown(between)] == [Elicitation]
    assert "How many?" in bodies(between)[0]
    assert not story.all(AnswerQuestion)
    story.writes("about twelve")
    assert [each.answers for each in story.all(AnswerQuestion)] == [(("Red",), ("about twelve",))]


@pytest.mark.parametrize(
    "words,multiple,labels",
    [
        ("Red", False, ("Red",)),
        (" “RED”. ", False, ("Red",)),
        ("2", False, ("Blue",)),
        ("3", False, ("3",)),
        ("something between the two", False, ("something between the two",)),
        ("red, blue", True, ("Red", "Blue")),
        ("blue, green", True, ("Blue", "green")),
        ("red, blue", False, ("red, blue",)),
        ("  ", False, ("(no answer)",)),
        (" , ", True, (",",)),
    ],
)
def test_an_answer_may_be_a_label_its_number_or_free_text(words: str, multiple: bool, labels: tuple[str, ...]) -> None:
    asked = Question(text="Which?", options=WHICH_COLOUR.options, multiple=multiple)
    assert read_answer(asked, words) == labels


def test_labels_with_emoji_are_found_without_their_variation_selector() -> None:
    asked = Question(text="Sure?", options=(("⚠\ufe0f Go on", ""), ("✔ Wait", "")))
    assert read_answer(asked, "⚠ go on") == ("⚠\ufe0f Go on",)
    assert read_answer(asked, "✔\ufe0f wait") == ("✔ Wait",)


def test_a_question_without_questions_is_answered_at_once_and_people_are_not_bothered() -> None:
    story = Story().works()
    empty = QuestionAsked(run=story.run, ask=AskId("que_1"), thread=AgentThread("ses_1"), questions=())
    assert shown(story.hear(empty)) == []
    assert [each.answers for each in story.all(AnswerQuestion)] == [()]


def test_an_unanswered_question_is_put_again_every_day_under_a_new_id() -> None:
    story = Story().works()
    story.asks()
    story.wait(86_401.0)
    story.wait(86_401.0)
    asked = [post for post in story.all(Post) if isinstance(post.activity, Elicitation)]
    assert len(asked) == 3
    assert len({post.id for post in asked}) == 3
    assert len({post.activity for post in asked}) == 1


def test_the_reminder_of_an_answered_question_does_not_repeat_the_next_one() -> None:
    story = Story().works()
    story.asks(WHICH_COLOUR, Question(text="How many?"))
    story.wait(80_000.0)
    story.writes("Red")
    assert shown(story.wait(10_000.0)) == []
    assert len(shown(story.wait(80_000.0))) == 1


# ── one at a time ────────────────────────────────────────────────────────
def test_a_second_ask_waits_until_the_first_is_answered() -> None:
    story = Story().works()
    story.asks_leave()
    assert story.asks() == ()
    followed = story.writes("once")
    assert [type(activity) for activity in shown(followed)] == [Thought, Elicitation]
    story.writes("Blue")
    assert len(story.all(AnswerQuestion)) == 1


def test_the_same_ask_again_is_not_put_twice() -> None:
    story = Story().works()
    story.asks_leave("per_1")
    story.asks_leave("per_1")
    assert isinstance(story.phase, Working)
    assert len(story.phase.asks) == 1


def test_nothing_is_shown_while_a_question_is_open_and_afterwards_all_of_it_in_order() -> None:
    story = Story().works()
    story.asks()
    story.says("prt_1", "One.")
    during = story.uses("prt_2", Tool(name="bash", input='{"command":"ls"}', output="a"))
    story.says("prt_3", "Three.")
    assert shown(during) == []
    followed = shown(story.writes("Red"))
    assert followed == [
        Thought(body=wording.asking.question_answered("Red")),
        Thought(body="One."),
        Action(verb="Ran", subject="ls", result="```\na\n```"),
        Thought(body="Three."),
    ]


def test_what_is_held_back_stays_so_while_the_next_question_is_open() -> None:
    story = Story().works()
    story.asks_leave()
    story.says("prt_1", "One.")
    story.asks()
    assert "One." not in bodies(story.writes("no"))
    assert bodies(story.writes("Red"))[-1] == "One."


def test_queue_does_not_answer_a_question() -> None:
    story = Story().works()
    story.asks()
    assert shown(story.writes("/queue the docs")) == []
    assert not story.all(AnswerQuestion)
    assert wording.waiting.QUEUED in bodies(story.writes("Red"))
    assert len(story.session.queued) == 1


def test_an_ask_that_was_settled_elsewhere_is_said_to_be_and_the_next_one_comes() -> None:
    story = Story().works()
    story.asks_leave()
    story.asks()
    followed = story.hear(AskGone(run=story.run, ask=AskId("per_1")))
    assert [type(activity) for activity in shown(followed)] == [Thought, Elicitation]


def test_a_question_that_linear_refuses_ends_the_turn_in_words() -> None:
    """Nobody would see it, and everything else is held back while it is open."""
    story = Story().works()
    (post,) = story.asks()[:1]
    told = when_parked(post)
    assert told == RunFailed(run=story.run, reason=wording.trouble.UNASKABLE)
    story.hear(told)
    story.aborts()
    assert wording.trouble.UNASKABLE in story.finals[0].body
    assert when_parked(story.all(Post)[-1]) is None


def test_an_ask_in_the_second_place_goes_without_a_word() -> None:
    story = Story().works()
    story.asks_leave()
    story.asks()
    assert story.hear(AskGone(run=story.run, ask=AskId("que_1"))) == ()
    assert shown(story.writes("yes"))[-1] == Thought(body="Allowed once.")


def test_an_end_while_a_question_is_open_shows_what_was_held_back_before_the_final() -> None:
    story = Story().works()
    story.asks()
    story.says("prt_1", "One.")
    assert bodies(story.settles()) == ["One.", "Fixed."]
    assert isinstance(story.phase, Resting)
