"""DEBUG_LINEAR_WEBHOOKS: what arrives is logged so that its structure can be checked, without a word of anybody."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dragoman import config, logs
from tests.web.conftest import CANARY, Doorway
from tests.web.sockets import OLD_SECRET, SECRET, ask, recording, request

WORDS = f"please look at {CANARY}"


@pytest.fixture
def logged() -> io.StringIO:
    """What is really written, as JSON."""
    out = io.StringIO()
    logs.configure(level="info", stream=out, json=True)
    return out


def body() -> bytes:
    payload = json.loads(recording("created-by-mention"))
    payload["agentSession"]["issue"]["title"] = WORDS
    payload["promptContext"] = WORDS
    payload["oauthToken"] = CANARY
    return json.dumps(payload).encode()


async def test_a_delivery_is_shown_with_its_ids_and_without_its_words(door: Doorway, logged: io.StringIO) -> None:
    door.webhook.accept([SECRET], shown=True)
    assert (await ask(door.url, request(body(), delivery="d-1"))).status == 200
    [line] = [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == "webhook.shown"]
    payload = line["payload"]
    assert (line["delivery"], payload["type"], payload["action"]) == ("d-1", "AgentSessionEvent", "created")
    assert payload["agentSession"]["issue"]["title"] == f"[text, {len(WORDS)} characters]"
    assert "canary" not in logged.getvalue()


async def test_one_that_is_refused_is_shown_by_its_headers_alone(door: Doorway, logged: io.StringIO) -> None:
    door.webhook.accept([SECRET], shown=True)
    sent = request(body(), signature="0" * 64, more=[f"Authorization: {CANARY}"])
    assert (await ask(door.url, sent)).status == 401
    [line] = [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == "webhook.refused"]
    assert set(line["headers"]) == {"host", "content-length", "linear-signature", "authorization"}
    assert line["size"] == len(body())
    assert "canary" not in logged.getvalue()


async def test_nothing_of_it_is_logged_otherwise(door: Doorway, logged: io.StringIO) -> None:
    assert (await ask(door.url, request(body(), delivery="d-1"))).status == 200
    assert "webhook.shown" not in logged.getvalue()
    assert "canary" not in logged.getvalue()


async def test_a_secret_that_is_taken_out_no_longer_counts(door: Doorway) -> None:
    door.webhook.accept([OLD_SECRET])
    assert (await ask(door.url, request(body()))).status == 401


@pytest.mark.parametrize("value, shown", [("true", True), ("false", False)])
def test_the_setting_is_read(tmp_path: Path, value: str, shown: bool) -> None:
    examined = config.examine({"DEBUG_LINEAR_WEBHOOKS": value}, folder=tmp_path)
    assert examined.settings.debug_linear_webhooks is shown
