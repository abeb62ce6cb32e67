"""People without agent sessions: they mention the agent in a comment, and the conversation is in its thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.ids import SessionId, activity_id
from dragoman.sim.faults import Fault
from dragoman.sim.hooks import Mischief
from dragoman.sim.script import Ask, Say, Think, Use
from tests.marks import deep
from tests.stories.agent_script import Guarded
from tests.stories.comment_stage import CommentStage
from tests.stories.conftest import UNHURRIED
from tests.stories.world import Stage

COLOUR = Ask(question="Which colour?", options=(("Red", "warm"), ("Blue", "cold")))
PUSH = Guarded(tool="bash", args={"command": "git push"})
LONG = Use(tool="bash", args={"command": "wait tool"})

MakeStage = Callable[..., CommentStage]


@pytest.fixture
def make_stage(tmp_path: Path, upstream: Path) -> MakeStage:
    """Give a way to make the stage of a story."""

    def make(**how: object) -> CommentStage:
        return CommentStage(tmp_path, upstream, **how)  # type: ignore[arg-type]  # passed on as they are

    return make


async def test_a_mention_is_answered_in_its_thread(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", (Think(text="Hm."), Say(text="Fixed.")))
        session = stage.call("@OpenCode please fix it")
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        progress, answer = stage.written(session)
        assert progress.body.startswith("**What I did**")
        assert "Session Started" in progress.body
        assert answer.body == "Fixed."
        assert {one.parent for one in (progress, answer)} == {stage.place(session).root}
        assert "please fix it" in stage.prompts(session)[0]


async def test_a_follow_up_in_the_thread_keeps_the_context(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Say(text="Fixed."))
        stage.agent.plays("tests too", Say(text="Tested."))
        session = stage.call()
        await stage.final(session)
        stage.reply(session, "and the tests too")
        assert await stage.final(session, 2) == ("response", "Tested.")
        assert len(stage.agent.threads) == 1
        assert len(stage.prompts(session)) == 2


async def test_a_mention_in_a_thread_of_people_makes_that_thread_its_own(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("have a look", Say(text="Looked."))
        issue = stage.issue()
        root = stage.people.comment(issue, "It broke on Friday.")
        stage.people.comment(issue, "On Thursday already.", parent=root.id, by=stage.world.bob)
        await stage.until_delivered()
        session = stage.conversation(root)
        assert stage.written(session) == []
        stage.reply(session, "@opencode have a look and fix it")
        assert await stage.final(session) == ("response", "Looked.")
        assert [one.parent for one in stage.written(session)] == [root.id, root.id]


@pytest.mark.parametrize(
    "words", ["no mention of anybody", "write to bob@opencode.dev", "ask @opencode-bot", "> @OpenCode please\n\nHe did.",
              "it is called `@opencode`"],
)  # fmt: skip
async def test_what_is_not_said_to_the_agent_is_not_answered(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        session = stage.call(words)
        stage.reply(session, "please fix it")
        await stage.quiet()
        assert stage.written(session) == []
        assert stage.agent.threads == {}


@pytest.mark.parametrize(
    "words", ["@Open Code Agent", deep("@opencodeagent"), deep("@OPENCODEAGENT,"), "@open-code-agent:"]
)
async def test_the_name_is_known_however_it_is_written(make_stage: MakeStage, words: str) -> None:
    async with make_stage(settings={"LINEAR_AGENT_NAME": "Open Code Agent"}) as stage:
        stage.agent.plays("please", Say(text="Fixed."))
        session = stage.call(f"{words} please fix it")
        assert await stage.final(session) == ("response", "Fixed.")


@pytest.mark.parametrize(
    "words,chosen", [("2", "Blue"), deep("#2.", "Blue"), deep("blue", "Blue"), ("a dark red", "a dark red")]
)
async def test_a_question_is_answered_by_number_label_or_words(make_stage: MakeStage, words: str, chosen: str) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", COLOUR, Say(text="{answer}"))
        session = stage.call()
        asked = await stage.until_shown(session, "elicitation", "Which colour?")
        assert "1. Red\n2. Blue" in asked
        stage.reply(session, words)
        assert f'"Which colour?"="{chosen}"' in (await stage.final(session))[1]


@pytest.mark.parametrize("words", ["1", deep("@OpenCode 1"), deep("Allow once"), "yes"])
async def test_a_permission_is_given_by_number_or_words(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", PUSH, Say(text="Pushed."))
        session = stage.call()
        assert "1. Allow once" in await stage.until_shown(session, "elicitation", "git push")
        stage.reply(session, words)
        assert await stage.final(session) == ("response", "Pushed.")


@pytest.mark.parametrize("words", ["3", deep("4"), deep("not on a Friday"), deep("12")])
async def test_nothing_else_gives_a_permission(make_stage: MakeStage, words: str) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", PUSH, Say(text="{result}"))
        session = stage.call()
        await stage.until_shown(session, "elicitation", "git push")
        stage.reply(session, words)
        assert "rejected permission" in (await stage.final(session))[1]


async def test_a_later_mention_gives_no_leave_that_its_author_may_not_give(make_stage: MakeStage) -> None:
    async with make_stage(access='approve = [{ users = ["bob@acme.example"] }]') as stage:
        stage.agent.plays("please", PUSH, Say(text="Pushed."))
        session = stage.call()
        await stage.until_shown(session, "elicitation", "git push")
        stage.reply(session, "@OpenCode 1")
        assert "I'm sorry, Alice Example, I may not take this as permission" in (await stage.final(session))[1]
        stage.reply(session, "1", by=stage.world.bob)
        assert await stage.final(session, 2) == ("response", "Pushed.")


async def test_the_offer_after_a_simple_answer_is_taken_by_number(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("who wrote", Say(text="Ann did."))
        session = stage.call("@OpenCode who wrote this?")
        kind, text = await stage.final(session)
        assert (kind, text.startswith("Ann did.")) == ("response", True)
        assert "1. Work on it" in text
        stage.agent.plays("Work on it", Say(text="Worked on it."))
        stage.reply(session, "1")
        assert await stage.final(session, 2) == ("response", "Worked on it.")


@pytest.mark.parametrize("words", ["stop", "Stop.", "@OpenCode stop", "stop @opencode", "/stop"])
@pytest.mark.usefixtures("unhurried")
async def test_stop_stops(make_stage: MakeStage, words: str) -> None:
    async with make_stage(session=UNHURRIED) as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        session = stage.call()
        await stage.until(lambda: stage.agent.player.runs, "the run")
        await stage.until_heard(session, "ToolStarted")
        stage.reply(session, words)
        kind, text = await stage.final(session)
        assert (kind, text.startswith("Stopped.")) == ("response", True)
        stage.agent.plays("go on", Say(text="Went on."))
        stage.reply(session, "go on then, but stop when it is done")
        assert await stage.final(session, 2) == ("response", "Went on.")


async def test_progress_is_one_comment_that_is_edited_now_and_then(make_stage: MakeStage) -> None:
    plan = Use(tool="todowrite", args={"todos": [{"content": "Fix it", "status": "completed", "priority": "high"}]})
    steps = tuple(Use(tool="bash", args={"command": f"echo step {number}"}) for number in range(15))
    async with make_stage() as stage:
        stage.agent.plays("please", plan, *((step,) for step in steps), Say(text="Fixed."))
        session = stage.call()
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        progress, _ = stage.written(session)
        assert "Ran `echo step 14`" in progress.body
        assert "earlier steps" in progress.body
        assert "- [x] Fix it" in progress.body
        assert progress.edited_at is not None
        took_s = progress.edited_at - progress.created_at
        assert 0 < progress.edits <= took_s / 3 + 3


@pytest.mark.deep
async def test_what_the_agent_does_is_seen_while_it_does_it(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", LONG, Say(text="Fixed."))
        session = stage.call()

        def seen() -> bool:
            progress = stage.progress(session)
            return progress is not None and "*Running `wait tool`*" in progress.body

        await stage.until(seen, "the running tool")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")


async def test_a_progress_that_somebody_removed_does_not_keep_the_answer_back(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.unrefused.append("Comment")
        stage.agent.plays("please", LONG, Say(text="Fixed."))
        session = stage.call()
        progress = await stage.until(lambda: stage.progress(session), "the progress")
        stage.world.remove_comment(progress.id)
        stage.agent.release("tool")
        await stage.until(lambda: stage.world.comments.get(activity_id(SessionId(session), 1)), "the answer")
        assert [one.body for one in stage.written(session)] == ["Fixed."]
        stage.unchecked.add(session)  # the beginning of the turn is gone


async def test_own_comments_are_known_by_their_ids_even_where_it_is_not_known_who_we_are(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        assert stage.service is not None
        await stage.until_linear_is_known()
        stage.service.tenant.app_user = None
        stage.agent.plays("please", COLOUR, Say(text="Write @opencode to begin anew."))
        session = stage.call()
        await stage.until_shown(session, "elicitation", "Which colour?")
        await stage.until_delivered()
        stage.reply(session, "1")
        await stage.final(session)
        await stage.quiet()
        assert len(stage.prompts(session)) == 1
        assert len(stage.written(session)) == 3


async def test_comments_of_the_user_whose_key_we_use_are_ignored(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        await stage.until_linear_is_known()
        comment = stage.people.comment(stage.issue(), "@OpenCode please fix it", by=stage.world.agent)
        await stage.quiet()
        assert len(stage.world.thread(comment.id)) == 1
        assert stage.agent.threads == {}


async def test_a_webhook_that_comes_twice_is_heard_once(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", Say(text="Fixed."))
        session = stage.call()
        stage.linear.hooks.resend(stage.linear.hooks.deliveries[-1], copies=3)
        await stage.final(session)
        for delivery in list(stage.linear.hooks.deliveries):
            stage.linear.hooks.resend(delivery)
        await stage.quiet()
        assert len(stage.prompts(session)) == 1
        assert stage.finals(session) == [("response", "Fixed.")]


@pytest.mark.parametrize("backwards", [False, True])
async def test_both_kinds_of_webhooks_are_one_conversation(make_stage: MakeStage, backwards: bool) -> None:
    resources = ("Comment", "AgentSessionEvent", "AppUserNotification")
    async with make_stage(resources=resources, agent_sessions=True) as stage:
        stage.agent.plays("please", COLOUR, Say(text="Fixed."))
        stage.agent.plays("tests too", Say(text="Tested."))
        if backwards:
            stage.linear.hooks.next(Mischief(hold=True), Mischief(hold=True), Mischief(hold=True))
        session = stage.call()
        if backwards:
            stage.linear.hooks.release(lambda held: held[::-1])
        await stage.until_shown(session, "elicitation", "Which colour?")
        stage.reply(session, "1")
        await stage.final(session)
        stage.reply(session, "and the tests too")
        assert await stage.final(session, 2) == ("response", "Tested.")
        await stage.quiet()
        [linears] = stage.world.sessions
        assert stage.world.activities(linears)[0].kind == "prompt"
        assert all(row.kind == "prompt" for row in stage.world.activities(linears))
        assert len(stage.prompts(session)) == 2
        assert len(stage.written(session)) == 5


@pytest.mark.usefixtures("unhurried")
async def test_agent_sessions_alone_are_answered_in_their_threads_too(make_stage: MakeStage) -> None:
    async with make_stage(resources=("AgentSessionEvent",), agent_sessions=True, session=UNHURRIED) as stage:
        stage.agent.plays("please", LONG, Say(text="never said"))
        session = stage.call()
        await stage.until_heard(session, "ToolStarted")
        [linears] = stage.world.sessions
        stage.people.stop(linears)
        assert (await stage.final(session))[1].startswith("Stopped.")


async def test_with_agent_sessions_comments_are_left_alone(tmp_path: Path, upstream: Path) -> None:
    resources = ("Comment", "AgentSessionEvent")
    async with Stage(tmp_path, upstream, linear={"resources": resources}) as stage:
        stage.agent.plays("please", Say(text="Fixed."))
        session = stage.mention("please fix it")
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        assert len(stage.agent.threads) == 1
        assert [one.body for one in stage.world.comments.values() if one.author == stage.world.agent.id] == ["Fixed."]


@pytest.mark.deep
async def test_linear_away_costs_no_answer_and_doubles_none(make_stage: MakeStage) -> None:
    async with make_stage() as stage:
        stage.agent.plays("please", COLOUR, LONG, Say(text="Fixed."))
        session = stage.call()
        await stage.until_shown(session, "elicitation", "Which colour?")
        # The first request is carried out and its answer lost; the next ones are refused.
        stage.linear.faults.order(
            Fault(kind="lose_reply", operation="commentUpdate"),
            Fault(kind="server_error", operation="commentUpdate"),
            Fault(kind="lose_reply", operation="commentCreate"),
            Fault(kind="server_error", operation="commentCreate"),
        )
        stage.reply(session, "Red")
        stage.agent.release("tool")
        assert await stage.final(session) == ("response", "Fixed.")
        await stage.quiet()
        assert len(stage.written(session)) == 3
        progress = stage.progress(session)
        assert progress is not None
        assert progress.body.startswith("**What I did**")


@pytest.mark.parametrize(
    "fault,operation",
    [deep("hang", "Create"), deep("hang", "Update"), deep("hang_after", "Update"), deep("hang_after", "Create")],
)
async def test_a_crash_leaves_one_progress_and_one_answer(make_stage: MakeStage, fault: str, operation: str) -> None:
    async with make_stage(apart=True) as stage:
        stage.agent.plays("please", LONG, Say(text="Fixed."))
        session = stage.call()
        await stage.until(lambda: stage.progress(session), "the progress")
        stage.linear.faults.order(Fault(kind=fault, operation=f"comment{operation}"))
        stage.agent.release("tool")
        await stage.until(lambda: stage.linear.faults.hits.get(fault), "the fault")
        await stage.kill()
        stage.linear.faults.clear()
        await stage.start()
        assert await stage.final(session) == ("response", "Fixed.")

        def told() -> bool:
            progress = stage.progress(session)
            return progress is not None and progress.body.startswith("**What I did**")

        await stage.until(told, "the end of the progress")
        assert len(stage.written(session)) == 2
        assert len(stage.prompts(session)) == 1
