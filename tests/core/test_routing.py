"""Which repository: each rule decides where those before it do not, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dragoman.core.choosing import Facts, Handling, Reason, Trigger
from dragoman.core.events.linear import Suggestion
from dragoman.core.limits import Rules
from dragoman.core.placing import would_be
from dragoman.core.routing import Decision, Place, Routing, find, named_in, read_answer, route
from dragoman.core.triggers import choose

SHOP = Place(name="acme/shop", teams=("ENG",), labels=("Web",))
TILL = Place(name="acme/till", teams=("ENG", "OPS"), projects=("Cash",))
DOCS = Place(name="acme/docs", default=True, template="prose", agent="writer", model="a/words")
ALL = Routing(places=(SHOP, TILL, DOCS))
OPEN = Routing(places=(SHOP, TILL, replace(DOCS, default=False)))
NAMES = [place.name for place in ALL.places]


def facts(words: str = "fix it", **more: Any) -> Facts:
    return Facts(words=words, on="mention", known_issue=True, **more)


def decide(known: Facts, routing: Routing = ALL, *, handling: Handling | None = None, **more: Any) -> Decision:
    return route(known, choose(known, handling or Handling()), routing, **more)


def won(decision: Decision) -> tuple[str, str]:
    (reason,) = [one for one in decision.trace if one.chosen]
    return reason.chosen, reason.because


TRIGGER = Handling(triggers=(Trigger(name="cash", words=("cash",), repository="acme/till"),))


@pytest.mark.parametrize(
    "known, repository, because",
    [
        (facts("fix it [repo=acme/till]", labels=("repo:acme/shop",)), "acme/till", "the request"),
        (facts(r"fix it \[repo=acme/till\]"), "acme/till", "the request"),
        (facts("fix it repo:acme/till, please"), "acme/till", "the request"),
        (facts(r"fix it in repo:acme\/till."), "acme/till", "the request"),
        (facts("[repo=TILL] fix it"), "acme/till", "the request"),
        (facts(labels=("repo:acme/shop",), project="Cash"), "acme/shop", "a `repo:` label"),
        (facts(labels=("Repo:shop",)), "acme/shop", "a `repo:` label"),
        (facts(labels=("web",), project="Cash"), "acme/shop", "its `labels`"),
        (facts(project="cash", team_key="OPS"), "acme/till", "its `projects`"),
        (facts(team_key="OPS"), "acme/till", "its `teams`"),
        (facts(team_key="MKT"), "acme/docs", "it is the default"),
        (facts(), "acme/docs", "it is the default"),
    ],
)
def test_the_first_rule_that_names_one_decides(known: Facts, repository: str, because: str) -> None:
    assert won(decide(known)) == (repository, because)


def test_a_trigger_counts_after_the_request_and_before_a_label() -> None:
    labelled = facts("count the cash", labels=("repo:acme/shop",))
    assert won(decide(labelled, handling=TRIGGER)) == ("acme/till", "trigger “cash”")
    named = facts("count the cash [repo=acme/docs]")
    assert won(decide(named, handling=TRIGGER)) == ("acme/docs", "the request")


def test_what_people_chose_before_counts_after_a_label_that_says_it_and_before_the_rules() -> None:
    assert won(decide(facts(project="Cash"), chosen="acme/shop")) == ("acme/shop", "people chose it for this issue")
    assert won(decide(facts(labels=("repo:till",)), chosen="acme/shop"))[0] == "acme/till"
    assert won(decide(facts(project="Cash"), chosen="acme/gone"))[0] == "acme/till"


def test_a_rule_that_fits_several_leaves_the_choice_among_these_to_what_follows() -> None:
    tied = facts(team_key="ENG")
    asked = decide(tied)
    assert (asked.repository, asked.among) == ("", ("acme/shop", "acme/till"))
    assert any("its `teams` fits several: acme/shop, acme/till" in one.because for one in asked.trace)
    assert any("the default, acme/docs, is not among those that fit" in one.because for one in asked.trace)
    sure = (Suggestion(name="acme/docs", confidence=0.99), Suggestion(name="acme/till", confidence=0.8))
    assert won(decide(tied, suggestions=sure)) == ("acme/till", "Linear suggests it (0.80)")


@pytest.mark.parametrize("confidence, repository", [(0.7, "acme/till"), (0.69, "")])
def test_a_suggestion_counts_from_seven_tenths_on(confidence: float, repository: str) -> None:
    assert decide(facts(), OPEN, suggestions=(Suggestion(name="acme/till", confidence=confidence),)).repository == (
        repository
    )


def test_a_sure_suggestion_comes_before_the_default_and_an_unsure_one_does_not() -> None:
    assert decide(facts(), suggestions=(Suggestion(name="acme/till", confidence=0.9),)).repository == "acme/till"
    assert decide(facts(), suggestions=(Suggestion(name="acme/till", confidence=0.3),)).repository == "acme/docs"


def test_nothing_after_the_suggestion_decides_while_linear_can_still_be_asked() -> None:
    assert decide(facts(), may_ask=True).repository == ""
    assert decide(facts(), suggestions=(), may_ask=True).repository == "acme/docs"
    assert decide(facts(project="Cash"), may_ask=True).repository == "acme/till"
    assert decide(facts(), Routing(places=(SHOP,)), may_ask=True).repository == "acme/shop"


def test_when_nothing_decides_all_are_left_to_choose_from() -> None:
    asked = decide(facts(), OPEN, suggestions=())
    assert (asked.repository, list(asked.among), asked.unknown) == ("", NAMES, "")
    lost = [one.because for one in asked.trace]
    assert lost == [
        "no `repo:` label", "people were not asked before", "no `labels` fit this issue", "no `projects` fit this issue",
        "no `teams` fit this issue", "Linear suggests none", "none is the default",
    ]  # fmt: skip


def test_the_only_repository_is_taken_without_a_word() -> None:
    assert won(decide(facts(), Routing(places=(SHOP,)))) == ("acme/shop", "it is the only one")


def test_what_the_request_names_and_is_not_configured_is_never_replaced_by_a_guess() -> None:
    for routing in (ALL, Routing(places=(SHOP,))):
        asked = decide(facts("fix it [repo=acme/other]", labels=("repo:acme/shop",)), routing)
        assert (asked.repository, asked.unknown) == ("", "acme/other")
    assert decide(facts(), Routing(places=(SHOP,))).repository


def test_a_label_that_names_an_unknown_one_is_told_and_passed_over() -> None:
    found = decide(facts(labels=("repo:acme/other",)))
    assert found.repository == "acme/docs"
    assert Reason(what="repository", chosen="", because="a label names “acme/other”, which is not configured") in (
        found.trace
    )


def test_rules_that_come_after_the_one_that_won_are_told_with_what_they_would_give() -> None:
    found = decide(facts("fix it [repo=acme/till]", labels=("Web",)))
    assert any(one.because == "its `labels` gives acme/shop, but comes after what decided" for one in found.trace)


def test_a_part_of_another_word_names_nothing() -> None:
    for words in ("see monorepo:acme/x", "https://x/repo:acme", "the repo is fine", "repository: acme/till"):
        assert named_in(words) == ()


def test_a_short_name_that_two_have_names_neither() -> None:
    assert find("shop", ["acme/shop", "zeta/shop"]) == ""
    assert find("zeta/SHOP", ["acme/shop", "zeta/shop"]) == "zeta/shop"


@pytest.mark.parametrize(
    "words, answer",
    [
        ("acme/till", ("acme/till", True)),
        (" `ACME/Till`. ", ("acme/till", True)),
        ("till", ("acme/till", True)),
        (r"acme\/till", ("acme/till", True)),
        ("2", ("acme/till", True)),
        ("4", ("", False)),
        ("the till, I think", ("acme/till", False)),
        ("use acme/shop and add a test", ("acme/shop", False)),
        ("@dragoman repo:acme/docs", ("acme/docs", False)),
        ("shop or till?", ("", False)),
        ("shopping", ("", False)),
        ("", ("", False)),
    ],
)
def test_an_answer_may_be_the_label_its_number_the_plain_name_or_free_text(
    words: str, answer: tuple[str, bool]
) -> None:
    assert read_answer(words, NAMES) == answer


def test_a_repository_brings_its_template_agent_model_and_permissions_unless_something_nearer_says_otherwise() -> None:
    rules = Rules(routing=ALL)
    chosen = would_be(facts("fix it"), rules)
    assert (chosen.repository, chosen.agent, chosen.model) == ("acme/docs", "writer", "a/words")
    assert [one.because for one in chosen.trace if one.what == "model"] == ["repository acme/docs"]
    assert would_be(facts("fix it [model=b/other]"), rules).model == "b/other"
    assert would_be(facts("fix it [repo=till]"), rules).model == ""


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_is_written_the_result_is_a_configured_repository_or_a_question(words: str, labels: list[str]) -> None:
    found = decide(facts(words, labels=tuple(labels)), OPEN)
    assert found.repository in ["", *NAMES]
    assert found.repository or found.among
    assert read_answer(words, NAMES)[0] in ["", *NAMES]
