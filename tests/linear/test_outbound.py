import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman import logs
from dragoman.core.activities import Action, Activity, Choice, Elicitation, Failure, Response, Thought
from dragoman.core.events.linear import Issue
from dragoman.core.events.opencode import Todo
from dragoman.ids import ActivityId, IssueId, OrganizationId, SessionId, UserId
from dragoman.linear.identity import Viewer
from dragoman.linear.outbound import (
    BODY_LIMIT,
    PARAMETER_LIMIT,
    RESULT_LIMIT,
    Link,
    activity_input,
    begin_input,
    links_input,
    plan_input,
)
from dragoman.linear.text import clean, clip, shorten

SESSION = SessionId("s-1")
ID = ActivityId("0d4e8c1a-8f0e-4f7b-8a3a-1b2c3d4e5f60")
OWN = Viewer(
    id=UserId("u-app"),
    name="Open Code",
    display_name="opencode",
    url="https://linear.app/acme/profiles/opencode",
    organization=OrganizationId("o-1"),
    url_key="acme",
)


SECRET = "canary-0123456789"


@pytest.mark.parametrize(
    "activity",
    [
        Thought(body=f"It is {SECRET}."),
        Response(body=f"It is {SECRET}."),
        Failure(body=f"It is {SECRET}."),
        Action(verb="Ran", subject=f"echo {SECRET}", result=f"{SECRET}\n"),
        Action(
            verb=f"Ran {SECRET}", subject="x" * (PARAMETER_LIMIT - 8) + SECRET, result="x" * (RESULT_LIMIT - 8) + SECRET
        ),
        Elicitation(body=f"Is it {SECRET}?", choices=(Choice(value="always", label=f"Yes, {SECRET}"),)),
    ],
)
def test_what_an_agent_has_read_of_a_secret_is_not_shown(activity: Activity) -> None:
    logs.keep_secret([SECRET, "always"])
    told = activity_input(SESSION, ID, activity)
    assert SECRET[:8] not in json.dumps(told)
    if isinstance(activity, Elicitation):  # what a button sends is no text
        assert told["signalMetadata"] == {"options": [{"value": "always", "label": f"Yes, {logs.MASK}"}]}
    assert SECRET not in json.dumps(plan_input([Todo(content=f"Try {SECRET}", status="pending")]))


def content(activity: Activity, *, link: str | None = None, own: Viewer | None = None) -> dict[str, str]:
    whole = activity_input(SESSION, ID, activity, link=link, own=own)["content"]
    assert isinstance(whole, dict)
    return whole


@pytest.mark.parametrize(
    "activity, expected",
    [
        (Thought(body="**hm**"), {"content": {"type": "thought", "body": "**hm**"}}),
        (Thought(body="hm", fleeting=True), {"content": {"type": "thought", "body": "hm"}, "ephemeral": True}),
        (
            Action(verb="Running", subject="pytest -q", fleeting=True),
            {"content": {"type": "action", "action": "Running", "parameter": "pytest -q"}, "ephemeral": True},
        ),
        (
            Action(verb="Ran", subject="", result="ok"),
            {"content": {"type": "action", "action": "Ran", "parameter": "", "result": "ok"}},
        ),
        (Elicitation(body="Which?"), {"content": {"type": "elicitation", "body": "Which?"}}),
        (
            Elicitation(
                body="Which?", choices=(Choice(value="once", label="Allow once"), Choice(value="no", label=""))
            ),
            {
                "content": {"type": "elicitation", "body": "Which?"},
                "signal": "select",
                "signalMetadata": {
                    "options": [{"value": "once", "label": "Allow once"}, {"value": "no", "label": "no"}]
                },
            },
        ),
        (Response(body="Done."), {"content": {"type": "response", "body": "Done."}}),
        (Failure(body="It broke."), {"content": {"type": "error", "body": "It broke."}}),
    ],
)
def test_every_kind_of_activity_has_its_shape(activity: Activity, expected: dict[str, object]) -> None:
    assert activity_input(SESSION, ID, activity) == {"agentSessionId": SESSION, "id": ID} | expected


def test_two_choices_of_one_value_become_one_button() -> None:
    ask = Elicitation(body="?", choices=(Choice(value="a", label="A"), Choice(value="a", label="B")))
    assert activity_input(SESSION, ID, ask)["signalMetadata"] == {"options": [{"value": "a", "label": "A"}]}


@pytest.mark.parametrize("blank", ["", " \n\t", "\x00\x1b[31m"])
def test_nothing_blank_is_posted(blank: str) -> None:
    for activity in (Thought(body=blank), Elicitation(body=blank), Response(body=blank), Failure(body=blank)):
        assert content(activity)["body"] == "…"
    assert content(Action(verb=blank, subject=blank, result=blank)) == {
        "type": "action",
        "action": "…",
        "parameter": "",
        "result": "…",
    }


def test_a_long_body_is_cut_at_a_word_and_says_how_long_it_was_and_where_it_is() -> None:
    body = content(Response(body="word " * 10_000), link="https://d.example/s/1")["body"]
    assert len(body) <= BODY_LIMIT
    assert body.endswith("word\n\n… (shortened; 49999 characters in all: https://d.example/s/1)")
    assert content(Response(body="x" * 30_000))["body"].endswith("x\n\n… (shortened; 30000 characters in all)")


def test_results_and_parameters_have_bounds_of_their_own() -> None:
    shown = content(Action(verb="Ran", subject="a\nb  c " * 100, result="line\n" * 2000))
    assert len(shown["parameter"]) == PARAMETER_LIMIT
    assert shown["parameter"].startswith("a b c a b c")
    assert shown["parameter"].endswith("…")
    assert RESULT_LIMIT - 100 < len(shown["result"]) <= RESULT_LIMIT


def test_a_code_block_that_was_cut_is_closed() -> None:
    cut = shorten("```diff\n" + "+ line\n" * 1000, 500)
    assert cut.count("```") == 2
    assert "```\n\n… (shortened" in cut
    closed = shorten("```\ncode\n```\n" + "words " * 1000, 500)
    assert closed.count("```") == 2


@settings(max_examples=300, deadline=None)
@given(st.text(), st.integers(1, 400), st.none() | st.just("https://d.example/x"))
def test_shortened_text_never_exceeds_its_bound(text: str, limit: int, link: str | None) -> None:
    for repeated in (text, text * 50, f"```\n{text * 50}"):
        assert len(shorten(repeated, limit, link=link)) <= limit
        assert len(clip(repeated, limit)) <= limit


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_whatever_the_agent_says_can_be_encoded(text: str) -> None:
    for activity in (Response(body=text), Action(verb=text, subject=text, result=text)):
        written = msgspec.json.encode(activity_input(SESSION, ID, activity, own=OWN))
        assert json.loads(written)["content"]


@pytest.mark.parametrize(
    "said, sent",
    [
        ("ask @opencode again", "ask opencode again"),
        ("@OpenCode, @Open Code and @opencode!", "OpenCode, Open Code and opencode!"),
        ("https://linear.app/acme/profiles/opencode says", "Open Code says"),
        ("[me](https://linear.app/acme/profiles/opencode/)", "[me](Open Code)"),
        ('<user id="u-app">opencode</user> did', "opencode did"),
        # What is not us stays as it is.
        ("mail a@opencode.example", "mail a@opencode.example"),
        ("@opencode-bot @opencoder @alice", "@opencode-bot @opencoder @alice"),
        ("https://linear.app/acme/profiles/opencode2", "https://linear.app/acme/profiles/opencode2"),
        ('<user id="u-2">bob</user>', '<user id="u-2">bob</user>'),
        ("pair \ud83d\ude00 lone \ud800.", "pair 😀 lone \ufffd."),
        ("\x1b[1;31mred\x1b[0m\x00 tab\tline\n", "red tab\tline\n"),
    ],
)
def test_own_mentions_and_what_cannot_be_sent_are_taken_out(said: str, sent: str) -> None:
    assert clean(said, OWN) == sent


def test_the_plan_has_linears_words() -> None:
    todos = [
        Todo(content="a", status="pending"),
        Todo(content="b\nc", status="in_progress"),
        Todo(content="d", status="completed"),
        Todo(content=" ", status="cancelled"),
        Todo(content="e" * 900, status="new word"),
    ]
    assert plan_input(todos) == {
        "plan": [
            {"content": "a", "status": "pending"},
            {"content": "b c", "status": "inProgress"},
            {"content": "d", "status": "completed"},
            {"content": "…", "status": "canceled"},
            {"content": "e" * 499 + "…", "status": "pending"},
        ]
    }
    assert plan_input([]) == {"plan": []}


def test_links_are_unique_by_url() -> None:
    links = [Link(label="a", url="u1"), Link(label="", url="u2"), Link(label="b", url="u1")]
    assert links_input(links) == {"addedExternalUrls": [{"label": "b", "url": "u1"}, {"label": "u2", "url": "u2"}]}


@pytest.mark.parametrize(
    "state, started",
    [
        ("triage", True),
        ("backlog", True),
        ("unstarted", True),
        ("started", False),
        ("completed", False),
        ("canceled", False),
        ("duplicate", False),
        (None, False),
        ("something new", False),
    ],
)
def test_only_an_issue_that_has_not_begun_is_moved(state: str | None, started: bool) -> None:
    issue = Issue(id=IssueId("i"), key="ENG-1", title="t", state_type=state)
    changes = begin_input(issue, started_state="st", delegate=None)
    assert changes == ({"stateId": "st"} if started else {})


def test_we_become_delegate_only_when_there_is_none() -> None:
    issue = Issue(id=IssueId("i"), key="ENG-1", title="t", state_type="started")
    assert begin_input(issue, started_state=None, delegate=UserId("us")) == {"delegateId": "us"}
    taken = Issue(id=IssueId("i"), key="ENG-1", title="t", delegate=UserId("other"))
    assert begin_input(taken, started_state=None, delegate=UserId("us")) == {}
