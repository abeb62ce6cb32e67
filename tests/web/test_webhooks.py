"""`POST /webhooks/linear` through a real server: what is refused, what is taken, what is on disk when the answer comes."""

import asyncio
import json
import random
import threading
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dragoman.web import body as body_module
from tests.marks import deep
from tests.web.conftest import Doorway, OpenDoorway
from tests.web.sockets import DEADLINE_S, OLD_SECRET, ORGANIZATION, ask, connected, recording, request, sign

MIB = 1024 * 1024
CREATED = "created-by-mention"
SESSION = "11111111-aaaa-4aaa-8aaa-000000000001"


# ── taken ────────────────────────────────────────────────────────────────
async def test_a_delivery_is_on_disk_when_the_answer_comes(door: Doorway) -> None:
    answer = await ask(door.url, request(recording(CREATED), delivery="d-1"))
    assert answer.status == 200
    assert door.rows("SELECT id, issue_key FROM sessions") == [(SESSION, "ENG-123")]
    assert ("Post",) in door.rows("SELECT kind FROM effects")
    assert door.rows("SELECT key, type, action, verdict FROM deliveries") == [
        ("d-1", "AgentSessionEvent", "created", "accepted")
    ]


async def test_the_same_delivery_five_times_begins_one_turn(door: Doorway) -> None:
    body = recording(CREATED)
    answers = await asyncio.gather(*(ask(door.url, request(body, delivery="d-1")) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    again = await ask(door.url, request(body, delivery="d-2"))
    assert again.status == 200
    assert len(door.rows("SELECT 1 FROM journal")) == 1
    assert door.webhook.counts == {"accepted": 1, "duplicate": 5}


async def test_both_secrets_count_while_rotating(door: Doorway) -> None:
    for name, secret in ((CREATED, OLD_SECRET), ("prompted-follow-up", "current-signing-secret")):
        body = recording(name)
        assert (await ask(door.url, request(body, signature=sign(body, secret)))).status == 200
    assert door.webhook.counts["accepted"] == 2


async def test_many_deliveries_share_one_connection(door: Doorway) -> None:
    async with connected(door.url) as line:
        for name in (CREATED, "prompted-follow-up", "prompted-stop"):
            assert (await line.ask(request(recording(name)))).status == 200


# ── without effect ───────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "body, verdict",
    [
        (recording(CREATED, type="Sprocket"), "ignored: unknown_type"),
        (recording(CREATED, action="polished"), "ignored: unknown_action"),
        (recording(CREATED, agentSession=[1, 2]), "ignored: odd_shape"),
        (recording(CREATED, agentSession=None), "ignored: odd_shape"),
        (recording(CREATED, webhookTimestamp="soon"), "ignored: odd_shape"),
        (b"{}", "ignored: odd_shape"),
        (recording(CREATED, webhookTimestamp=1_000), "ignored: stale"),
        (recording(CREATED, organizationId="another-organization"), "ignored: not_ours"),
        (recording("issue-update-completed"), "ignored: no session"),
    ],
)
async def test_what_is_signed_and_not_for_us_is_counted(door: Doorway, body: bytes, verdict: str) -> None:
    answer = await ask(door.url, request(body))
    assert answer.status == 200
    assert door.webhook.counts == {verdict: 1}
    assert door.rows("SELECT 1 FROM sessions") == []
    assert door.rows("SELECT 1 FROM effects") == []
    assert door.rows("SELECT verdict FROM deliveries") == [(verdict,)]


@pytest.mark.parametrize("data", [{"data": None}, {"data": {}}, {}])
async def test_t37_a_comment_without_data_is_taken_and_creates_nothing(door: Doorway, data: dict[str, object]) -> None:
    body = json.dumps({"type": "Comment", "action": "create", "webhookTimestamp": time.time() * 1000, **data}).encode()
    assert (await ask(door.url, request(body))).status == 200
    assert door.rows("SELECT 1 FROM sessions UNION SELECT 1 FROM effects") == []


async def test_t38_an_empty_payload_is_refused_with_a_word(door: Doorway) -> None:
    answer = await ask(door.url, request(b""))
    assert (answer.status, answer.body) == (400, b"No payload received")


async def test_news_of_an_issue_is_one_delivery_whatever_number_of_sessions_hears_it(door: Doorway) -> None:
    created = recording(CREATED)
    for body in (created, created.replace(SESSION.encode(), SESSION.replace("1", "2").encode())):
        assert (await ask(door.url, request(body))).status == 200
    for _ in range(2):
        assert (await ask(door.url, request(recording("issue-update-completed")))).status == 200
    told = door.rows("SELECT type, verdict, session FROM deliveries WHERE type = 'Issue'")
    assert told == [("Issue", "accepted", None), ("Issue", "duplicate", None)]
    assert len(door.rows("SELECT 1 FROM journal WHERE kind = 'Withdrawn'")) == 2


# ── refused ──────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "signature, status", [(None, 400), ("0" * 64, 401), ("zz", 401), ("sha256=", 401), ("é" * 32, 401)]
)
async def test_a_delivery_that_nobody_signed_has_no_effect(door: Doorway, signature: str | None, status: int) -> None:
    assert (await ask(door.url, request(recording(CREATED), signature=signature))).status == status
    assert door.rows("SELECT 1 FROM sessions UNION SELECT 1 FROM deliveries") == []


async def test_two_signatures_are_refused(door: Doorway) -> None:
    body = recording(CREATED)
    assert (await ask(door.url, request(body, more=["Linear-Signature: " + sign(body)]))).status == 401


async def test_a_signature_of_other_bytes_is_refused(door: Doorway) -> None:
    body = recording(CREATED)
    assert (await ask(door.url, request(body + b" ", signature=sign(body)))).status == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"null",
        b"12",
        b'{"type": "AgentSessionEvent"',
        b"[" * 60_000,
        b'{"a":' * 60_000 + b"1" + b"}" * 60_000,
        b'{"type": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b"\xef\xbb\xbf{}",
        b'{"type": "\xff\xfe"}',
    ],
    ids=[
        "empty",
        "text",
        "list",
        "string",
        "null",
        "number",
        "cut",
        "deep",
        "deep object",
        "deep field",
        "BOM",
        "no UTF-8",
    ],
)
async def test_a_signed_body_that_is_no_object_is_unreadable(door: Doorway, body: bytes) -> None:
    assert (await ask(door.url, request(body))).status == 400
    assert door.rows("SELECT 1 FROM deliveries") == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_is_taken(door: Doorway, method: str) -> None:
    assert (await ask(door.url, request(recording(CREATED), method=method))).status == 405
    assert door.rows("SELECT 1 FROM sessions") == []


# ── size ─────────────────────────────────────────────────────────────────
async def test_five_mebibytes_are_read_and_one_byte_more_is_too_large(door: Doorway) -> None:
    body = recording(CREATED)
    filled = body + b" " * (5 * MIB - len(body))
    assert (await ask(door.url, request(filled))).status == 200
    answer = await ask(door.url, request(filled + b" "))
    assert (answer.status, answer.body) == (413, b"The body is larger than 5 MiB.")


async def test_a_chunked_body_that_grows_too_large_is_refused_without_being_kept(door: Doorway) -> None:
    piece = b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n"
    before = most = resident()
    async with connected(door.url) as line:
        line.writer.write(b"POST /webhooks/linear HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30 * 16):
            line.writer.write(piece)
            await line.writer.drain()
            most = max(most, resident())
        line.writer.write(b"0\r\n\r\n")
        answer = await line.answer()
    assert answer.status == 413
    assert most - before < 20 * MIB


async def test_a_length_that_announces_too_much_is_refused_though_less_comes(open_doorway: OpenDoorway) -> None:
    door = await open_doorway()
    async with connected(door.url) as line:
        line.writer.write(request(b" " * MIB, length=5 * MIB + 1))
        line.writer.write_eof()
        told = await line.closed_by_the_other_side()
    assert told == b"" or told.startswith(b"HTTP/1.1 413")
    assert door.webhook.counts["too_large"] == 1


async def test_a_sender_of_too_much_that_goes_quiet_has_its_answer_all_the_same(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "DISCARD_S", 0.3)
    async with connected(door.url) as line:
        line.writer.write(request(b" " * 1_000, length=6 * MIB))
        assert (await line.answer()).status == 413


async def test_no_more_is_discarded_than_may_be(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "DISCARD_MOST", MIB)
    monkeypatch.setattr(body_module, "DISCARD_S", 10 * DEADLINE_S)
    async with connected(door.url) as line:
        line.writer.write(request(b" " * (2 * MIB), length=100 * MIB))
        assert (await line.answer()).status == 413


async def test_bytes_beyond_the_announced_length_are_no_part_of_the_body(door: Doorway) -> None:
    body = recording(CREATED)
    async with connected(door.url) as line:
        answer = await line.ask(request(body + b" " * MIB, signature=sign(body), length=len(body)))
        assert answer.status == 200
        assert (await line.closed_by_the_other_side()).count(b"HTTP/1.1 200") == 0


# ── time ─────────────────────────────────────────────────────────────────
async def test_half_a_body_is_answered_with_408_when_its_time_is_over(open_doorway: OpenDoorway) -> None:
    door = await open_doorway(body_s=0.3)
    body = recording(CREATED)
    answer = await ask(door.url, request(body[:100], signature=sign(body), length=len(body)))
    assert answer.status == 408
    assert door.webhook.counts == {"too_slow": 1}


async def test_half_headers_are_cut(open_doorway: OpenDoorway) -> None:
    door = await open_doorway(header_s=0.3)
    async with connected(door.url) as line:
        line.writer.write(b"POST /webhooks/linear HTTP/1.1\r\nHost: te")
        assert b" 200 " not in await line.closed_by_the_other_side()


async def test_a_sender_that_goes_away_in_the_middle_harms_nobody(door: Doorway) -> None:
    body = recording(CREATED)
    async with connected(door.url) as line:
        line.writer.write(request(body[:50], signature=sign(body), length=len(body)))
        await line.writer.drain()
    assert (await ask(door.url, request(body))).status == 200


async def test_two_hundred_half_open_connections_do_not_keep_deliveries_out(door: Doorway) -> None:
    body = recording(CREATED)
    half = [b"POST /webhooks/linear HTTP/1.1\r\nHo", request(body[:99], signature=sign(body), length=len(body))]
    lines = [connected(door.url) for _ in range(200)]
    try:
        for number, line in enumerate(lines):
            (await line.__aenter__()).writer.write(half[number % 2])
        for number in range(20):
            told = recording("prompted-follow-up", agentActivity={**PROMPT, "id": f"activity-{number}"})
            assert (await ask(door.url, request(told))).status == 200
        assert door.webhook.counts["accepted"] == 20
    finally:
        await asyncio.gather(*(line.__aexit__(None, None, None) for line in lines))


# ── trouble with the disk ────────────────────────────────────────────────
async def test_what_cannot_be_stored_is_refused_with_503_and_taken_later(door: Doorway) -> None:
    await door.ledger.turn(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchone())
    statuses = {
        (await ask(door.url, request(recording(CREATED, **others(n)), delivery=f"d-{n}"))).status for n in range(40)
    }
    assert 503 in statuses
    assert statuses <= {200, 503}
    stored = door.rows("SELECT count(*) FROM sessions")
    await door.ledger.turn(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchone())
    for n in range(40):
        assert (await ask(door.url, request(recording(CREATED, **others(n)), delivery=f"e-{n}"))).status == 200
    assert door.rows("SELECT count(*) FROM sessions") == [(40,)]
    assert door.webhook.counts["unstored"] == 40 - int(str(stored[0][0]))


async def test_a_ledger_that_hangs_is_answered_with_503_before_linear_gives_up(open_doorway: OpenDoorway) -> None:
    door = await open_doorway(decide_s=0.3)
    released = threading.Event()
    hanging = asyncio.ensure_future(door.ledger.turn(lambda _: released.wait(DEADLINE_S)))
    body = recording(CREATED)
    assert (await ask(door.url, request(body, delivery="d-1"))).status == 503
    released.set()
    await hanging
    door.webhook._decide_s = DEADLINE_S
    assert (await ask(door.url, request(body, delivery="d-1"))).status == 200
    assert door.rows("SELECT count(*) FROM sessions") == [(1,)]


# ── hostile ──────────────────────────────────────────────────────────────
@pytest.mark.parametrize("many", [500, deep(5_000)])
async def test_mangled_bodies_never_break_it(open_doorway: OpenDoorway, many: int) -> None:
    door = await open_doorway(ledger_url="memory://")
    dice = random.Random(20_261_122)
    bodies = [mangled(dice) for _ in range(many)]
    statuses: list[int] = []

    async def send(share: list[bytes]) -> None:
        async with connected(door.url) as line:
            statuses.extend([(await line.ask(request(body))).status for body in share])

    await asyncio.gather(*(send(bodies[n::8]) for n in range(8)))
    assert len(statuses) == many
    assert set(statuses) <= {200, 400}
    assert statuses.count(200) > many / 10  # it is not all unreadable
    assert door.webhook.counts["accepted"] > 0


PROMPT: dict[str, Any] = json.loads(recording("prompted-follow-up"))["agentActivity"]
NAMES = (
    CREATED, "created-by-delegation", "created-without-issue", "prompted-follow-up", "prompted-stop", "oauth-app-revoked",
    "issue-update-canceled", "app-user-notification-issueUnassignedFromYou", "created-by-automation-no-creator",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, 10**400, "", "\ud800", "\x00", "a" * 5_000, [], {}, [None], {"id": {}}, "2026-99-99T99:99:99Z",
)  # fmt: skip


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def others(number: int) -> dict[str, Any]:
    session = json.loads(recording(CREATED))["agentSession"]
    return {"agentSession": {**session, "id": f"session-{number}"}, "promptContext": "x" * 4_000}


def mangled(dice: random.Random) -> bytes:
    """A recorded body, changed in its tree, in its bytes, or both."""
    tree = json.loads(recording(dice.choice(NAMES), organizationId=ORGANIZATION))
    for _ in range(dice.randrange(4)):
        node: Any = tree
        while isinstance(node, dict) and node:
            key = dice.choice(sorted(node))
            if dice.random() < 0.4 or not isinstance(node[key], dict):
                node[key] = deepcopy(dice.choice(ODD))
                break
            node = node[key]
    body = bytearray(json.dumps(tree, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass"))
    if dice.random() < 0.5:
        for _ in range(dice.randrange(1, 5)):
            place = dice.randrange(len(body))
            match dice.randrange(4):
                case 0:
                    body[place] = dice.randrange(256)
                case 1:
                    del body[place : place + dice.randrange(1, 30)]
                case 2:
                    body[place:place] = dice.choice(
                        (b"NaN", b"\\ud800", b"{", b"]", b"\xef\xbb\xbf", b"\x00", b"[" * 3_000)
                    )
                case _:
                    body[place:] = b""
            if not body:
                break
    return bytes(body)
