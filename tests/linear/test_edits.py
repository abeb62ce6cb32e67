"""Updates of issues, and comments that are not said to us: what those who work on the issue are told."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.core.events.issues import CommentRemoved, CommentWritten, IssueEdited
from dragoman.core.events.linear import Person, Prompted, SessionOpened
from dragoman.ids import UserId
from dragoman.linear.inbound import AboutIssue, Ignored, Reading, Relevant, read
from tests.linear.recorded import APP_USER, changed, recording, signed, without
from tests.linear.test_comments import of_comment

ALICE = Person(id=UserId("b7c1a0de-1f0b-4f35-8f0e-3b8f4f2d1a01"), name="Alice Example", email="alice@acme.example")
BOT = {"id": "bot", "name": "helper", "email": "helper@oauthapp.linear.app"}
ISSUE = "a1b2c3d4-0001-4a00-8a00-000000000123"
COMMENT = "34f7a7e0-b3dc-4c88-9383-07cbf06b186f"
LATER = "2026-11-20T09:20:00.000Z"


def reading(body: bytes, *, name: str = "", called: tuple[str, ...] = ()) -> Reading:
    return read(signed(body), app_user=UserId(APP_USER), name=name, called=called)


def about(body: bytes, *, called: tuple[str, ...] = ()) -> AboutIssue:
    found = reading(body, called=called)
    assert isinstance(found, AboutIssue), found
    return found


def edited(**former: Any) -> bytes:
    """The recorded update of an issue, as one of these fields."""
    return changed("issue-update-completed", updatedFrom={"updatedAt": LATER, **former})


def comment(name: str = "comment-create-mention", **changes: Any) -> bytes:
    return changed(name, **changes)


def test_a_person_edits_the_issue() -> None:
    found = about(edited(title="Old"))
    assert found.issue == ISSUE
    assert found.keys == ("delivery:d-1", f"edited:{ISSUE}:2026-11-20T12:00:00.000Z")
    assert found.event == IssueEdited(by=ALICE, at=1_795_176_000.0, title="Fix accessibility on checkout page")
    both = about(edited(title="Old", description=None)).event
    assert isinstance(both, IssueEdited)
    assert (both.description or "").startswith("Make it screen-reader friendly")


def test_a_description_that_was_emptied_is_empty() -> None:
    body = changed("issue-update-completed", updatedFrom={"description": "Old"}, data__description=None)
    event = about(body).event
    assert isinstance(event, IssueEdited)
    assert (event.title, event.description) == (None, "")


def test_an_issue_that_is_closed_or_taken_away_in_the_same_update_is_only_that() -> None:
    closed = about(edited(title="Old", stateId="before")).event
    assert getattr(closed, "reason", "") == "issue_completed"
    gone = changed(
        "issue-update-completed", updatedFrom={"title": "Old", "delegateId": APP_USER}, data__delegateId=None
    )
    assert getattr(about(gone).event, "reason", "") == "unassigned"
    other = changed(
        "issue-update-completed", updatedFrom={"title": "Old", "delegateId": "other"}, data__delegateId=None
    )
    assert isinstance(about(other).event, IssueEdited)


@pytest.mark.parametrize(
    "actor", [None, {"id": "i", "type": "integration", "service": "slack"}, {**BOT, "type": "user"}]
)
def test_what_no_person_edits_is_no_news(actor: dict[str, Any] | None) -> None:
    found = reading(changed("issue-update-completed", updatedFrom={"title": "Old"}, actor=actor))
    assert isinstance(found, Ignored)
    assert found.reason == "nobody"


def test_a_person_writes_a_comment() -> None:
    found = about(recording("comment-create-mention"))
    assert found.issue == ISSUE
    assert found.keys == ("delivery:d-1", f"comment:{COMMENT}:")
    event = found.event
    assert isinstance(event, CommentWritten)
    assert (event.by, event.comment, event.root) == (ALICE, COMMENT, COMMENT)
    assert (event.text, event.edited, event.addressed) == ("@opencode Please implement this", False, False)
    assert event.at == pytest.approx(1_795_166_103.9)


def test_what_mentions_us_is_known_as_such_and_a_reply_by_its_thread() -> None:
    event = about(comment(data__parentId="root"), called=("OpenCode Agent", "opencode")).event
    assert isinstance(event, CommentWritten)
    assert (event.addressed, event.root) == (True, "root")


def test_a_comment_is_rewritten_or_removed() -> None:
    found = about(comment(action="update", data__updatedAt=LATER, updatedFrom={"body": "Old"}))
    assert isinstance(found.event, CommentWritten)
    assert found.event.edited
    assert found.event.at == 1_795_166_400.0
    assert found.keys[-1] == f"comment:{COMMENT}:{LATER}"
    removed = about(comment(action="remove", createdAt=LATER))
    assert removed.event == CommentRemoved(comment=found.event.comment, at=1_795_166_400.0)


@pytest.mark.parametrize(
    "body,reason",
    [
        (comment(action="update", updatedFrom={"reactionData": []}), "unknown_action"),
        (comment(action="update"), "unknown_action"),
        (comment(action="restore"), "unknown_action"),
        (comment(data__user__id=APP_USER, data__userId=APP_USER), "own_event"),
        (comment(data__body="This thread is for an agent session with opencode."), "own_event"),
        (without("comment-create-mention", "data__user", "data__userId"), "nobody"),
        (comment(data__botActor="{}"), "nobody"),
        (comment(data__user=BOT), "nobody"),
        (without("comment-create-mention", "data__issue", "data__issueId"), "not_ours"),
        (comment(data__body="  "), "odd_shape"),
        (comment(data__id=None), "odd_shape"),
        (comment(data=None), "odd_shape"),
        (comment(data="?"), "odd_shape"),
    ],
)
def test_what_is_no_news(body: bytes, reason: str) -> None:
    found = reading(body)
    assert isinstance(found, Ignored)
    assert found.reason == reason


def test_comments_are_passed_over_while_it_is_not_known_who_we_are() -> None:
    found = read(signed(recording("comment-create-mention")))
    assert isinstance(found, Ignored)
    assert found.reason == "not_ours"


def test_the_root_that_linear_makes_is_nobodys() -> None:
    found = reading(recording("comment-create-artificial-session-root"))
    assert isinstance(found, Ignored)
    assert found.reason == "nobody"


def test_a_session_knows_its_thread_and_the_comment_it_was_opened_by() -> None:
    opened = reading(recording("created-on-comment-thread"))
    assert isinstance(opened, Relevant)
    assert isinstance(opened.event, SessionOpened)
    assert opened.event.root == "7f85d4d5-7fa1-4897-822b-6c0561705f4e"
    assert opened.event.source == "9ba5d4d5-7fa1-4897-822b-6c0561705f50"
    mentioned = reading(recording("created-by-mention"))
    assert isinstance(mentioned, Relevant)
    assert isinstance(mentioned.event, SessionOpened)
    assert mentioned.event.root is not None
    prompted = reading(recording("prompted-follow-up"))
    assert isinstance(prompted, Relevant)
    assert isinstance(prompted.event, Prompted)
    assert prompted.event.root is not None


def test_where_comments_are_the_way_to_us_all_others_are_news() -> None:
    aside = of_comment("by the way")
    assert isinstance(aside, AboutIssue)
    reply = of_comment("by the way", parentId="root")
    assert isinstance(reply, Relevant)
    assert reply.otherwise is not None
    assert isinstance(reply.otherwise.event, CommentWritten)
    said = of_comment("@OpenCode go")
    assert isinstance(said, Relevant)
    assert said.otherwise is None
