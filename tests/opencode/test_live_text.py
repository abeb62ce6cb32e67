"""Reading along: each character once and in order, gaps or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.opencode import wire
from dragoman.opencode.live_text import LiveText


def a_text(text: str, *, ended: bool = False, part: str = "prt_1", kind: str = "text") -> wire.Part:
    span = wire.Span(start=1.0, end=2.0 if ended else None)
    return wire.Part(id=part, messageID="msg_1", type=kind, text=text, time=span)


def test_pieces_are_told_as_they_come_and_the_end_adds_nothing() -> None:
    text = LiveText()
    told = [text.part(a_text(""), heard=True), text.piece("prt_1", "Hel"), text.piece("prt_1", "lo")]
    assert "".join(told) == "Hello"
    assert text.part(a_text("Hello", ended=True), heard=True) == ""
    assert text.part(a_text("Hello", ended=True), heard=False) == ""


def test_reasoning_and_what_opencode_tells_itself_are_not_the_answer() -> None:
    text = LiveText()
    text.part(a_text("", kind="reasoning"), heard=True)
    assert text.piece("prt_1", "I think") == ""
    assert text.part(wire.Part(id="p", messageID="m", type="text", text="Continue", synthetic=True), heard=True) == ""


def test_after_a_gap_the_rest_comes_when_the_text_is_whole() -> None:
    text = LiveText()
    text.part(a_text(""), heard=True)
    assert text.piece("prt_1", "one ") == "one "
    text.lost()
    assert text.piece("prt_1", "three ") == ""
    assert text.part(a_text("one two three four", ended=True), heard=False) == "two three four"


def test_a_text_that_ended_shorter_than_its_pieces_was_trimmed() -> None:
    text = LiveText()
    text.part(a_text(""), heard=True)
    text.piece("prt_1", "Done. \n")
    assert text.part(a_text("Done.", ended=True), heard=True) == ""


@given(st.lists(st.text(min_size=1, max_size=5), max_size=12), st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_whatever_is_lost_the_whole_is_told_once_and_in_order(
    pieces: list[str], gaps: set[int], looks: set[int]
) -> None:
    text = LiveText()
    told = text.part(a_text(""), heard=0 not in gaps)
    for n, piece in enumerate(pieces):
        if n in gaps:
            text.lost()  # and this piece with it
        else:
            told += text.piece("prt_1", piece)
        if n in looks:
            told += text.part(a_text(""), heard=False)  # OpenCode itself knows it only when it has ended
    told += text.part(a_text("".join(pieces), ended=True), heard=False)
    assert told == "".join(pieces)
