"""Progress, questions and answers as comments: bounded, in one line a step, numbered."""

from __future__ import annotations

from functools import reduce

from dragoman import logs
from dragoman.core.activities import Action, Choice, Elicitation, Failure, Offer, Thought
from dragoman.core.effects import Post, ShowPlan
from dragoman.core.events.opencode import Todo
from dragoman.linear.as_comments import (
    PLAN_ITEM_LIMIT,
    STEP_LIMIT,
    STEPS_KEPT,
    Progress,
    add,
    comment_body,
    progress_body,
)
from dragoman.linear.outbound import BODY_LIMIT
from tests.builders import a_fleeting_post, a_post

EMPTY = Progress(comment=a_post("begin").id)


def shown(*posts: Post | ShowPlan, ended: bool = False) -> str:
    return progress_body(reduce(add, posts, EMPTY), ended=ended)


def test_steps_are_lines_and_what_runs_now_is_last_until_something_else_is_done() -> None:
    ran = a_post("a", Action(verb="Ran", subject="make `all`", result="Done"))
    failed = a_post("b", Action(verb="Ran", subject="make test", result="Failed:\nno"))
    thought = a_post("c", Thought(body="A thought\n\nof two lines."))
    running = a_post("d", Action(verb="Running", subject="sleep", fleeting=True))
    assert shown(ran, failed, thought, running).splitlines() == [
        "**Working on it…**", "", "- Ran `make 'all'`", "- Ran `make test` (failed)", "- A thought of two lines.",
        "- *Running `sleep`*",
    ]  # fmt: skip
    assert "sleep" not in shown(running, ran)
    assert "sleep" not in shown(ran, running, ended=True)


def test_half_a_secret_is_not_shown_where_a_line_is_cut() -> None:
    secret = "canary-0123456789"
    logs.keep_secret([secret])
    for room in range(STEP_LIMIT - len(secret), STEP_LIMIT):
        long = "x" * room + secret
        steps = (a_post("a", Thought(body=long)), a_post("b", Action(verb="Ran", subject=long, result="Done")))
        plan = ShowPlan(items=(Todo(content="y" * (PLAN_ITEM_LIMIT - 8) + secret, status="pending"),))
        assert secret[:6] not in shown(*steps, plan)


def test_however_much_is_done_the_comment_stays_short() -> None:
    posts = [a_post(f"part:{number}", Thought(body=f"{number} " + "long " * 2_000)) for number in range(500)]
    plan = ShowPlan(items=tuple(Todo(content="much " * 500, status="pending") for _ in range(300)))
    body = shown(*posts, plan)
    assert len(body) < 8_000
    assert f"… {500 - STEPS_KEPT} earlier steps …" in body
    assert "… and 280 more" in body


def test_what_was_shown_ahead_is_not_shown_again() -> None:
    step = a_post("a", Thought(body="Once."))
    before = Progress(comment=EMPTY.comment, steps=("Once.",), ahead=(step.id,))
    assert add(before, step) == before


def test_a_plan_is_a_list_to_tick_off() -> None:
    states = ("pending", "in_progress", "completed", "cancelled", "unheard of")
    body = shown(ShowPlan(items=tuple(Todo(content=f"is {state}", status=state) for state in states)))
    assert body.splitlines()[-5:] == [
        "- [ ] is pending", "- [ ] **is in_progress**", "- [x] is completed", "- [ ] ~~is cancelled~~", "- [ ] is unheard of"
    ]  # fmt: skip


def test_choices_are_numbered_and_outlive_a_shortened_question() -> None:
    choices = (Choice(value="a", label="First"), Choice(value="b", label="Second\nline"))
    body = comment_body(Elicitation(body="long " * 10_000, choices=choices))
    assert len(body) <= BODY_LIMIT
    assert "\n\n1. First\n2. Second line\n\nReply in this thread" in body
    assert comment_body(Offer(body="Done.", choices=choices[:1])).startswith("Done.\n\n1. First\n\n")


def test_no_comment_is_blank() -> None:
    assert comment_body(Failure(body=" \n")) == "…"
    assert shown(a_post("a", Thought(body=" "))).endswith("- …")
    assert shown(a_fleeting_post("b")).startswith("**Working on it…**")
