"""What the page is given to show."""

from __future__ import annotations

from dragoman.sim.hooks import Hooks, Mischief
from dragoman.sim.views import Choice, groups_of, issue_view, session_view, webhook_words
from tests.sim.conftest import Stage


def test_a_long_session_shows_its_end_and_counts_the_rest(stage: Stage) -> None:
    session = stage.mentioned()
    for number in range(410):
        stage.post(session, "thought", f"thought {number}")
    view = session_view(stage.world, stage.world.session(session.id))
    assert (len(view.rows), view.older, view.rows[-1].body) == (400, 10, "thought 409")


def test_choices_are_there_only_while_the_question_is_open(stage: Stage) -> None:
    session = stage.mentioned()
    options = {"options": [{"value": "a", "label": "A"}, {"value": "b"}]}
    stage.post(session, "elicitation", "Which?", signal="select", signal_metadata=options)
    asked = session_view(stage.world, stage.world.session(session.id))
    assert asked.choices == (Choice(value="a", label="A"), Choice(value="b", label="b"))
    assert asked.stoppable
    stage.people.answer(session.id, "a")
    stage.post(session, "response")
    after = session_view(stage.world, stage.world.session(session.id))
    assert (after.choices, after.stoppable) == ((), False)


def test_comments_that_mirror_a_session_are_not_shown_twice(stage: Stage) -> None:
    issue = stage.people.create_issue("It is broken")
    root = stage.people.comment(issue.id, "Only on Safari")
    stage.people.comment(issue.id, "No, everywhere", parent=root.id)
    session = stage.people.mention(issue.id, "find it", parent=root.id)
    stage.people.follow_up(session.id, "and hurry")
    stage.post(session, "response", "Found it.")
    (thread,) = issue_view(stage.world, stage.world.issue(issue.id)).threads
    assert [reply.body for reply in thread.replies] == ["No, everywhere", "@opencode find it"]
    assert [view.session.id for view in thread.sessions] == [session.id]


def test_issues_in_work_come_first(stage: Stage) -> None:
    for title, state in (("a", "Done"), ("b", "Backlog"), ("c", "In Review"), ("d", "In Progress"), ("e", "Todo")):
        stage.people.create_issue(title, state=state)
    assert [group.state.name for group in groups_of(stage.world)] == [
        "In Progress",
        "In Review",
        "Todo",
        "Backlog",
        "Done",
    ]


def test_one_line_tells_how_webhooks_fare(stage: Stage) -> None:
    hooks = Hooks(stage.world, url=None, secret="s", clock=stage.clock)
    assert "no address" in webhook_words(hooks)
    hooks.url = "http://127.0.0.1:9/"
    for mischief in (Mischief(hold=True), Mischief(drop=True)):
        hooks.next(mischief)
        hooks.send({"type": "AgentSessionEvent", "action": "created", "webhookTimestamp": 1})
    assert webhook_words(hooks) == "Webhooks: 0 delivered, 1 held, 1 lost"
