"""What a view tells of recorded runs, and how they end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dragoman import logs
from dragoman.core.events.opencode import (
    Aborted,
    AgentEvent,
    Answered,
    AskGone,
    Broke,
    Compacted,
    Declined,
    Outcome,
    PermissionAsked,
    QuestionAsked,
    Reasoned,
    RunInterrupted,
    RunRetrying,
    RunSettled,
    Said,
    Todo,
    TodosChanged,
    ToolFinished,
    ToolStarted,
)
from dragoman.ids import AgentThread, AskId, MessageId
from dragoman.opencode import wire, wire_events
from dragoman.opencode.inbound import CUT_AFTER_S, SETTLED_AFTER_S, RunView
from tests.opencode.recorded import RUN, Recording, Rest, agreed, messages_of


def kinds(name: str) -> list[type[AgentEvent]]:
    return [type(event) for _, event in Recording(name).told()]


def ended(name: str) -> Outcome:
    verdict = Recording(name).outcome()
    assert verdict is not None
    assert isinstance(verdict.event, RunSettled)
    return verdict.event.outcome


@pytest.mark.parametrize(
    "name,told",
    [
        ("a_text_stream", [Reasoned]),
        (
            "b_tools",
            [ToolStarted, Said, ToolFinished, ToolStarted, ToolFinished, ToolStarted, ToolFinished],
        ),
        ("busy_queue", [Said]),
        ("busy_steer", [ToolStarted, ToolFinished]),
        ("c_perm_once", [PermissionAsked, ToolStarted, AskGone, ToolFinished]),
        ("c_perm_reject", [PermissionAsked, ToolStarted, AskGone, ToolFinished]),
        ("d_question", [QuestionAsked, ToolStarted, AskGone, ToolFinished]),
        ("e_todo", [TodosChanged, ToolStarted, ToolFinished]),
        ("f_abort_text", []),
        ("g_429_retry_after", [RunRetrying, RunRetrying]),
        ("h_subagent", [ToolStarted, ToolFinished]),
        ("i_compaction", [ToolStarted, ToolFinished, Compacted]),
    ],
)
def test_facts_of_a_recorded_run_in_their_order(name: str, told: list[type[AgentEvent]]) -> None:
    assert kinds(name) == told


@pytest.mark.parametrize(
    "name,outcome",
    [
        ("a_text_stream", Answered(text="Hello streaming world, one two three.")),
        ("b_tools", Answered(text="All done.")),
        ("busy_queue", Answered(text="answer to third")),
        ("busy_steer", Answered(text="answer to steer")),
        ("c_perm_always", Answered(text="fin")),
        ("c_perm_reject", Declined()),
        ("c_perm_reject_msg", Answered(text="fin after reject")),
        ("c_perm_external", Aborted()),
        ("d_question", Answered(text="thanks")),
        ("d_question_reject", Declined()),
        ("f_abort_bash", Aborted()),
        ("g_401", Broke(cause="credentials", message="Incorrect API key")),
        ("g_429_abort_in_retry", Aborted()),
        ("g_429_retry_after", Answered(text="")),
        ("g_unknown_agent", Broke(cause="not_found", message="Agent not found")),
        ("g_unknown_model", Broke(cause="not_found", message="Model not found")),
        ("g_context_error", Broke(cause="context", message="Session too large to compact")),
        ("h_subagent", Answered(text="parent done")),
        ("i_compaction", Answered(text="Hello from the fake model.")),
    ],
)
def test_outcome_of_a_recorded_run(name: str, outcome: Outcome) -> None:
    seen = ended(name)
    assert type(seen) is type(outcome)
    assert seen.text == outcome.text
    if isinstance(seen, Broke) and isinstance(outcome, Broke):
        assert seen.cause == outcome.cause
        assert seen.message.startswith(outcome.message)


def test_an_aborted_answer_keeps_what_was_said() -> None:
    outcome = ended("f_abort_text")
    assert isinstance(outcome, Aborted)
    assert outcome.text.startswith("long answer long answer")


def test_usage_is_the_sum_over_all_answers() -> None:
    outcome = ended("b_tools")
    assert isinstance(outcome, Answered)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (400, 80)
    assert outcome.usage.cost == pytest.approx(4 * 0.00014)


@pytest.mark.parametrize("name", ["g_conn_refused", "g_stream_error", "g_drop_midstream"])
def test_a_run_that_tries_again_has_not_ended(name: str) -> None:
    assert Recording(name).outcome() is None


def test_an_edit_comes_with_its_diff_and_a_command_with_its_output() -> None:
    finished = [event.tool for _, event in Recording("b_tools").told() if isinstance(event, ToolFinished)]
    assert [tool.name for tool in finished] == ["write", "bash", "edit"]
    assert finished[1].output == "hi\nthere\n"
    assert "-line2\n+LINE2" in finished[2].diff


def test_the_plan_is_told_exactly_as_the_agent_wrote_it() -> None:
    plans = [event.todos for _, event in Recording("e_todo").told() if isinstance(event, TodosChanged)]
    assert plans == [(Todo(content="first", status="in_progress"), Todo(content="second", status="pending"))]


def test_a_permission_says_what_for_and_what_always_would_cover() -> None:
    asked = next(event for _, event in Recording("c_perm_always").told() if isinstance(event, PermissionAsked))
    assert (asked.permission, asked.subject, asked.always) == ("bash", "echo two", ("echo *",))


def test_a_question_comes_with_its_options() -> None:
    asked = next(event for _, event in Recording("d_question").told() if isinstance(event, QuestionAsked))
    assert asked.questions[0].text == "Which colour?"
    assert asked.questions[0].options == (("Red", "r"), ("Blue", "b"))


def test_retries_tell_how_long_the_series_lasts() -> None:
    retries = [event for _, event in Recording("g_500").told() if isinstance(event, RunRetrying)]
    assert [retry.attempt for retry in retries] == [1, 2]
    assert retries[1].since_s == pytest.approx(4.77, abs=0.1)


# ── settling ─────────────────────────────────────────────────────────────
def test_one_read_settles_nothing_and_a_second_one_soon_after_neither() -> None:
    recording = Recording("b_tools")
    view, rest = recording.view(), Rest(recording, recording.events)
    view.apply_snapshot(rest.snapshot(100.0))
    first = view.settled()
    assert first is not None
    assert not first.confirmed
    view.apply_snapshot(rest.snapshot(100.0 + SETTLED_AFTER_S / 2))
    early = view.settled(first)
    assert early is not None
    assert not early.confirmed
    view.apply_snapshot(rest.snapshot(100.0 + SETTLED_AFTER_S * 1.5))
    late = view.settled(early)
    assert late is not None
    assert late.confirmed


def test_a_run_settles_as_soon_when_the_clock_is_set_back_meanwhile() -> None:
    recording = Recording("b_tools")
    view, rest = recording.view(), Rest(recording, recording.events)
    verdict = None
    for at in (9_000.0, 100.0, 100.0 + SETTLED_AFTER_S * 1.5):
        view.apply_snapshot(rest.snapshot(at))
        verdict = view.settled(verdict)
    assert verdict is not None
    assert verdict.confirmed


def test_at_no_moment_of_a_recorded_run_but_the_end_do_two_quick_reads_settle_it() -> None:
    recording = Recording("i_compaction")
    for n in range(len(recording.events) - 8):
        view, rest = recording.view(), Rest(recording, recording.events[:n])
        for at in (100.0, 100.0 + SETTLED_AFTER_S * 2):
            view.apply_snapshot(rest.snapshot(at))
        assert (verdict := view.settled(view.settled())) is None or not verdict.confirmed


def test_the_first_idle_of_an_abort_is_not_taken_for_a_cut() -> None:
    recording = Recording("f_abort_bash")
    first_idle = next(n for n, event in enumerate(recording.events) if isinstance(event, wire_events.SessionIdle))
    view = recording.view()
    early = Rest(recording, recording.events[: first_idle + 1])
    view.apply_snapshot(early.snapshot(100.0))
    seen = view.settled()
    assert seen is not None
    assert isinstance(seen.event, RunInterrupted)
    view.apply_snapshot(Rest(recording, recording.events).snapshot(100.0 + CUT_AFTER_S + 1))
    after = view.settled(seen)
    assert after is not None
    assert not after.confirmed
    assert isinstance(after.event, RunSettled)


def killed_run(attempts: int = 1, messages: int = 2) -> tuple[RunView, Rest]:
    """A run whose server was killed while a command ran, as REST shows it after the restart."""
    told = messages_of("kill9_bash")[:messages]
    recording = Recording("b_tools")
    recording.thread = AgentThread(told[0].info.sessionID)
    rest = Rest(recording, [])
    for message in told:
        rest.infos[message.info.id] = message.info
        rest.parts[message.info.id] = {part.id: part for part in message.parts}
    view = RunView(RUN, recording.thread, "/srv", (MessageId(told[0].info.id),), attempts=attempts)
    return view, rest


def test_a_killed_server_leaves_an_interruption_that_says_a_tool_had_started() -> None:
    view, rest = killed_run(attempts=2)
    verdict = agreed(view, rest)
    assert verdict is not None
    assert verdict.event == RunInterrupted(run=RUN, tools=True, after=2, newest=view.messages[0])
    assert verdict.key == "cut:2"


def test_a_prompt_without_any_answer_is_an_interruption_only_after_a_while() -> None:
    view, rest = killed_run(messages=1)
    view.apply_snapshot(rest.snapshot(100.0))
    first = view.settled()
    view.apply_snapshot(rest.snapshot(100.0 + SETTLED_AFTER_S * 2))
    soon = view.settled(first)
    assert soon is not None
    assert not soon.confirmed
    view.apply_snapshot(rest.snapshot(100.0 + CUT_AFTER_S))
    later = view.settled(soon)
    assert later is not None
    assert later.confirmed
    assert later.event == RunInterrupted(run=RUN, tools=False, after=1, newest=view.messages[0])


def test_an_interruption_says_which_of_our_messages_came_through() -> None:
    view, rest = killed_run()
    view.add_message(MessageId("msg_on_its_way"))
    verdict = agreed(view, rest)
    assert verdict is not None
    assert verdict.event == RunInterrupted(run=RUN, tools=True, after=1, newest=view.messages[0])


def test_a_server_that_died_between_two_steps_leaves_an_interruption() -> None:
    recording = Recording("b_tools")
    rest = Rest(recording, recording.events)
    for message in list(rest.infos)[2:]:
        del rest.infos[message]
    verdict = agreed(recording.view(), rest)
    assert verdict is not None
    assert verdict.event == RunInterrupted(run=RUN, tools=True, after=1, newest=recording.messages[0])


def test_a_message_of_ours_after_the_last_answer_keeps_the_run_from_settling() -> None:
    recording = Recording("b_tools")
    rest = Rest(recording, recording.events)
    steering = replace(rest.infos[recording.messages[0]], id="msg_steering")
    rest.infos[steering.id] = steering
    view = recording.view()
    view.add_message(MessageId("msg_steering"))
    verdict = agreed(view, rest)
    assert verdict is not None
    assert verdict.event == RunInterrupted(run=RUN, tools=False, after=1, newest=MessageId("msg_steering"))


def test_an_error_that_came_only_as_an_event_is_forgotten_when_the_run_is_set_going_again() -> None:
    recording = Recording("g_unknown_model")
    view, rest = recording.view(), Rest(recording, recording.events)
    for event in recording.events:
        view.apply_event(event)
    view.resumed(2)
    verdict = agreed(view, rest)
    assert verdict is not None
    assert isinstance(verdict.event, RunInterrupted)


@pytest.mark.parametrize("finish,cause", [("length", "cut_off"), ("content-filter", "cut_off"), ("unknown", "cut_off")])
def test_an_answer_that_stopped_early_is_no_answer(finish: str, cause: str) -> None:
    recording = Recording("a_text_stream")
    rest = Rest(recording, recording.events)
    last = list(rest.infos)[-1]
    rest.infos[last] = replace(rest.infos[last], finish=finish)
    verdict = agreed(recording.view(), rest)
    assert verdict is not None
    assert isinstance(verdict.event, RunSettled)
    outcome = verdict.event.outcome
    assert isinstance(outcome, Broke)
    assert (outcome.cause, outcome.text) == (cause, "Hello streaming world, one two three.")


def test_the_key_that_a_provider_repeats_is_not_passed_on() -> None:
    [said] = {event.message for _, event in Recording("g_500").told() if isinstance(event, RunRetrying)}
    logs.keep_secret([said, "Incorrect API key"])
    retries = [event for _, event in Recording("g_500").told() if isinstance(event, RunRetrying)]
    assert {retry.message for retry in retries} == {logs.MASK}
    assert ended("g_401") == Broke(cause="credentials", message=logs.MASK)


# ── asks ─────────────────────────────────────────────────────────────────
def until_asked(name: str) -> tuple[Recording, RunView, Rest]:
    recording = Recording(name)
    asked = next(
        n
        for n, e in enumerate(recording.events)
        if isinstance(e, wire_events.PermissionAsked | wire_events.QuestionAsked)
    )
    view = recording.view()
    for event in recording.events[: asked + 2]:
        view.apply_event(event)
    return recording, view, Rest(recording, recording.events[: asked + 2])


def test_an_ask_that_a_snapshot_does_not_list_yet_is_not_gone() -> None:
    """The snapshot may have been read before the event came."""
    _, view, rest = until_asked("c_perm_once")
    view.facts()
    rest.permissions.clear()
    view.apply_snapshot(rest.snapshot(100.0))
    assert view.facts() == []
    assert view.waiting
    view.apply_snapshot(rest.snapshot(101.0))
    assert [type(event) for _, event in view.facts()] == [AskGone]


def test_an_ask_that_went_away_while_nobody_looked_is_told_as_gone() -> None:
    recording = Recording("c_perm_once")
    view = RunView(RUN, recording.thread, recording.directory, recording.messages, asks=[AskId("per_long_ago")])
    view.apply_snapshot(Rest(recording, recording.events[:8]).snapshot(100.0))
    gone = [event for _, event in view.facts() if isinstance(event, AskGone)]
    assert gone == [AskGone(run=RUN, ask=AskId("per_long_ago"))]


def test_a_permission_that_an_aborted_run_left_behind_is_dropped() -> None:
    recording = Recording("c_perm_external")
    rest = Rest(recording, recording.events)
    assert rest.permissions
    view = recording.view()
    view.apply_snapshot(rest.snapshot(100.0))
    assert not [event for _, event in view.facts() if isinstance(event, PermissionAsked)]


def test_a_sub_agent_s_permission_carries_its_own_thread() -> None:
    recording = Recording("h_subagent")
    view = recording.view()
    for event in recording.events:
        view.apply_event(event)
    child = next(iter(view.children))
    view.apply_event(
        wire_events.PermissionAsked(
            wire.Permission(id="per_child", sessionID=child, permission="bash", patterns=["ls"])
        )
    )
    asked = [event for _, event in view.facts() if isinstance(event, PermissionAsked)]
    assert [(ask.thread, ask.subject) for ask in asked] == [(child, "ls")]


def test_a_stranger_s_permission_is_not_ours() -> None:
    view = Recording("a_text_stream").view()
    view.apply_event(wire_events.PermissionAsked(wire.Permission(id="per_x", sessionID="ses_stranger")))
    assert view.facts() == []


# ── the rest ─────────────────────────────────────────────────────────────
def test_running_output_changes_the_fingerprint_and_a_repeated_event_does_not() -> None:
    recording = Recording("f_abort_bash")
    view = recording.view()
    seen: list[int] = []
    for event in recording.events:
        view.apply_event(event)
        before = view.fingerprint()
        view.apply_event(event)
        if not isinstance(event, wire_events.SessionError):
            assert view.fingerprint() == before
        seen.append(before)
    outputs = [
        n for n, e in enumerate(recording.events) if isinstance(e, wire_events.PartUpdated) and "start\\n" in repr(e)
    ]
    assert seen[outputs[0]] > seen[outputs[0] - 1]


def test_a_snapshot_that_says_nothing_new_leaves_the_fingerprint() -> None:
    recording = Recording("b_tools")
    view, rest = recording.view(), Rest(recording, recording.events)
    for event in recording.events:
        view.apply_event(event)
    view.facts()
    before = view.fingerprint()
    view.apply_snapshot(rest.snapshot(100.0))
    assert view.fingerprint() == before


def test_a_snapshot_need_not_reach_back_to_what_cannot_change() -> None:
    recording = Recording("b_tools")
    view = recording.view()
    assert view.resync_from() == recording.messages[0]
    for event in recording.events:
        view.apply_event(event)
    view.facts()
    assert view.resync_from() == recording.messages[0], "an event may have been lost"
    rest = Rest(recording, recording.events)
    view.apply_snapshot(rest.snapshot(100.0))
    view.facts()
    assert view.resync_from() not in recording.messages
    for message in list(rest.infos):
        if message == view.resync_from():
            break
        del rest.infos[message]
    verdict = agreed(view, rest)
    assert verdict is not None
    assert isinstance(verdict.event, RunSettled)


def test_huge_tool_results_keep_their_head_and_tail() -> None:
    recording = Recording("b_tools")
    view, rest = recording.view(), Rest(recording, recording.events)
    for parts in rest.parts.values():
        for part in parts.values():
            if part.tool == "bash" and part.state is not None:
                state = replace(part.state, output="head" + "x" * 100_000 + "tail")
                parts[part.id] = replace(part, state=state)
    view.apply_snapshot(rest.snapshot(100.0))
    output = next(e.tool.output for _, e in view.facts() if isinstance(e, ToolFinished) and e.tool.name == "bash")
    assert len(output) == 8_000
    assert output.startswith("head")
    assert output.endswith("tail")
