"""`Comment` webhooks where comments are the way to us, and agent sessions' events in the same conversation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragoman.core.events.linear import Prompted, SessionOpened, StopRequested
from dragoman.ids import UserId
from dragoman.linear.inbound import Ignored, Reading, Relevant, read
from dragoman.linear.webhook import Delivery
from dragoman.linear.wire import Payload

US = UserId("user-us")
ISSUE: dict[str, Any] = {"id": "issue-1", "identifier": "ENG-1", "title": "T", "team": {"id": "t", "key": "ENG"}}
ANN: dict[str, Any] = {"id": "user-ann", "name": "Ann", "email": "ann@example.com"}


def of_comment(body: str = "@OpenCode go", *, action: str = "create", name: str = "OpenCode", **data: Any) -> Reading:
    comment = {"id": "c1", "body": body, "issue": ISSUE, "user": ANN, "createdAt": "2026-01-01T00:00:00Z", **data}
    return reading({"type": "Comment", "action": action, "organizationId": "o", "data": comment}, name)


def reading(body: dict[str, Any], name: str = "OpenCode") -> Reading:
    delivery = Delivery(id="d1", payload=msgspec.convert(body, Payload), age_s=1.0, odd=False)
    return read(delivery, app_user=US, name=name)


def test_t40_a_mention_opens_the_conversation_of_its_thread() -> None:
    found = of_comment()
    assert isinstance(found, Relevant)
    assert isinstance(found.event, SessionOpened)
    assert (found.session, found.opens) == ("comment_issue-1_c1", True)
    assert found.keys == ("delivery:d1", "comment:c1")
    prompt = found.event.prompt
    assert (prompt.text, prompt.kind, prompt.activity) == ("go", "mention", "c1")
    assert prompt.author is not None
    assert (prompt.author.name, prompt.sent_at) == ("Ann", 1_767_225_600.0)


def test_a_reply_is_for_us_if_the_thread_is() -> None:
    found = of_comment("and this", parentId="root")
    assert isinstance(found, Relevant)
    assert isinstance(found.event, Prompted)
    assert (found.session, found.opens) == ("comment_issue-1_root", False)


@pytest.mark.parametrize("words,opens", [("stop", False), ("Stop!", False), ("@opencode stop", True), ("/stop", False)])
def test_stop_as_the_whole_message_stops(words: str, opens: bool) -> None:
    found = of_comment(words, parentId="root")
    assert isinstance(found, Relevant)
    assert isinstance(found.event, StopRequested)
    assert found.opens == opens


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"action": "update"}, "unknown_action"),
        ({"action": "archive"}, "unknown_action"),
        ({"user": {"id": US}}, "own_event"),
        ({"user": None, "userId": US}, "own_event"),
        ({"user": None}, "nobody"),
        ({"issue": None}, "not_ours"),
        ({"body": None}, "odd_shape"),
        ({"id": None}, "odd_shape"),
        ({"body": "This thread is for an agent session with OpenCode. @OpenCode", "parentId": "r"}, "own_event"),
    ],
)
def test_t39_own_comments_and_all_that_is_not_said_to_us_is_ignored(change: dict[str, Any], reason: str) -> None:
    found = of_comment(**change)
    assert isinstance(found, Ignored)
    assert found.reason == reason


def test_t37_data_that_is_null_is_ignored() -> None:
    found = reading({"type": "Comment", "action": "create", "organizationId": "o", "data": None})
    assert isinstance(found, Ignored)
    assert found.reason == "odd_shape"


def of_session(*, comment: dict[str, Any] | None, source: str | None = None, **more: Any) -> Reading:
    session = {"id": "s1", "issue": ISSUE, "comment": comment, "sourceCommentId": source, "creator": ANN}
    body = {"type": "AgentSessionEvent", "action": "created", "organizationId": "o", "agentSession": session}
    return reading(body | more)


def test_an_agent_session_on_a_comment_is_the_conversation_of_that_comment() -> None:
    found = of_session(comment={"id": "c1", "body": "@opencode go"})
    assert isinstance(found, Relevant)
    assert isinstance(found.event, SessionOpened)
    assert (found.session, found.event.prompt.text) == ("comment_issue-1_c1", "go")
    assert found.keys == ("delivery:d1", "created:s1", "comment:c1")


def test_a_mention_in_a_thread_has_the_key_of_the_comment_that_mentions() -> None:
    found = of_session(comment={"id": "root", "body": "It broke."}, source="c2", promptContext="")
    assert isinstance(found, Relevant)
    assert (found.session, found.keys[-1]) == ("comment_issue-1_root", "comment:c2")


def test_a_message_to_an_agent_session_has_the_key_of_its_comment() -> None:
    activity = {"id": "a1", "content": {"type": "prompt", "body": "2"}, "sourceCommentId": "c3", "user": ANN}
    found = of_session(comment={"id": "root"}, action="prompted", agentActivity=activity)
    assert isinstance(found, Relevant)
    assert found.keys == ("delivery:d1", "prompted:a1", "comment:c3")


@pytest.mark.parametrize("more", [{"comment": None}, {"comment": {"id": None}}])
def test_an_agent_session_without_a_thread_cannot_be_answered_by_comment(more: dict[str, Any]) -> None:
    found = of_session(**more)
    assert isinstance(found, Ignored)
    assert found.reason == "not_ours"
