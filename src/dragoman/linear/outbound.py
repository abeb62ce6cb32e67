"""From our values to the inputs of Linear's mutations. Pure.

Source  linear.app/developers/agent-interaction (content types, plan), agent-signals (select)
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.activities import Action, Activity, Choice, Elicitation, Failure, Offer, Response, Thought
from dragoman.core.events.linear import Issue
from dragoman.core.events.opencode import Todo
from dragoman.ids import ActivityId, SessionId, UserId
from dragoman.linear.identity import Viewer
from dragoman.linear.text import clean, clip, shorten, sound
from dragoman.record import Record

# Characters. Linear documents no limits; a comment may hold 100,000, and long rows are not read.
BODY_LIMIT = 20_000
RESULT_LIMIT = 4_000
PARAMETER_LIMIT = 200
VERB_LIMIT = 60
LABEL_LIMIT = 100
PLAN_ITEM_LIMIT = 500
_BLANK = "…"  # Linear shows an empty row for a blank body

_PLAN_STATUS = {"pending": "pending", "in_progress": "inProgress", "completed": "completed", "cancelled": "canceled"}
# A person's delegation moves an issue only out of these: agent-best-practices
_NOT_BEGUN = frozenset({"triage", "backlog", "unstarted"})


class Link(Record):
    """A link that Linear shows on a session: `label` and an absolute `url`."""

    label: str
    url: str


def activity_input(
    session: SessionId,
    activity_id: ActivityId,
    activity: Activity,
    *,
    link: str | None = None,
    own: Viewer | None = None,
) -> dict[str, object]:
    """The AgentActivityCreateInput of an activity: bounded, never blank, without mentions of ourselves.

    link  where the whole text is, for the note under a shortened one
    own   who we are, so that we do not call ourselves
    """
    whole: dict[str, object] = {"agentSessionId": session, "id": activity_id}
    match activity:
        case Thought():
            whole["content"] = {"type": "thought", "body": _body(activity.body, link, own)}
        case Action():
            whole["content"] = _action(activity, link, own)
        case Elicitation() | Offer():
            whole["content"] = {"type": "elicitation", "body": _body(activity.body, link, own)}
            if activity.choices:
                whole["signal"] = "select"
                whole["signalMetadata"] = {"options": _options(activity.choices)}
        case Response():
            whole["content"] = {"type": "response", "body": _body(activity.body, link, own)}
        case Failure():
            whole["content"] = {"type": "error", "body": _body(activity.body, link, own)}
    # A sibling of `content`: inside it Linear ignores or refuses it.
    if isinstance(activity, Thought | Action) and activity.fleeting:
        whole["ephemeral"] = True
    return whole


def plan_input(items: Sequence[Todo]) -> dict[str, object]:
    """The AgentSessionUpdateInput that replaces the plan. A status that we do not know is shown as pending."""
    return {
        "plan": [
            {
                "content": clip(clean(item.content), PLAN_ITEM_LIMIT) or _BLANK,
                "status": _PLAN_STATUS.get(item.status, "pending"),
            }
            for item in items
        ]
    }


def links_input(links: Sequence[Link]) -> dict[str, object]:
    """The AgentSessionUpdateInput that adds links; of several with one URL the last counts, as Linear wants them unique."""
    unique = {link.url: {"label": clip(clean(link.label), LABEL_LIMIT) or link.url, "url": link.url} for link in links}
    return {"addedExternalUrls": list(unique.values())}


def may_begin(issue: Issue) -> bool:
    """Whether the issue has not been started, finished or given up."""
    return issue.state_type in _NOT_BEGUN


def begin_input(issue: Issue, *, started_state: str | None, delegate: UserId | None) -> dict[str, object]:
    """The IssueUpdateInput that begins an issue; empty when there is nothing to change. Never touches the assignee.

    started_state  the id of the state to move to, None to leave it
    delegate       our app user, set only when nobody is delegate
    """
    changes: dict[str, object] = {}
    if started_state is not None and may_begin(issue):
        changes["stateId"] = started_state
    if delegate is not None and issue.delegate is None:
        changes["delegateId"] = delegate
    return changes


def _body(text: str, link: str | None, own: Viewer | None) -> str:
    return shorten(clean(text, own).strip(), BODY_LIMIT, link=link) or _BLANK


def _action(action: Action, link: str | None, own: Viewer | None) -> dict[str, str]:
    content = {
        "type": "action",
        "action": clip(clean(action.verb, own), VERB_LIMIT) or _BLANK,
        "parameter": clip(clean(action.subject, own), PARAMETER_LIMIT),
    }
    if action.result is not None:
        content["result"] = shorten(clean(action.result, own).rstrip().lstrip("\n"), RESULT_LIMIT, link=link) or _BLANK
    return content


def _options(choices: Sequence[Choice]) -> list[dict[str, str]]:
    """One button a value: the answer could not tell two of them apart."""
    options: dict[str, dict[str, str]] = {}
    for choice in choices:
        value = clip(sound(choice.value), PARAMETER_LIMIT) or _BLANK  # comes back as it is, and is compared
        options.setdefault(value, {"value": value, "label": clip(clean(choice.label), LABEL_LIMIT) or value})
    return list(options.values())
