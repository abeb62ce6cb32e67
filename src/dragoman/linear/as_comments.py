"""What people read where they have comments instead of agent activities. Pure.

A turn has one comment for its progress, edited in place: its steps in a line each, what runs now, the plan. Questions and
the final answer are comments of their own, since an edit notifies nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dragoman import logs
from dragoman.core import wording
from dragoman.core.activities import Action, Activity, Choice, Elicitation, Failure, Offer, Response, Thought
from dragoman.core.effects import Post, ShowPlan
from dragoman.core.events.opencode import Todo
from dragoman.ids import ActivityId
from dragoman.linear.identity import Viewer
from dragoman.linear.outbound import BODY_LIMIT, LABEL_LIMIT
from dragoman.linear.text import clean, clip, shorten
from dragoman.record import Record

STEPS_KEPT = 12  # lines; older steps are counted
STEP_LIMIT = 240  # characters
PLAN_KEPT = 20  # lines
PLAN_ITEM_LIMIT = 160  # characters
_BLANK = "…"

_MARKS = {"pending": "- [ ] {}", "in_progress": "- [ ] **{}**", "completed": "- [x] {}", "cancelled": "- [ ] ~~{}~~"}


class Progress(Record):
    """What the comment of a turn shows.

    comment   its id: that of the first thing it shows
    steps     what was done, a line each, oldest first; `left_out` older ones are only counted
    now       what runs at the moment; empty when nothing is known to
    plan      the agent's plan
    ahead     ids of what is shown already and is still to be performed: it waited when the comment was last edited
    deleted   somebody has removed the comment: it is not written again
    """

    comment: ActivityId
    steps: tuple[str, ...] = ()
    left_out: int = 0
    now: str = ""
    plan: tuple[Todo, ...] = ()
    ahead: tuple[ActivityId, ...] = ()
    deleted: bool = False


def add(progress: Progress, effect: Post | ShowPlan) -> Progress:
    """The progress with one more step, or another plan; what is shown already is not shown again."""
    if isinstance(effect, ShowPlan):
        return replace(progress, plan=effect.items)
    if effect.id in progress.ahead:
        return progress
    match effect.activity:
        case Thought(fleeting=True) | Action(fleeting=True):
            return replace(progress, now=_line(effect.activity))
        case Thought() | Action():
            steps = (*progress.steps, _line(effect.activity))
            over = max(0, len(steps) - STEPS_KEPT)
            return replace(progress, steps=steps[over:], left_out=progress.left_out + over, now="")
        case _:
            return progress


def progress_body(progress: Progress, *, ended: bool, link: str | None = None, own: Viewer | None = None) -> str:
    """The comment's words.

    ended  the turn has: nothing runs any more
    link   where every step stands in full
    """
    lines = [wording.comments.progress_head(ended=ended), ""]
    if progress.left_out:
        lines.append(f"- {wording.comments.earlier_steps(progress.left_out)}")
    lines += [f"- {step}" for step in progress.steps]
    if progress.now and not ended:
        lines.append(f"- *{progress.now}*")
    if progress.plan:
        lines += ["", wording.comments.PLAN_HEAD, ""]
        lines += [_todo(item) for item in progress.plan[:PLAN_KEPT]]
        if (over := len(progress.plan) - PLAN_KEPT) > 0:
            lines.append(f"- {wording.comments.further_items(over)}")
    if link:
        lines += ["", wording.comments.all_steps(link)]
    return clean("\n".join(lines), own)


def comment_body(activity: Activity, *, link: str | None = None, own: Viewer | None = None) -> str:
    """A question or a final answer as a comment: bounded, never blank, its choices numbered."""
    choices = activity.choices if isinstance(activity, Elicitation | Offer) else ()
    body = _line(activity) if isinstance(activity, Action) else activity.body
    tail = clean(_numbered(choices), own) if choices else ""
    room = BODY_LIMIT - len(tail)
    return (shorten(clean(body, own).strip(), room, link=link) or _BLANK) + tail


def _numbered(choices: Sequence[Choice]) -> str:
    lines = [f"{number}. {clip(choice.label, LABEL_LIMIT)}" for number, choice in enumerate(choices, 1)]
    return "\n\n" + "\n".join(lines) + f"\n\n{wording.comments.choose_by_number(len(choices))}"


def _line(activity: Activity) -> str:
    """A step in one line."""
    match activity:
        case Thought(body=body):
            return clip(logs.without_secrets(body), STEP_LIMIT) or _BLANK
        case Action(verb=verb, subject=subject, result=result):
            subject = clip(logs.without_secrets(subject), STEP_LIMIT).replace("`", "'")
            failed = wording.comments.STEP_FAILED if result is not None and result.startswith("Failed") else ""
            return f"{verb} `{subject}`{failed}" if subject else f"{verb}{failed}"
        case Elicitation(body=body) | Offer(body=body) | Response(body=body) | Failure(body=body):
            return clip(body, STEP_LIMIT) or _BLANK


def _todo(item: Todo) -> str:
    said = clip(logs.without_secrets(item.content), PLAN_ITEM_LIMIT)  # before it is cut: half a secret is not known
    return _MARKS.get(item.status, _MARKS["pending"]).format(said or _BLANK)
