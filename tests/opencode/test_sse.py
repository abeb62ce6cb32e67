"""Any cut of the bytes gives the same events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import OpenCodeError
from dragoman.opencode.sse import Frames
from tests.opencode.recorded import FOLDER

RECORDED = [line.encode() for line in (FOLDER / "global_events.jsonl").read_text().splitlines()]
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def in_pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    frames = Frames()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [event for start, end in pairwise(edges) for event in frames.feed(stream[start:end])]


@given(st.lists(st.integers(min_value=0), max_size=40), ENDINGS)
def test_recorded_events_come_out_the_same_however_the_bytes_are_cut(cuts: list[int], ending: bytes) -> None:
    stream = b"".join(b"data: " + event + ending + ending for event in RECORDED[:60])
    assert in_pieces(stream, cuts) == RECORDED[:60]


@given(
    st.lists(
        st.lists(st.binary(max_size=12).filter(lambda line: not {10, 13} & set(line)), min_size=1, max_size=3),
        max_size=5,
    ),
    ENDINGS,
)
def test_single_bytes_with_comments_and_other_fields_give_the_data_alone(
    events: list[list[bytes]], ending: bytes
) -> None:
    stream = b": hello" + ending
    for lines in events:
        stream += b"event: x" + ending + b"".join(b"data: " + line + ending for line in lines) + b":" + ending + ending
    assert in_pieces(stream, list(range(len(stream)))) == [b"\n".join(lines) for lines in events]


def test_data_without_a_space_and_without_a_colon_counts_too() -> None:
    assert Frames().feed(b"data:a\ndata\ndata: b\n\nid: 3\n\n") == [b"a\n\nb"]


def test_an_event_larger_than_a_mebibyte_comes_whole() -> None:
    large = b"x" * (3 * 1024 * 1024)
    frames = Frames()
    events = [
        e for n in range(0, len(large) + 8, 65_536) for e in frames.feed((b"data: " + large + b"\n\n")[n : n + 65_536])
    ]
    assert events == [large]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 400, b"data: " + b"x" * 100 + b"\n"])
def test_an_event_without_end_is_refused_at_the_limit(piece: bytes) -> None:
    frames = Frames(largest=1_000)
    for _ in range(2):
        frames.feed(piece)
    with pytest.raises(OpenCodeError, match="larger than 1000 bytes"):
        frames.feed(piece * 20)
