"""Files brought to Linear: to the place that it names, with the headers that it names, and with nothing of ours."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from dragoman.errors import LinearError
from dragoman.linear import uploads
from dragoman.linear.client import open_linear
from dragoman.linear.uploads import NotUploaded, file_name, kind_to_upload
from dragoman.sim.faults import Fault
from dragoman.sim.server import Simulator
from dragoman.sim.store import OPEN_S
from tests.linear.fake_linear import Asked, FakeLinear, Reply, data
from tests.linear.held_clock import HeldClock

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def place(url: str, asset: str = "https://uploads.linear.app/1/2", headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    named = [{"key": key, "value": value} for key, value in headers]
    return data(fileUpload={"success": True, "uploadFile": {"uploadUrl": url, "assetUrl": asset, "headers": named}})


# ── against the pretend Linear ───────────────────────────────────────────
async def test_a_file_is_put_where_linear_says_with_its_headers_and_without_a_token(sim: Simulator) -> None:
    async with open_linear(sim.url, client_id=sim.client_id, client_secret=sim.client_secret) as linear:
        url = await linear.upload("runs/shot (ü).png", "image/png", PNG)
    [(_, status)] = sim.store.written
    [file] = sim.store.files.values()
    assert (status, file.name, file.mime, file.content) == (200, "shot (ü).png", "image/png", PNG)
    assert url == sim.url + next(iter(sim.store.files))
    assert "authorization" not in sim.store.given
    assert sim.store.given["x-goog-content-length-range"] == "48,48"
    assert sim.store.given["content-type"] == "image/png"


async def test_what_was_uploaded_can_be_fetched_with_the_token_alone(sim: Simulator) -> None:
    async with open_linear(sim.url, access_token=sim.access_token) as linear:
        url = await linear.upload("shot.png", "image/png", PNG)
        http = linear._requests.http()
        async with http.get(url) as reply:
            assert reply.status == 401
        async with http.get(url, headers={"Authorization": f"Bearer {sim.access_token}"}) as reply:
            assert (reply.status, reply.content_type, await reply.read()) == (200, "image/png", PNG)


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_place_that_does_not_take_the_bytes_is_asked_for_anew_once(sim: Simulator, status: int) -> None:
    async with open_linear(sim.url, access_token=sim.access_token) as linear:
        sim.store.refuse = [status]
        assert await linear.upload("a.png", "image/png", PNG)
        sim.store.refuse = [status, status]
        with pytest.raises(NotUploaded, match=f"HTTP {status}") as raised:
            await linear.upload("a.png", "image/png", PNG)
    assert raised.value.retryable == (status >= 500)
    assert [answer for _, answer in sim.store.written] == [status, 200, status, status]
    assert len({where for where, _ in sim.store.written}) == 4


async def test_linears_own_refusal_is_told_as_it_is(sim: Simulator) -> None:
    sim.faults.order(Fault(kind="forbidden", operation="fileUpload"))
    async with open_linear(sim.url, access_token=sim.access_token) as linear:
        with pytest.raises(LinearError) as raised:
            await linear.upload("a.png", "image/png", PNG)
    assert not raised.value.retryable
    assert sim.store.written == []


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"drop": "Content-Disposition"}, "content-disposition must be as it was named"),
        ({"drop": "X-Goog-Content-Length-Range"}, "must be as it was named"),
        ({"drop": "Cache-Control"}, "cache-control must be as it was named"),
        ({"add": ("Content-Type", "text/html")}, "content-type must be as it was named"),
        ({"add": ("Authorization", "Bearer x")}, "a token do not go together"),
        ({"content": PNG + b"x"}, "EntityTooLarge"),
        ({"wait": OPEN_S + 1}, "ExpiredToken"),
        ({"query": "tidied"}, "SignatureDoesNotMatch"),
        ({"path": "elsewhere"}, "SignatureDoesNotMatch"),
    ],
)
async def test_the_pretend_storage_takes_nothing_but_what_was_agreed(change: dict[str, Any], problem: str) -> None:
    clock = HeldClock()
    async with Simulator(clock=clock) as sim, open_linear(sim.url, access_token=sim.access_token) as linear:
        offered = sim.store.expect("a.png", "image/png", len(PNG))
        named: Any = offered["headers"]
        headers = {"Content-Type": "image/png", "Cache-Control": "public, max-age=31536000"}
        headers |= {one["key"].title(): one["value"] for one in named} | dict(
            [change["add"]] if "add" in change else []
        )
        headers.pop(change.get("drop", ""), None)
        clock.jump(change.get("wait", 0.0))
        where = str(offered["uploadUrl"])
        if "query" in change:
            where = where.replace("%40", "@").replace("%2F", "/")
        if "path" in change:
            where = where.replace("/storage/", "/storage/x")
        url = URL(where, encoded=True)
        async with linear._requests.http().put(url, data=change.get("content", PNG), headers=headers) as reply:
            assert reply.status == 403
            assert problem in await reply.text()
        assert all(file.content is None for file in sim.store.files.values())


# ── against a Linear that is not as it should be ─────────────────────────
async def test_no_redirect_is_followed(fake: FakeLinear) -> None:
    async with FakeLinear() as elsewhere, open_linear(fake.url, access_token="canary-token") as linear:

        def answer(asked: Asked) -> Reply:
            if asked.path == "/graphql":
                return place(f"{fake.url}/put?x=%2F1")
            return Reply(307, headers={"location": f"{elsewhere.url}/a"})

        fake.always = answer
        with pytest.raises(NotUploaded, match="HTTP 307"):
            await linear.upload("a.png", "image/png", PNG)
        assert elsewhere.asked == []
    puts = [asked for asked in fake.asked if asked.path != "/graphql"]
    assert [asked.path for asked in puts] == ["/put?x=%2F1"] * 2
    assert not any("canary-token" in str(asked.headers) for asked in puts)


@pytest.mark.parametrize(
    "answer",
    [
        place("http://storage.example/put"),
        place("ftp://storage.example/put"),
        place("https://user:pw@storage.example/put"),
        place("https:///put"),
        place("https://storage.example/put", asset="javascript:alert(1)"),
        place("https://storage.example/put", asset="https://uploads.linear.app/1) ![x](https://evil.example/"),
        place("https://storage.example/put", headers=(("Authorization", "x"),)),
        place("https://storage.example/put", headers=(("Host", "inner.example"),)),
        place("https://storage.example/put", headers=(("X-A", "1\r\nX-B: 2"),)),
        place("https://storage.example/put", headers=(("X A", "1"),)),
        data(fileUpload={"success": False, "uploadFile": None}),
        data(fileUpload={"success": True, "uploadFile": {"uploadUrl": 1}}),
    ],
)
async def test_an_odd_place_gets_nothing(fake: FakeLinear, answer: Reply) -> None:
    fake.always = lambda _: answer
    async with open_linear(fake.url, access_token="x") as linear:
        with pytest.raises(LinearError, match=r"named|no place|another shape"):
            await linear.upload("a.png", "image/png", PNG)


async def test_a_storage_that_goes_silent_is_given_up(fake: FakeLinear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "DEADLINE_S", 0.2)
    fake.always = lambda asked: place(f"{fake.url}/put") if asked.path == "/graphql" else Reply(silent=True)
    async with open_linear(fake.url, access_token="x") as linear:
        with pytest.raises(NotUploaded, match=r"within 0\.2 s"):
            await linear.upload("a.png", "image/png", PNG)


# ── what a file is, and is called ────────────────────────────────────────
@pytest.mark.parametrize(
    "name, content, kind",
    [
        ("a.png", PNG, "image/png"),
        ("a.txt", PNG, "image/png"),
        ("a.pdf", b"%PDF-1.7\n", "application/pdf"),
        ("a.html", b"<script>alert(1)</script>", "text/plain"),
        ("a.svg", b"<svg onload=alert(1)>", "text/plain"),
        ("report.MD", b"# Report", "text/markdown"),
        ("a.csv", b"a,b\n", "text/csv"),
        ("a.json", b"{}", "application/json"),
        ("trace.zip", b"PK\x03\x04\0\0", "application/zip"),
        ("a.webm", b"\x1a\x45\xdf\xa3\0", "video/webm"),
        ("a.mp4", b"\0\0\0\x18ftypmp42", "video/mp4"),
        ("a.png", b"\x7fELF\x02\x01\x01\x00", None),
        ("empty.txt", b"", None),
    ],
)
def test_the_bytes_say_what_is_uploaded(name: str, content: bytes, kind: str | None) -> None:
    assert kind_to_upload(name, content) == kind


@pytest.mark.parametrize(
    "name, told",
    [
        ("runs/shot.png", "shot.png"),
        ("../../etc/passwd", "passwd"),
        ('a"; x=y\r\nb.png', "a- x-y-b.png"),
        ("...", "file"),
        ("", "file"),
    ],
)
def test_linear_is_told_a_name_that_is_a_name(name: str, told: str) -> None:
    assert file_name(name) == told
    assert len(file_name(name * 60)) <= 80
