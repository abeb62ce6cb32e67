"""Laws of the view: it does not matter which of stream and snapshot told something, nor how often."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.opencode.inbound import Fact
from tests.opencode.recorded import Recording, Rest, agreed

NAMES = [
    "a_text_stream", "b_tools", "busy_queue", "busy_steer", "c_perm_once", "c_perm_reject_msg", "d_question", "e_todo",
    "f_abort_bash", "g_context_error", "h_subagent", "i_compaction",
]  # fmt: skip
RECORDINGS = {name: Recording(name) for name in NAMES}
# Told while they last: who looks too late has missed them, and nobody misses anything by it.
PASSING = (":start", "ask:", "gone:", "retry:")


def lasting(facts: list[Fact]) -> dict[str, object]:
    return {key: event for key, event in facts if not any(word in key for word in PASSING)}


WHOLE = {name: lasting(recording.told()) for name, recording in RECORDINGS.items()}


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_lost_and_repeated_events_with_snapshots_instead_tell_the_same_facts(name: str, data: st.DataObject) -> None:
    recording = RECORDINGS[name]
    view = recording.view()
    rest = Rest(recording, [])
    told: list[Fact] = []
    for n, event in enumerate(recording.events):
        rest.hear(event)
        match data.draw(st.sampled_from(["heard", "heard", "lost", "twice", "late", "read"])):
            case "heard":
                view.apply_event(event)
            case "twice":
                view.apply_event(event)
                view.apply_event(event)
            case "late" if n > 0:
                view.apply_event(event)
                view.apply_event(recording.events[data.draw(st.integers(0, n))])
            case "read":
                view.apply_snapshot(rest.snapshot(100.0 + n))
            case _:
                pass
        told += view.facts()
    assert len({key for key, _ in told}) == len(told)
    verdict = agreed(view, rest)
    told += view.facts()
    assert lasting(told) == WHOLE[name]
    assert verdict is not None
    assert whole_event(recording) == verdict.event


def whole_event(recording: Recording) -> object:
    verdict = recording.outcome()
    return verdict.event if verdict is not None else None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_a_view_made_anew_after_a_crash_tells_the_same_facts_under_the_same_keys(
    name: str, data: st.DataObject
) -> None:
    recording = RECORDINGS[name]
    crash = data.draw(st.integers(0, len(recording.events)))
    first, second = recording.view(), recording.view()
    told: list[Fact] = []
    for event in recording.events[:crash]:
        first.apply_event(event)
        told += first.facts()
    second.apply_snapshot(Rest(recording, recording.events[:crash]).snapshot(100.0))
    told += second.facts()
    for event in recording.events[crash:]:
        second.apply_event(event)
        told += second.facts()
    assert lasting(told) == WHOLE[name]
