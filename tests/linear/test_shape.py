"""What a log may show of a webhook: its shape and its ids, never a word of anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.linear.shape import DEEPEST, MOST_ITEMS, shape_of

CANARY = "canary words of somebody"
RECORDINGS = sorted(
    path for path in (Path(__file__).parent.parent / "recordings" / "linear").glob("*.json") if path.name[0] != "_"
)


def with_canaries(value: Any) -> Any:
    """Every text in it replaced, whatever its name is."""
    match value:
        case dict():
            return {key: with_canaries(each) for key, each in value.items()}
        case list():
            return [with_canaries(each) for each in value]
        case str():
            return f"{CANARY}: {value}"
        case _:
            return value


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_no_text_of_a_payload_is_shown_and_its_shape_is(path: Path) -> None:
    payload = json.loads(path.read_bytes())
    assert "canary" not in json.dumps(shape_of(json.dumps(with_canaries(payload)).encode()))
    shown = shape_of(path.read_bytes())
    assert set(shown) == set(payload)
    for key in ("type", "action", "organizationId", "createdAt"):
        assert shown.get(key) == payload.get(key)


def test_ids_kinds_times_and_numbers_are_kept_and_the_rest_is_counted() -> None:
    body = {
        "id": "5f1c2f0e-9f5a-4a3c-8d0e-0d6a2f9b7c11",
        "teamId": "t-1",
        "type": "Issue",
        "updatedAt": "2026-11-22T10:00:00.000Z",
        "priority": 2,
        "open": True,
        "gone": None,
        "title": "Ünïcödé",
        "url": "https://linear.app/acme/issue/ENG-1/a-title",
        "status": "a status of somebody's choosing",
        "a name with blanks": 1,
        "labelIds": ["l-1", "l-2"],
    }
    kept = {key: value for key, value in body.items() if key not in {"title", "url", "status", "a name with blanks"}}
    assert shape_of(json.dumps(body).encode()) == {
        **kept,
        "title": "[text, 7 characters]",
        "url": "[text, 43 characters]",
        "status": "[text, 31 characters]",
        "[name]": 1,
    }


def test_long_lists_and_deep_places_are_cut() -> None:
    deep: Any = "x"
    for _ in range(DEEPEST + 5):
        deep = {"inner": deep}
    shown = shape_of(json.dumps({"many": [1] * (MOST_ITEMS + 3), "deep": deep}).encode())
    assert shown["many"] == [1] * MOST_ITEMS + ["[3 more]"]
    assert "[deeper]" in json.dumps(shown["deep"])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", f"not json: {CANARY}".encode()])
def test_what_is_no_json_is_counted_only(body: bytes) -> None:
    assert shape_of(body) == f"[{len(body)} bytes that are no JSON]"
