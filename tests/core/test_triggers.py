"""Session or simple answer, and with what: the decision alone."""

from __future__ import annotations

import pytest

from dragoman.core.choosing import Choice, Facts, Handling, PermissionRule, Template, Trigger, Way, rules_of
from dragoman.core.filling import fill
from dragoman.core.triggers import LONG, WORDS, asks_for_guide, choose
from tests.builders import a_person

BUGFIX = Template(name="bugfix", text="First a failing test for {issue.key}.", agent="build", model="acme/small")


def facts(words: str = "hm", on: Way = "mention", *, labels: tuple[str, ...] = (), read: bool = True) -> Facts:
    return Facts(
        words=words, on=on, creator=a_person(), issue_key="ENG-12", issue_title="It breaks", team_key="ENG",
        project="Parser", state="Todo", state_type="unstarted", labels=labels, known_issue=read,
    )  # fmt: skip


def handling(*triggers: Trigger, templates: tuple[Template, ...] = ()) -> Handling:
    return Handling(triggers=triggers, templates=templates, names=("Review Bot",))


def mode(words: str, on: Way = "mention") -> str:
    return choose(facts(words, on), handling()).mode


def because(choice: Choice, what: str = "mode") -> str:
    return next(one.because for one in choice.trace if one.what == what)


@pytest.mark.parametrize("word", WORDS)
def test_each_trigger_word_begins_a_session_in_any_case(word: str) -> None:
    assert mode(f"Hm, {word.upper()}!") == "session"
    assert mode(f"x{word}y") == "simple"


@pytest.mark.parametrize(
    "words",
    [
        "thanks for the help",
        "what is this?",
        "the fixed point of it",
        "see https://example.com/fix/build",
        "@test-bot what is that?",
        "@Review Bot what is that?",
        '<user id="1">create</user> what is that?',
        r"what is that? \[agent=build\]",
        "x" * LONG,
    ],
)
def test_what_has_no_trigger_word_is_answered_simply(words: str) -> None:
    assert mode(words) == "simple"


@pytest.mark.parametrize("words", ["let’s  work", "make it a session", "/session", "Work on it", "x" * (LONG + 1)])
def test_explicit_and_long_requests_begin_sessions(words: str) -> None:
    assert mode(words) == "session"


def test_a_delegation_begins_a_session_whatever_a_trigger_says() -> None:
    choice = choose(facts("", "delegation"), handling(Trigger(name="no", mode="simple")))
    assert (choice.mode, because(choice)) == ("session", "the issue was delegated")


def test_without_sessions_everything_is_simple() -> None:
    assert choose(facts("", "delegation"), handling(), sessions=False).mode == "simple"


@pytest.mark.parametrize(
    "trigger, fits",
    [
        (Trigger(words=("deploy",)), False),
        (Trigger(words=("HM",)), True),
        (Trigger(regex="^h.$"), True),
        (Trigger(regex="^x"), False),
        (Trigger(label=("Bug",)), True),
        (Trigger(label=("docs",)), False),
        (Trigger(team=("eng",)), True),
        (Trigger(project=("other", "parser")), True),
        (Trigger(state=("unstarted",)), True),
        (Trigger(state=("todo",)), True),
        (Trigger(state=("Done",)), False),
        (Trigger(creator=("ann@example.com",)), True),
        (Trigger(creator=("bob",)), False),
        (Trigger(on=("mention",)), True),
        (Trigger(on=("delegation", "follow_up")), False),
        (Trigger(label=("bug",), team=("OPS",)), False),
    ],
)
def test_a_trigger_fits_when_all_its_conditions_hold(trigger: Trigger, fits: bool) -> None:
    named = Trigger(
        **{**{f: getattr(trigger, f) for f in trigger.__struct_fields__}, "name": "mine", "mode": "session"}
    )
    choice = choose(facts(labels=("bug",)), handling(named))
    assert (choice.mode == "session") == fits
    assert ("mine" in because(choice, "trigger")) == (not fits)


def test_a_condition_on_what_is_not_known_does_not_hold() -> None:
    choice = choose(facts(read=False), handling(Trigger(name="mine", label=("bug",), mode="session")))
    assert "the issue's label is not known" in because(choice, "trigger")


def test_the_first_trigger_that_fits_counts_and_one_without_a_mode_leaves_that_to_the_words() -> None:
    first, second = Trigger(name="one", priority=1), Trigger(name="two", mode="session", priority=4)
    choice = choose(facts(), handling(first, second))
    assert (choice.mode, choice.priority) == ("simple", 1)


def test_the_request_is_heard_before_labels_then_the_trigger_then_the_template() -> None:
    trigger = Trigger(name="mine", agent="of-trigger", model="of/trigger", template="bugfix", repository="acme/shop")
    known = handling(trigger, templates=(BUGFIX, Template(name="other")))
    plain = choose(facts("fix it"), handling(Trigger(name="mine", template="bugfix"), templates=(BUGFIX,)))
    assert (plain.agent, plain.model, plain.template) == ("build", "acme/small", "bugfix")
    by_trigger = choose(facts("fix it"), known)
    assert (by_trigger.agent, by_trigger.model, by_trigger.repository) == ("of-trigger", "of/trigger", "acme/shop")
    labels = ("agent:of-label", "model:of/label", "template:other", "priority:low")
    by_label = choose(facts("fix it", labels=labels), known)
    assert (by_label.agent, by_label.model, by_label.template, by_label.priority) == (
        "of-label", "of/label", "other", 4,
    )  # fmt: skip
    words = r"fix it \[agent=my\_agent\] [Model = a/b_c] \[template=bugfix\] [repo=acme/till] [priority=HIGH]"
    by_request = choose(facts(words, labels=labels), known)
    assert (by_request.agent, by_request.model, by_request.template) == ("my_agent", "a/b_c", "bugfix")
    assert (by_request.repository, by_request.priority) == ("acme/till", 2)


def test_what_is_named_and_not_there_is_told_and_left_out() -> None:
    choice = choose(facts("fix it [model=small] [template=bugfux] [priority=now]"), handling(templates=(BUGFIX,)))
    assert (choice.model, choice.template, choice.priority) == ("", "", 0)
    told = " ".join(one.because for one in choice.trace if not one.chosen)
    assert "must be provider/model" in told
    assert "known: bugfix" in told
    assert "urgent, high, medium, low" in told


def test_a_simple_answer_takes_no_template() -> None:
    choice = choose(facts(labels=("template:bugfix",)), handling(templates=(BUGFIX,)))
    assert (choice.template, choice.instructions, choice.agent) == ("", "", "")


def test_a_template_that_plans_first_may_not_write_at_first() -> None:
    choice = choose(facts("fix it [template=big]"), handling(templates=(Template(name="big", plan_first=True),)))
    assert choice.profile == "plan"
    assert {rule.permission for rule in rules_of(choice)[-7:]} >= {"bash", "edit", "write", "task"}


def test_a_triggers_permissions_never_open_what_a_simple_answer_may_not_do() -> None:
    open_all = Trigger(name="open", permissions=(PermissionRule(permission="bash", action="allow"),))
    rules = rules_of(choose(facts(), handling(open_all)))
    assert [rule.action for rule in rules if rule.permission == "bash"] == ["allow", "deny"]
    assert rules_of(choose(facts("fix it"), handling(open_all))) == open_all.permissions


@pytest.mark.parametrize("words", ["help", " Help! ", "GUIDE", "@bot help?", "/help"])
def test_help_or_guide_as_the_whole_message_asks_for_the_guide(words: str) -> None:
    assert asks_for_guide(words, handling())


@pytest.mark.parametrize("words", ["help me", "", "the guide"])
def test_help_within_a_message_does_not(words: str) -> None:
    assert not asks_for_guide(words, handling())


def test_a_template_marks_what_people_wrote_and_leaves_other_braces_alone() -> None:
    filled = fill("{issue.key}: {issue.title} {issue.url} {x: 1} {author}", facts())
    assert filled.startswith("ENG-12: <untrusted-")
    assert "It breaks" in filled
    assert "(not set) {x: 1} Ann" in filled
