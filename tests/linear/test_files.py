"""Attached files: found in texts, fetched with the token from Linear's store and from nowhere else, judged by their bytes."""

import pytest

from dragoman.errors import LinearError
from dragoman.linear.client import open_linear
from dragoman.linear.files import (
    FILE_MOST,
    MOST,
    STORE,
    File,
    FileLink,
    NotFetched,
    address_in,
    fetch_all,
    file_links,
    kind_of,
    store_of,
)
from dragoman.sim.server import Simulator
from tests.linear.fake_linear import FakeLinear, Reply

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
GOOD = "https://uploads.linear.app/5d0b/9e42/shot.png"


# ── which addresses get the token ────────────────────────────────────────
@pytest.mark.parametrize(
    "url",
    [
        GOOD,
        "https://uploads.linear.app/a",
        "https://uploads.linear.app:443/a/b",
        "https://UPLOADS.linear.app/a",
        "https://uploads.linear.app/a%20name.png",
        "https://uploads.linear.app/a?signature=x",
    ],
)
def test_linears_store_is_asked(url: str) -> None:
    found = address_in(STORE, url)
    assert found is not None
    assert found.startswith(STORE)
    assert "?" not in found


@pytest.mark.parametrize(
    "url",
    [
        "http://uploads.linear.app/a",
        "ftp://uploads.linear.app/a",
        "file:///etc/passwd",
        "https://uploads.linear.app",
        "https://uploads.linear.app/",
        "https://uploads.linear.app.evil.example/a",
        "https://evil.example/uploads.linear.app/a",
        "https://evil.example/?https://uploads.linear.app/a",
        "https://evil.example#@uploads.linear.app/a",
        "https://uploads.linear.app@evil.example/a",
        "https://uploads.linear.app:pw@evil.example/a",
        "https://user@uploads.linear.app/a",
        "https://user:pw@uploads.linear.app/a",
        "https://uploads.linear.app:8443/a",
        "https://uploads.linear.app:80/a",
        "https://uploads.linear.app:99999/a",
        "https://uploads.linear.app:/\\evil.example/a",
        "https://uploads.linear.app\\@evil.example/a",
        "https:\\\\uploads.linear.app/a",
        "https:///uploads.linear.app/a",
        "https://uploads.linear.app./a",
        "https://uploads.linear.app%2eevil.example/a",
        "https://uploads.linear.app%00.evil.example/a",
        "https://uploads。linear。app/a",
        "https://uploads.linеar.app/a",
        "https://xn--uploads-linear.app/a",
        "https://127.0.0.1/a",
        "https://[::1]/a",
        "https://0x7f000001/a",
        "https://2130706433/a",
        "https://169.254.169.254/latest/meta-data",
        "https://metadata.google.internal/a",
        "https://localhost/a",
        "https://uploads.linear.app/../secret",
        "https://uploads.linear.app/a/%2e%2e/secret",
        "https://uploads.linear.app/a/..%2fsecret",
        "https://uploads.linear.app/a%252e%252e/secret",
        "https://uploads.linear.app//evil.example/a",
        "https://uploads.linear.app/a%5c..%5cb",
        "https://uploads.linear.app/a%0d%0aHost:evil",
        "https://uploads.linear.app/a b",
        "https://uploads.linear.app/a\r\nX: y",
        "https://uploads.linear.app/é",
        "https://[uploads.linear.app]/a",
        "uploads.linear.app/a",
        "//uploads.linear.app/a",
    ],
)
def test_nothing_else_is_asked(url: str) -> None:
    assert address_in(STORE, url) is None
    found = [link.url for link in file_links([f"see ![x]({url}) and {url}"])]
    assert url not in found  # what is cut off it, as at a blank, may be an address
    assert [address_in(STORE, each) for each in found] == found


def test_another_api_has_its_own_store() -> None:
    assert store_of("https://api.linear.app/") == STORE
    store = store_of("http://127.0.0.1:4000/")
    assert address_in(store, "http://127.0.0.1:4000/uploads/x/a.png") == "http://127.0.0.1:4000/uploads/x/a.png"
    for other in ("http://127.0.0.1:4001/uploads/x", "http://127.0.0.1:4000/graphql", "http://127.0.0.1:4000/uploads/"):
        assert address_in(store, other) is None


def test_links_are_found_where_people_put_them_each_once() -> None:
    other = "https://uploads.linear.app/1/2"
    texts = [
        f"It looks like this: ![the page at night]({GOOD}) and so on, see [log.txt]({other}).",
        f"<description>![]({GOOD})\nhttps://uploads.linear.app/3/4/trace.json.\nhttps://example.org/x.png</description>",
    ]
    assert file_links(texts) == (
        FileLink(url=GOOD, name="the-page-at-night"),
        FileLink(url=other, name="log.txt"),
        FileLink(url="https://uploads.linear.app/3/4/trace.json", name="trace.json"),
    )


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a\u202eb", "x" * 300, "-rf", "a/b\\c"])
def test_a_name_stays_a_name(name: str) -> None:
    [link] = file_links([f"[{name}](https://uploads.linear.app/1/2)"])
    assert link.name
    assert "/" not in link.name
    assert not link.name.startswith((".", "-"))
    assert len(link.name) <= 80


# ── what a file is ───────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "content, kind",
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b'{"a": "\xc3\xa9"}', "text/plain"),
        (b"", "text/plain"),
        (b"<svg onload=alert(1)>", "text/plain"),
        (b"\x7fELF\x02\x01\x01\x00", None),
        (b"PK\x03\x04\x00\x00", None),
        (b"caf\xe9 in latin-1", None),
    ],
)
def test_the_bytes_say_what_a_file_is(content: bytes, kind: str | None) -> None:
    assert kind_of(content) == kind


# ── fetching ─────────────────────────────────────────────────────────────
async def test_a_file_comes_with_the_token(sim: Simulator) -> None:
    path = sim.store.put("shot.png", "image/png", PNG)
    async with open_linear(sim.url, client_id=sim.client_id, client_secret=sim.client_secret) as linear:
        [link] = file_links([f"![shot.png]({sim.url}{path})"], linear.store)
        assert await linear.file(link, FILE_MOST) == File(name="shot.png", mime="image/png", content=PNG)
        sim.tokens.revoke_all()  # a fresh token is fetched once
        assert (await linear.file(link, FILE_MOST)).content == PNG
    assert [status for _, status in sim.store.read] == [200, 401, 200]


async def test_without_a_token_that_counts_there_is_no_file(sim: Simulator) -> None:
    path = sim.store.put("shot.png", "image/png", PNG)
    async with open_linear(sim.url, access_token="wrong") as linear:
        with pytest.raises(NotFetched, match="HTTP 401"):
            await linear.file(FileLink(url=f"{sim.url}{path}", name="shot.png"), FILE_MOST)


async def test_no_redirect_is_followed(fake: FakeLinear) -> None:
    async with FakeLinear() as elsewhere, open_linear(fake.url, access_token="canary-token") as linear:
        fake.answers.append(Reply(302, headers={"location": f"{elsewhere.url}/a"}))
        with pytest.raises(NotFetched, match="not followed"):
            await linear.file(FileLink(url=f"{fake.url}/uploads/a", name="a"), FILE_MOST)
        assert elsewhere.asked == []


async def test_a_file_that_is_too_large_is_not_read_to_its_end(fake: FakeLinear) -> None:
    async with open_linear(fake.url, access_token="x") as linear:
        fake.answers.append(Reply(body=b"a" * 300_000))
        with pytest.raises(NotFetched, match="larger than"):
            await linear.file(FileLink(url=f"{fake.url}/uploads/a", name="a"), 100_000)


async def test_what_is_missing_is_named_and_the_rest_comes() -> None:
    asked: list[str] = []

    async def fetch_one(link: FileLink, room: int) -> File:
        assert room > 0
        asked.append(link.name)
        if link.name == "n3":
            raise LinearError("n3 could not be fetched (HTTP 404)")
        return File(name=link.name, mime="text/plain", content=b"x")

    links = [FileLink(url=f"{STORE}{number}", name=f"n{number}") for number in range(MOST + 2)]
    files, missing = await fetch_all(links, fetch_one)
    assert [file.name for file in files] == [f"n{number}" for number in range(MOST) if number != 3]
    assert missing[0] == "n3 could not be fetched (HTTP 404)"
    assert [line.split()[0] for line in missing[1:]] == [f"n{MOST}", f"n{MOST + 1}"]
    assert len(asked) == MOST


async def test_a_linear_that_is_away_is_said() -> None:
    async with open_linear("http://127.0.0.1:9", access_token="x") as away:
        with pytest.raises(NotFetched, match="could not be fetched"):
            await away.file(FileLink(url="http://127.0.0.1:9/uploads/a", name="a"), FILE_MOST)
