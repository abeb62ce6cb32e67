"""What the agent's app is refused, and what it may do."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dragoman.sim.refusals import Refused
from tests.sim.conftest import Stage


@pytest.mark.parametrize(
    "content",
    [
        "text",
        {},
        {"type": "prompt", "body": "agents cannot prompt"},
        {"type": "thought"},
        {"type": "thought", "body": ""},
        {"type": "thought", "body": "  \n"},
        {"type": "thought", "body": 3},
        {"type": "thought", "body": "x", "ephemeral": True},
        {"type": "action", "action": "Ran"},
        {"type": "action", "action": "", "parameter": "ls"},
        {"type": "response", "body": "x", "result": "y"},
    ],
)
def test_content_of_a_wrong_shape_is_refused(stage: Stage, content: Any) -> None:
    session = stage.mentioned()
    with pytest.raises(Refused):
        stage.agent.create_activity(session.id, content)
    assert stage.world.activities(session.id) == []


def test_an_action_may_have_an_empty_parameter_and_no_result(stage: Stage) -> None:
    session = stage.mentioned()
    content = {"type": "action", "action": "Listed files", "parameter": "", "result": None}
    assert stage.agent.create_activity(session.id, content).content == {
        "type": "action",
        "action": "Listed files",
        "parameter": "",
    }


@pytest.mark.parametrize("kind", ["elicitation", "response", "error"])
def test_only_thoughts_and_actions_can_be_ephemeral(stage: Stage, kind: str) -> None:
    with pytest.raises(Refused, match="ephemeral"):
        stage.post(stage.mentioned(), kind, ephemeral=True)


def test_a_second_writer_with_the_same_id_is_refused_and_the_first_stays(stage: Stage) -> None:
    session, ours = stage.mentioned(), str(uuid.uuid4())
    stage.post(session, "thought", "first", activity_id=ours)
    with pytest.raises(Refused, match="already exists"):
        stage.post(session, "thought", "second", activity_id=ours)
    assert [row.body for row in stage.world.activities(session.id)] == ["first"]


@pytest.mark.parametrize(
    "wrong", ["1", "0" * 32, "0a6b1c9d-4e2f-11ef-a1b2-c3d4e5f60718", "0a6b1c9d4e2f47f3a1b2c3d4e5f60718"]
)
def test_an_id_must_be_a_uuid_of_version_4(stage: Stage, wrong: str) -> None:
    with pytest.raises(Refused, match="version 4"):
        stage.post(stage.mentioned(), "thought", activity_id=wrong)


def test_writes_to_a_deleted_or_unknown_session_are_refused(stage: Stage) -> None:
    session = stage.mentioned()
    stage.people.delete_session(session.id)
    with pytest.raises(Refused, match="not found"):
        stage.post(session, "thought")
    with pytest.raises(Refused, match="not found"):
        stage.agent.update_session(str(uuid.uuid4()), {"summary": "x"})


@pytest.mark.parametrize(
    "kind, signal, metadata",
    [
        ("thought", "select", {"options": [{"value": "a"}]}),
        ("elicitation", "stop", None),
        ("elicitation", "select", None),
        ("elicitation", "select", {"options": []}),
        ("elicitation", "select", {"options": [{"label": "no value"}]}),
        ("elicitation", "auth", {}),
    ],
)
def test_signals_that_make_no_sense_are_refused(stage: Stage, kind: str, signal: str, metadata: Any) -> None:
    with pytest.raises(Refused):
        stage.post(stage.mentioned(), kind, signal=signal, signal_metadata=metadata)


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": {"content": "x", "status": "pending"}},
        {"plan": [{"content": "x", "status": "in_progress"}]},
        {"plan": [{"content": " ", "status": "pending"}]},
        {"plan": [{"content": "x", "status": "pending", "priority": "high"}]},
        {"summary": "two\nlines"},
        {"summary": " "},
        {"summary": "x" * 256},
        {"externalUrls": [{"label": "a", "url": "https://a"}, {"label": "b", "url": "https://a"}]},
        {"externalUrls": [{"label": "a", "url": "javascript:alert(1)"}]},
    ],
)
def test_session_updates_of_a_wrong_shape_are_refused(stage: Stage, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        stage.agent.update_session(stage.mentioned().id, changes)


def test_links_are_replaced_added_and_removed_by_url(stage: Stage) -> None:
    session = stage.mentioned()

    def urls(**changes: Any) -> list[str]:
        return [link.url for link in stage.agent.update_session(session.id, changes).links]

    a, b = {"label": "a", "url": "https://a"}, {"label": "b", "url": "https://b"}
    assert urls(addedExternalUrls=[a]) == ["https://a"]
    assert urls(addedExternalUrls=[b, a]) == ["https://b", "https://a"]
    assert urls(removedExternalUrls=["https://b"]) == ["https://a"]
    assert urls(externalUrls=[b], addedExternalUrls=[a]) == ["https://b"]


def test_the_agent_can_be_a_delegate_and_no_assignee(stage: Stage) -> None:
    issue = stage.people.create_issue("x")
    me = stage.world.agent.id
    assert stage.agent.update_issue(issue.identifier, {"delegateId": me}).delegate == me
    with pytest.raises(Refused, match="delegate"):
        stage.agent.update_issue(issue.id, {"assigneeId": me})
    with pytest.raises(Refused, match="WorkflowState"):
        stage.agent.update_issue(issue.id, {"stateId": "nowhere"})


def test_a_reply_needs_a_root_and_a_body_has_a_limit(stage: Stage) -> None:
    issue = stage.people.create_issue("x")
    root = stage.agent.create_comment({"issueId": issue.id, "body": "root"})
    reply = stage.agent.create_comment({"parentId": root.id, "body": "reply"})
    with pytest.raises(Refused, match="top level"):
        stage.agent.create_comment({"parentId": reply.id, "body": "too deep"})
    with pytest.raises(Refused, match="100000"):
        stage.agent.create_comment({"issueId": issue.id, "body": "x" * 100_001})
    with pytest.raises(Refused, match="already exists"):
        stage.agent.create_comment({"issueId": issue.id, "body": "again", "id": root.id})


def test_own_comments_can_be_edited_and_both_are_told(stage: Stage) -> None:
    stage.world.resources.add("Comment")
    issue = stage.people.create_issue("x")
    theirs = stage.people.comment(issue.id, "theirs")
    ours = stage.agent.create_comment({"parentId": theirs.id, "body": "ours"})
    edited = stage.agent.update_comment(ours.id, {"body": "better"})
    assert (edited.body, edited.edits, stage.world.comments[ours.id]) == ("better", 1, edited)
    told = [body for body in stage.world.webhooks if body["type"] == "Comment"]
    assert [body["action"] for body in told] == ["create", "create", "update"]
    with pytest.raises(Refused, match="your own"):
        stage.agent.update_comment(theirs.id, {"body": "mine now"})
    with pytest.raises(Refused, match="empty"):
        stage.agent.update_comment(ours.id, {"body": " "})
    stage.world.remove_comment(ours.id)
    with pytest.raises(Refused, match="not found"):
        stage.agent.update_comment(ours.id, {"body": "gone"})


def test_without_agent_sessions_a_mention_is_a_comment_like_others(stage: Stage) -> None:
    stage.world.agent_sessions = False
    comment = stage.people.comment(stage.people.create_issue("x").id, "@opencode go")
    assert stage.world.thread(comment.id) == [comment]
    assert stage.world.sessions == {}
    assert stage.world.webhooks == []


def test_the_same_url_on_the_same_issue_is_one_attachment(stage: Stage) -> None:
    issue = stage.people.create_issue("x")
    first = stage.agent.attach(issue.id, "https://a", "A")
    second = stage.agent.attach(issue.id, "https://a", "B")
    assert (second.id, len(stage.world.attachments)) == (first.id, 1)


def test_a_session_of_our_own_is_echoed_without_a_creator(stage: Stage) -> None:
    issue = stage.people.create_issue("x")
    session = stage.agent.create_session_on_issue(issue.identifier)
    body: Any = stage.world.webhooks[-1]
    assert (body["action"], body["agentSession"]["id"]) == ("created", session.id)
    assert body["agentSession"]["creator"] is None
