"""GitHub's REST face as its documentation has it: what is asked, what is refused, and how an app gets its tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dragoman import logs
from dragoman.errors import ForgeError, GitError
from dragoman.repositories.configured import Repository, forge_of, problems_of
from dragoman.repositories.forge import Forge as OurForge
from dragoman.repositories.github import GitHub, refusal
from dragoman.repositories.github_token import AppToken, GivenToken
from dragoman.repositories.refusals import refusal_of
from dragoman.sim.forge import Forge
from dragoman.sim.server import Simulator
from tests.repositories.upstream import Upstream, run_git

NAME = "acme/shop"
TOKEN = "ghp_write"


@pytest_asyncio.fixture
async def forge(tmp_path: Path) -> AsyncIterator[Forge]:
    """Give a pretend GitHub with a repository that has a branch `work` beside `main`."""
    upstream = Upstream(tmp_path / "upstream")
    upstream.commit()
    run_git(upstream.directory, "checkout", "--quiet", "-b", "work")
    upstream.commit("fix.py")
    run_git(upstream.directory, "checkout", "--quiet", "main")
    made = Forge(tmp_path / "forge", {TOKEN: "write", "ghp_read": "read", "ghp_blind": "blind"})
    async with Simulator(forge=made):
        made.add(NAME, upstream.directory)
        yield made


def github(forge: Forge, token: str = TOKEN) -> GitHub:
    async def given() -> str:
        return token

    return GitHub(forge.api_url, NAME, given)


async def test_one_pull_request_a_branch_is_opened_and_then_kept_up_to_date(forge: Forge) -> None:
    first = await github(forge).offer("work", "main", title="Fix it", body="One.")
    again = await github(forge).offer("work", "main", title="Another title", body="Two.")
    assert (again.number, again.url, again.title) == (first.number, first.url, "Fix it")
    assert "Two." in again.body
    assert "One." not in again.body
    assert forge.requests == ["pulls.find", "pulls.open", "pulls.find", "pulls.update"]


async def test_a_body_that_is_right_is_not_written_again(forge: Forge) -> None:
    for _ in range(2):
        await github(forge).offer("work", "main", title="Fix it", body="One.")
    assert "pulls.update" not in forge.requests


async def test_a_body_that_holds_our_marks_does_not_grow(forge: Forge) -> None:
    for words in ("One. <!-- dragoman: end --> Left.", "Two. <!-- dragoman: begin --> Left."):
        await github(forge).offer("work", "main", title="Fix it", body=words)
    made = await github(forge).offer("work", "main", title="Fix it", body="Three.", facts="Seen.")
    ours = "<!-- dragoman: begin -->\nThree.\n<!-- dragoman: facts -->\n\nSeen.\n<!-- dragoman: end -->"
    assert made.body == ours
    made = await github(forge).offer("work", "main", title="Fix it", body="Four.", facts="Seen again.", keep=True)
    assert made.body == ours.replace("Seen.", "Seen again.")


async def test_a_closed_one_is_not_opened_again_but_followed_by_another(forge: Forge) -> None:
    first = await github(forge).offer("work", "main", title="Fix it", body="One.")
    forge.repositories[NAME].pulls[0]["state"] = "closed"
    second = await github(forge).offer("work", "main", title="Fix it", body="One.")
    assert second.number == first.number + 1


async def test_one_that_appeared_between_the_look_and_the_opening_is_taken(forge: Forge) -> None:
    await github(forge).offer("work", "main", title="Theirs", body="One.")
    forge.hide_pulls = 1
    ours = await github(forge).offer("work", "main", title="Ours", body="Two.")
    assert (ours.number, ours.title) == (1, "Theirs")


@pytest.mark.parametrize("token, kind", [("ghp_read", "right"), ("ghp_blind", "missing"), ("ghp_gone", "credentials")])
async def test_what_a_token_may_not_is_told_by_kind(forge: Forge, token: str, kind: str) -> None:
    with pytest.raises(ForgeError) as refused:
        await github(forge, token).offer("work", "main", title="Fix it", body="One.")
    assert refused.value.kind == kind
    assert not refused.value.retryable
    assert token not in str(refused.value)


async def test_a_branch_that_holds_nothing_is_told_as_such(forge: Forge) -> None:
    forge.repositories[NAME].git("branch", "same", "main")
    with pytest.raises(ForgeError) as refused:
        await github(forge).offer("same", "main", title="Fix it", body="One.")
    assert refused.value.kind == "nothing"


async def test_a_github_that_is_not_there_may_come_back() -> None:
    async def given() -> str:
        return TOKEN

    with pytest.raises(ForgeError) as refused:
        await GitHub("http://127.0.0.1:9", NAME, given).offer("work", "main", title="Fix it", body="One.")
    assert (refused.value.kind, refused.value.retryable) == ("away", True)


@pytest.mark.parametrize(
    "status, headers, body, kind, wait_s",
    [
        (403, {"x-ratelimit-remaining": "0", "retry-after": "60"}, b'{"message":"API rate limit exceeded"}', "limited", 60),
        (429, {"retry-after": "5"}, b"", "limited", 5),
        (403, {}, b'{"message":"You have exceeded a secondary rate limit"}', "limited", None),
        (403, {"x-ratelimit-remaining": "17"}, b'{"message":"Resource not accessible by integration"}', "right", None),
        (502, {}, b"<html>", "away", None),
        (422, {}, b'{"message":"Validation Failed","errors":[{"code":"custom","message":"Something"}]}', "other", None),
        (301, {"location": "https://elsewhere.example"}, b'{"message":"Moved Permanently"}', "missing", None),
    ],
)  # fmt: skip
def test_every_refusal_has_a_kind(
    status: int, headers: Mapping[str, str], body: bytes, kind: str, wait_s: float | None
) -> None:
    error = refusal(status, headers, body)
    assert (error.kind, error.retry_after_s) == (kind, wait_s)
    assert error.retryable == (kind in {"limited", "away"})


@pytest.mark.parametrize(
    "said, kind",
    [
        ("remote: error: GH006: Protected branch update failed for refs/heads/x. · ! [remote rejected] x -> x", "protected"),
        ("! [remote rejected] x -> x (pre-receive hook declined)", "protected"),
        ("! [rejected] x -> x (stale info)", "conflict"),
        ("remote: Permission to acme/shop.git denied to bot. · fatal: The requested URL returned error: 403", "right"),
        ("refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml`", "right"),
        ("fatal: Authentication failed for 'https://github.com/acme/shop.git/'", "credentials"),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", "credentials"),
        ("remote: Repository not found. · fatal: repository 'https://github.com/a/b.git/' not found", "missing"),
        ("remote: error: GH001: Large files detected.", "content"),
        ("remote: denied for ghp_canary_123. · fatal: The requested URL returned error: 403", "right"),
        ("fatal: unable to access 'https://github.com/': Could not resolve host: github.com", "away"),
    ],
)  # fmt: skip
def test_what_git_says_of_a_push_has_a_kind(said: str, kind: str) -> None:
    logs.keep_secret(["ghp_canary_123"])  # our word for what is masked is none of git's
    assert refusal_of(GitError(said)).kind == kind


# ── tokens ───────────────────────────────────────────────────────────────
def a_key(folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    file = folder / "app.pem"
    file.write_bytes(pem)
    return file


async def test_an_app_gets_a_token_for_an_installation_and_keeps_it(forge: Forge, tmp_path: Path) -> None:
    forge.apps["42"] = "write"
    tokens = AppToken(forge.api_url, "42", a_key(tmp_path))
    first = await tokens.token(NAME)
    assert await tokens.token(NAME) == first
    assert forge.requests == ["installation", "access_tokens"]
    assert (await github(forge, first).offer("work", "main", title="Fix it", body="One.")).number == 1


async def test_no_error_and_no_pull_request_holds_an_app_s_token(forge: Forge, tmp_path: Path) -> None:
    forge.apps["42"] = "write"
    token = await AppToken(forge.api_url, "42", a_key(tmp_path)).token(NAME)
    for before in (0, 450):  # characters: what GitHub says is cut at 500
        body = msgspec.json.encode({"message": "x" * before + f" Bad credentials: {token}"})
        assert token[:6] not in str(refusal(401, {}, body))
    jwt = forge.seen[0].removeprefix("Bearer ")
    assert jwt.count(".") == 2
    assert jwt not in str(refusal(401, {}, msgspec.json.encode({"message": f"A JSON web token: {jwt}"})))
    made = await github(forge, token).offer("work", "main", title=f"Use {token}", body=f"See {token}.", facts=token)
    assert token not in f"{made.title} {made.body}"


async def test_a_token_that_is_about_to_end_is_fetched_anew(forge: Forge, tmp_path: Path) -> None:
    forge.apps["42"] = "write"
    forge.granted_until = "2020-01-01T00:00:00Z"
    tokens = AppToken(forge.api_url, "42", a_key(tmp_path))
    assert await tokens.token(NAME) != await tokens.token(NAME)


async def test_a_right_that_is_given_to_an_app_counts_soon(forge: Forge, tmp_path: Path) -> None:
    forge.apps["42"] = "read"
    tokens = AppToken(forge.api_url, "42", a_key(tmp_path), kept_s=0.0)
    with pytest.raises(ForgeError, match="Resource not accessible"):
        await github(forge, await tokens.token(NAME)).offer("work", "main", title="Fix it", body="One.")
    forge.apps["42"] = "write"  # tokens that were granted before keep the rights that they had
    assert (
        await github(forge, await tokens.token(NAME)).offer("work", "main", title="Fix it", body="One.")
    ).number == 1


@pytest.mark.parametrize("app, kind", [("42", "missing"), ("7", "credentials")])
async def test_an_app_that_is_not_installed_or_unknown_is_told(
    forge: Forge, tmp_path: Path, app: str, kind: str
) -> None:
    forge.apps["42"] = "write"
    with pytest.raises(ForgeError) as refused:
        await AppToken(forge.api_url, app, a_key(tmp_path)).token("acme/other")
    assert refused.value.kind == kind


async def test_a_key_that_is_none_is_told_without_its_content(forge: Forge, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_text("very secret")
    with pytest.raises(ForgeError) as refused:
        await AppToken(forge.api_url, "42", file).token(NAME)
    assert "cannot be read as a PEM key" in str(refused.value)
    assert "very secret" not in str(refused.value)


def test_a_token_does_not_show_itself() -> None:
    assert TOKEN not in repr(GivenToken(TOKEN))


# ── which forge ──────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "url, api, forge",
    [
        ("https://github.com/acme/shop.git", "https://api.github.com", "github"),
        ("git@github.com:acme/shop.git", "https://api.github.com", "github"),
        ("https://git.example.com/acme/shop.git", "https://git.example.com/api/v3", "github"),
        ("https://gitlab.com/acme/shop.git", "https://api.github.com", "none"),
        ("https://github.com.evil.example/acme/shop.git", "https://api.github.com", "none"),
        ("/srv/shop.git", "https://api.github.com", "none"),
    ],
)
def test_the_forge_is_known_by_the_host(url: str, api: str, forge: str) -> None:
    repository = Repository(name=NAME, url=url)
    assert forge_of(repository, api) == forge
    given = OurForge(api, GivenToken(TOKEN).token)
    assert (given.token_for(repository) is not None) == (forge == "github")
    assert (given.compare_url(repository, "main", "work") != "") == (forge == "github")


def test_what_is_said_counts_more_than_the_host() -> None:
    assert forge_of(Repository(name=NAME, url="/srv/shop.git", forge="github"), "https://api.github.com") == "github"
    hub = Repository(name=NAME, url="https://github.com/acme/shop.git", forge="none")
    assert forge_of(hub, "https://api.github.com") == "none"


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"name": "shop", "forge": "github"}, "owner/repo"),
        ({"verify": ("",)}, "empty command"),
        ({"verify_red": True}, "verify_red needs verify"),
        ({"verify_s": 0.0}, "verify_s must lie between"),
    ],
)
def test_what_cannot_work_is_told(wrong: dict[str, Any], told: str) -> None:
    (problem,) = problems_of([Repository(**{"name": NAME, "url": "/srv/shop.git", **wrong})])
    assert told in problem
