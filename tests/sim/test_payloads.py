"""Webhook bodies, held against the examples that were written from Linear's types."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman.sim.records import GuidanceRule
from tests.sim.conftest import Stage, make_stage

EVERYTHING = frozenset({"AgentSessionEvent", "AppUserNotification", "PermissionChange", "OAuthApp", "Issue", "Comment"})
# What only some bodies have, as their types allow: present in either of the two.
OPTIONAL = {"avatarUrl", "prioritySortOrder", "completedAt", "canceledAt", "startedAt", "updatedFrom"}


def shape(value: Any) -> Any:
    """Names and kinds of a body, without its values; null and anything else are different kinds."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items()) if name not in OPTIONAL}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def guided() -> tuple[Stage, str]:
    stage = make_stage(resources=EVERYTHING)
    stage.world.guidance = (GuidanceRule(body="Branch from develop."), GuidanceRule(body="acme/checkout", team=True))
    project = stage.world.add_project("Checkout flow", "Faster checkout process")
    issue = stage.people.create_issue("Broken", "Make it work", labels=["bug"], project=project)
    return stage, issue.id


def mention(stage: Stage, issue: str) -> None:
    stage.people.mention(issue, "Please implement this")


def delegation(stage: Stage, issue: str) -> None:
    stage.people.comment(issue, "Design is in the project doc.", by=stage.world.bob)
    stage.people.delegate(issue)


def thread(stage: Stage, issue: str) -> None:
    stage.world.guidance = ()
    root = stage.people.comment(issue, "The focus ring disappears.", by=stage.world.bob)
    stage.people.comment(issue, "Only on Safari, I think.", parent=root.id)
    stage.people.mention(issue, "can you find the cause?", parent=root.id)


def automation(stage: Stage, issue: str) -> None:
    stage.people.automate(issue)


def without_issue(stage: Stage, _: str) -> None:
    stage.world.guidance = ()
    stage.people.mention_in_project(next(iter(stage.world.projects.values())), "is this realistic?")


def follow_up(stage: Stage, issue: str) -> None:
    session = stage.people.mention(issue, "Please implement this")
    stage.post(session, "response")
    stage.agent.update_session(session.id, {"summary": "A title"})
    stage.people.follow_up(session.id, "Looks good, but also add a test.", by=stage.world.bob)


def select_answer(stage: Stage, issue: str) -> None:
    session = stage.people.delegate(issue)
    stage.post(session, "elicitation", "Which?", signal="select", signal_metadata={"options": [{"value": "a"}]})
    stage.people.answer(session.id, "a")


def stop(stage: Stage, issue: str) -> None:
    session = stage.people.mention(issue, "Please implement this")
    stage.post(session, "thought")
    stage.people.stop(session.id)


def unassigned(stage: Stage, issue: str) -> None:
    stage.people.delegate(issue)
    stage.world.resources -= {"Issue"}
    stage.people.unassign(issue)


def uninstalled(stage: Stage, _: str) -> None:
    stage.people.uninstall()


def comment(stage: Stage, issue: str) -> None:
    stage.world.resources = {"Comment"}
    stage.people.mention(issue, "Please implement this")


def completed(stage: Stage, issue: str) -> None:
    stage.people.delegate(issue)
    stage.world.resources -= {"AppUserNotification"}
    stage.people.set_state(issue, "Done")


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    "example, act",
    [
        ("created-by-mention", mention),
        ("created-by-delegation", delegation),
        ("created-on-comment-thread", thread),
        ("created-by-automation-no-creator", automation),
        ("created-without-issue", without_issue),
        ("prompted-follow-up", follow_up),
        ("prompted-select-answer", select_answer),
        ("prompted-stop", stop),
        ("app-user-notification-issueUnassignedFromYou", unassigned),
        ("oauth-app-revoked", uninstalled),
        ("comment-create-mention", comment),
        ("issue-update-completed", completed),
    ],
)
def test_a_body_has_the_shape_of_its_example(shared: Path, example: str, act: Callable[[Stage, str], None]) -> None:
    stage, issue = guided()
    act(stage, issue)
    wanted = json.loads((shared / "linear/fixtures" / f"{example}.json").read_text("utf-8"))
    made = json.loads(json.dumps(stage.world.webhooks[-1]))
    assert shape(made) == shape(wanted)
    assert (made["type"], made["action"]) == (wanted["type"], wanted["action"])
    if "agentSession" in wanted:
        assert made["agentSession"]["status"] == wanted["agentSession"]["status"]


def tags(context: str) -> list[str]:
    return [part.split(">")[0].split(" ")[0] for part in context.split("<")[1:]]


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    "example, act",
    [("created-by-automation-no-creator", automation), ("created-by-delegation", delegation)],
)
def test_the_prompt_context_has_the_parts_of_its_example(
    shared: Path, example: str, act: Callable[[Stage, str], None]
) -> None:
    stage, issue = guided()
    stage.world.put(replace(stage.world.issue(issue), labels=(stage.world.label("bug"),) * 2))
    act(stage, issue)
    wanted = json.loads((shared / "linear/fixtures" / f"{example}.json").read_text("utf-8"))
    assert tags(str(stage.world.webhooks[-1]["promptContext"])) == tags(wanted["promptContext"])


def test_a_thread_context_holds_all_comments_with_the_mention_as_a_user_tag() -> None:
    stage, issue = guided()
    thread(stage, issue)
    context = str(stage.world.webhooks[-1]["promptContext"])
    agent = f'<user id="{stage.world.agent.id}">opencode</user>'
    assert f"{agent} can you find the cause?</comment>\n</primary-directive-thread>" in context
    assert context.index("The focus ring disappears.") < context.index("Only on Safari") < context.index(agent)


def test_the_body_of_a_prompt_shows_the_session_as_it_was_before() -> None:
    stage, issue = guided()
    follow_up(stage, issue)
    body: Any = stage.world.webhooks[-1]
    assert body["agentSession"]["status"] == "complete"
    assert body["agentActivity"]["content"] == {"type": "prompt", "body": "Looks good, but also add a test."}


def test_times_are_milliseconds_in_utc() -> None:
    stage, _ = guided()
    stage.mentioned()
    body: Any = stage.world.webhooks[-1]
    assert body["webhookTimestamp"] == 1_795_000_000_000
    assert body["createdAt"] == "2026-11-18T11:06:40.000Z"


def test_lost_access_to_the_team_and_an_edited_issue_are_told() -> None:
    stage, issue = guided()
    stage.people.change_team_access(allowed=False)
    lost: Any = stage.world.webhooks[-1]
    assert (lost["type"], lost["addedTeamIds"], lost["removedTeamIds"]) == (
        "PermissionChange",
        [],
        [stage.world.team.id],
    )
    stage.people.edit_issue(issue, title="Broken a little", by=stage.world.bob)
    edited: Any = stage.world.webhooks[-1]
    assert (edited["data"]["title"], edited["updatedFrom"]["title"]) == ("Broken a little", "Broken")
    assert edited["actor"]["name"] == "Bob Example"
