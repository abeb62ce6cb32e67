"""What people see in the pretend Linear, and when."""

from __future__ import annotations

import pytest

from tests.sim.conftest import Stage, make_stage


def test_a_new_session_waits_and_is_unresponsive_after_ten_seconds_without_a_sign(stage: Stage) -> None:
    session = stage.mentioned()
    stage.clock.forward(10)
    assert stage.status(session) == "pending"
    assert not stage.world.unresponsive(stage.world.session(session.id))
    stage.clock.forward(0.1)
    assert stage.world.unresponsive(stage.world.session(session.id))
    stage.post(session, "thought")
    assert stage.world.unresponsive(stage.world.session(session.id)), "a late sign does not undo it"


def test_an_external_link_is_a_sign_but_a_title_and_a_plan_are_none(stage: Stage) -> None:
    linked, titled = stage.mentioned(), stage.mentioned()
    stage.agent.update_session(linked.id, {"addedExternalUrls": [{"label": "run", "url": "https://x.example"}]})
    stage.agent.update_session(titled.id, {"summary": "A title"})
    stage.agent.update_session(titled.id, {"plan": [{"content": "look", "status": "pending"}]})
    stage.clock.forward(11)
    assert not stage.world.unresponsive(stage.world.session(linked.id))
    assert stage.world.unresponsive(stage.world.session(titled.id))


def test_a_silent_session_is_stale_after_half_an_hour_and_recovers(stage: Stage) -> None:
    session = stage.mentioned()
    stage.post(session, "thought")
    stage.clock.forward(30 * 60)
    assert stage.status(session) == "active"
    stage.clock.forward(1)
    assert stage.status(session) == "stale"
    stage.post(session, "thought")
    assert stage.status(session) == "active"


@pytest.mark.parametrize(
    "kind, status",
    [("thought", "active"), ("elicitation", "awaitingInput"), ("response", "complete"), ("error", "error")],
)
def test_the_status_follows_from_the_last_activity(stage: Stage, kind: str, status: str) -> None:
    session = stage.mentioned()
    stage.post(session, kind)
    stage.clock.forward(7 * 3600)
    assert stage.status(session) in (status, "stale" if status == "active" else status)
    ended = stage.world.session(session.id).ended_at
    assert (ended is not None) == (status in ("complete", "error"))


def test_a_message_opens_a_finished_session_again(stage: Stage) -> None:
    session = stage.mentioned()
    stage.post(session, "response")
    stage.people.follow_up(session.id, "one more thing")
    assert stage.status(session) == "active"
    assert stage.world.session(session.id).ended_at is None


def test_stop_is_stopping_until_the_agent_confirms(stage: Stage) -> None:
    session = stage.mentioned()
    stage.post(session, "thought")
    stop = stage.people.stop(session.id)
    assert (stop.signal, stop.source_comment) == ("stop", None)
    stage.post(session, "thought")
    assert stage.status(session) == "stopping"
    stage.post(session, "response", "Stopped.")
    assert stage.status(session) == "complete"


def test_ephemeral_rows_vanish_with_the_next_activity_of_the_agent_only(stage: Stage) -> None:
    session = stage.mentioned()
    fleeting = stage.post(session, "thought", ephemeral=True)
    stage.people.follow_up(session.id, "still there?")
    assert fleeting in [row.id for row in stage.world.activities(session.id)]
    stage.post(session, "thought", "gone now", ephemeral=True)
    assert fleeting not in [row.id for row in stage.world.activities(session.id)]
    assert fleeting in [row.id for row in stage.world.activities(session.id, vanished=True)]


@pytest.mark.parametrize("kind, mirrored", [("response", 1), ("elicitation", 1), ("error", 1), ("thought", 0)])
def test_answers_questions_and_errors_become_comments_of_the_thread(stage: Stage, kind: str, mirrored: int) -> None:
    session = stage.mentioned()
    stage.post(session, kind, "Here you are.")
    replies = [c for c in stage.world.comments.values() if c.parent == session.comment]
    assert [c.body for c in replies] == ["Here you are."] * mirrored


def test_a_question_can_be_answered_by_label_by_value_and_in_free_text(stage: Stage) -> None:
    session = stage.mentioned()
    options = {"options": [{"value": "r", "label": "Red"}, {"value": "b", "label": "Blue"}]}

    def answered(choice: str, *, by_label: bool = False) -> str:
        stage.post(session, "elicitation", "Which?", signal="select", signal_metadata=options)
        return stage.people.answer(session.id, choice, by_label=by_label).body

    assert answered("Red") == "r"
    assert answered("r", by_label=True) == "Red"
    assert answered("dark green, please") == "dark green, please"
    with pytest.raises(LookupError):
        stage.people.answer(session.id, "Red")


def test_a_newer_activity_dismisses_a_question(stage: Stage) -> None:
    session = stage.mentioned()
    stage.post(session, "elicitation", "Which?")
    stage.post(session, "thought", "never mind")
    assert stage.world.open_elicitation(session.id) is None


def test_a_mention_in_a_reply_attaches_the_session_to_the_root(stage: Stage) -> None:
    issue = stage.people.create_issue("It is broken")
    root = stage.people.comment(issue.id, "Only on Safari", by=stage.world.bob)
    session = stage.people.mention(issue.id, "find the cause", parent=root.id)
    assert session.comment == root.id
    assert stage.world.comments[session.source_comment or ""].body == "@opencode find the cause"


def test_a_reply_in_the_thread_of_a_session_is_a_message_to_it(stage: Stage) -> None:
    session = stage.mentioned()
    reply = stage.people.comment(session.issue or "", "and hurry", parent=session.comment)
    (prompt,) = stage.world.activities(session.id)
    assert (prompt.body, prompt.source_comment) == ("and hurry", reply.id)


def test_delegation_sets_the_delegate_under_a_stub_and_a_second_one_changes_nothing(stage: Stage) -> None:
    issue = stage.people.create_issue("It is broken")
    session = stage.people.delegate(issue.id)
    changed, root = stage.world.issue(issue.id), stage.world.comments[session.comment or ""]
    assert (changed.delegate, changed.assignee) == (stage.world.agent.id, stage.world.alice.id)
    assert (root.body, root.author) == ("This thread is for an agent session with OpenCode.", None)
    assert stage.people.delegate(issue.id).id == session.id
    assert len(stage.world.sessions) == 1


def test_only_subscribed_resources_are_sent() -> None:
    quiet = make_stage(resources=frozenset({"AgentSessionEvent"}))
    quiet.people.delegate(quiet.people.create_issue("x").id)
    assert [body["type"] for body in quiet.world.webhooks] == ["AgentSessionEvent"]
    loud = make_stage(resources=frozenset({"Issue", "Comment"}))
    issue = loud.people.create_issue("x")
    loud.people.delegate(issue.id)
    loud.people.set_state(issue.id, "Done")
    kinds = [(body["type"], body["action"]) for body in loud.world.webhooks]
    assert kinds == [("Issue", "create"), ("Issue", "update"), ("Comment", "create"), ("Issue", "update")]


def test_the_lowest_started_state_is_not_the_first_one_in_the_list(stage: Stage) -> None:
    started = [state for state in stage.world.states if state.kind == "started"]
    assert stage.world.state("started") == min(started, key=lambda state: state.position) != started[0]


def test_a_comment_that_is_rewritten_or_removed_is_told_and_no_session_hears_of_it(stage: Stage) -> None:
    stage.world.resources.add("Comment")
    issue = stage.people.create_issue("Broken")
    session = stage.people.mention(issue.id, "fix it")
    comment = stage.people.comment(issue.id, "It is line seven.", parent=session.comment)
    stage.people.edit_comment(comment.id, "It is line eight.")
    stage.people.remove_comment(comment.id)
    *_, edited, removed = stage.world.webhooks
    assert (edited["type"], edited["action"], removed["action"]) == ("Comment", "update", "remove")
    assert edited["updatedFrom"]["body"] == "It is line seven."  # type: ignore[index]  # as on the wire
    assert edited["data"]["body"] == "It is line eight."  # type: ignore[index]
    prompts = [row.body for row in stage.world.activities(session.id) if row.kind == "prompt"]
    assert prompts == ["It is line seven."]
    assert comment.id not in stage.world.comments
