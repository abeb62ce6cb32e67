"""kill -9 at each labelled step, and start again: one final a turn in the agent's own words, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from dragoman.sim.faults import Fault
from dragoman.sim.script import Ask, Pause, Say, Think, Use
from tests.marks import deep
from tests.stories.agent_script import Guarded
from tests.stories.conftest import MakeStage
from tests.stories.world import Stage

OWN_WORDS = "Fixed, in my own words."
PLAN = Use(tool="todowrite", args={"todos": [{"content": "Fix", "status": "completed", "priority": "high"}]})
QUESTION = Ask(question="Which?", options=(("One", ""), ("Two", "")))
PUSH = Guarded(tool="bash", args={"command": "git push"})
TOOL = Use(tool="bash", args={"command": "wait tool"})

Reach = Callable[[Stage, str], Awaitable[None]]


def linear_holds(kind: str, operation: str = "agentActivityCreate", content_type: str = "") -> Reach:
    """Linear stops at a request; `hang` before it was carried out, `hang_after` after."""

    async def reach(stage: Stage, session: str) -> None:
        await answer_all(stage, session, until=lambda: bool(stage.linear.faults.hits.get(kind)))

    reach.__dict__["fault"] = Fault(kind=kind, operation=operation, content_type=content_type)
    return reach


def agent_holds(label: str, *, after: bool) -> Reach:
    """OpenCode stops at a request, before or after it was carried out."""

    async def reach(stage: Stage, session: str) -> None:
        held = stage.agent.hold(label, after=after)
        await answer_all(stage, session, until=held.reached.is_set)

    return reach


def shown(kind: str, text: str) -> Reach:
    """People see something."""

    async def reach(stage: Stage, session: str) -> None:
        await answer_all(stage, session, until=lambda: any(k == kind and text in t for k, t in stage.shown(session)))

    return reach


async def answer_all(stage: Stage, session: str, *, until: Callable[[], bool]) -> None:
    """Answer what the agent asks, once each, until something is true. A question that is open then stays open."""
    done: set[str] = set()

    def look() -> bool:
        if until():
            return True
        asked = stage.world.open_elicitation(session)
        if asked is not None and asked.id not in done:
            done.add(asked.id)
            stage.people.answer(session, "once" if "May I" in asked.body else "One")
        return until()

    await stage.until(look, "the step")


LABELS: dict[str, Reach] = {
    "first thought, before it was written": linear_holds("hang", content_type="thought"),
    "first thought, after it was written": linear_holds("hang_after", content_type="thought"),
    "the issue is being read": linear_holds("hang", "issue"),
    "the issue is being claimed": linear_holds("hang_after", "issueUpdate"),
    "thread, before it was made": agent_holds("create_thread", after=False),
    "thread, after it was made": agent_holds("create_thread", after=True),
    "prompt, before it was stored": agent_holds("prompt", after=False),
    "prompt, after it was stored": agent_holds("prompt", after=True),
    "the plan is being shown": linear_holds("hang", "agentSessionUpdate"),
    "a question is open": shown("elicitation", "Which?"),
    "answer, before it was given": agent_holds("question_reply", after=False),
    "answer, after it was given": agent_holds("question_reply", after=True),
    "permission, before it was given": agent_holds("permission_reply", after=False),
    "permission, after it was given": agent_holds("permission_reply", after=True),
    "a tool runs": shown("action", "wait tool"),
    "the model looks for its last word": shown("action", "Ran wait tool →"),
    "final, before it was written": linear_holds("hang", content_type="response"),
    "final, after it was written": linear_holds("hang_after", content_type="response"),
}
ALWAYS = "prompt, after it was stored"


@pytest.mark.parametrize("label", [label if label == ALWAYS else deep(label) for label in LABELS])
async def test_a_crash_loses_nothing_and_repeats_nothing(make_stage: MakeStage, label: str) -> None:
    async with make_stage(apart=True) as stage:
        reach = LABELS[label]
        fault = reach.__dict__.get("fault")
        last = (Pause(until="word"), Say(text=OWN_WORDS))
        stage.agent.plays("please", (Think(text="Hm."), PLAN), QUESTION, PUSH, TOOL, last)
        for gate in ("tool", "word"):
            if gate not in label:
                stage.agent.release(gate)
        if fault is not None:
            stage.linear.faults.order(fault)
        session = stage.mention()
        await reach(stage, session)
        await stage.kill()
        for gate in ("tool", "word"):
            stage.agent.release(gate)
        stage.linear.faults.clear()
        await stage.start()
        for delivery in stage.deliveries(session)[-1:]:  # what was not answered in time comes again
            stage.linear.hooks.resend(delivery)
        await answer_all(stage, session, until=lambda: bool(stage.finals(session)))
        assert stage.finals(session) == [("response", OWN_WORDS)]
        assert stage.plan(session) == [("Fix", "completed")]
        assert len(stage.agent.threads) == 1
        assert len(stage.prompts(session)) == 1
        assert list(stage.agent.player.runs.values()) == [1]
        assert [text for text in stage.thoughts(session) if "Session Started" in text][1:] == []


@pytest.mark.deep
async def test_a_crash_while_a_run_is_being_stopped_still_stops_it_once(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", TOOL, Say(text="never said"))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        held = stage.agent.hold("abort")
        stage.people.stop(session)
        await held.wait_reached()
        await stage.kill()
        held.release()
        await stage.start()
        kind, text = await stage.final(session)
        assert (kind, text.startswith("Stopped")) == ("response", True)
        # Where that took long it was confirmed unseen, and OpenCode may be at it still.
        await stage.until(lambda: not any(thread.busy for thread in stage.agent.threads.values()), "the end of the run")


async def test_a_crash_of_both_resumes_the_run_and_answers_once(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", TOOL, Say(text=OWN_WORDS))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.kill()
        await stage.agent.restart()
        await stage.start()
        assert await stage.final(session) == ("response", OWN_WORDS)
        assert "interrupted" in stage.prompts(session)[1]


@pytest.mark.deep
async def test_what_ended_while_we_were_dead_is_answered_in_the_agents_words(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays(
            "please", TOOL, (Say(text="And then"), Use(tool="bash", args={"command": "echo more"})), Say(text=OWN_WORDS)
        )
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.kill()
        stage.agent.release("tool")
        thread = stage.agent.thread_of(session)
        await stage.until(lambda: not thread.busy, "the end of the run")
        await stage.start()
        assert await stage.final(session) == ("response", OWN_WORDS)
        assert [kind for kind, _ in stage.shown(session)] == ["thought", "action", "thought", "action", "response"]


@pytest.mark.deep
async def test_sigterm_in_the_middle_of_a_run_loses_nothing(make_stage: MakeStage) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", TOOL, Say(text=OWN_WORDS))
        session = stage.mention()
        await stage.until_shown(session, "action", "wait tool")
        await stage.stop()
        await stage.start()
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", OWN_WORDS)
        assert len(stage.prompts(session)) == 1
