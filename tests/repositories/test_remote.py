"""Credentials of an address reach the right host and are seen nowhere else."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.errors import GitError
from dragoman.repositories.remote import Remote, read_url
from dragoman.repositories.trusted import TrustedRepository
from tests.repositories.upstream import files_in

SECRET = "tok-cAnArY-1234"


class Door:
    """An HTTP server that asks for credentials, notes them, and looks at the arguments of all processes meanwhile."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.arguments = b""
        self.address = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.arguments += _all_arguments()
        reply = '401 Unauthorized\r\nWWW-Authenticate: Basic realm="git"'
        for line in head:
            if line.startswith("Authorization: Basic "):
                self.heard.append(base64.b64decode(line.removeprefix("Authorization: Basic ")).decode())
                reply = "503 Service Unavailable"
        writer.write(f"HTTP/1.1 {reply}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def _all_arguments() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:  # the process has ended
            continue
    return found


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize("user, told", [("ada:", "ada"), ("", "x-access-token")])
async def test_the_credential_reaches_the_host_and_no_argument_file_or_error(
    door: Door, tmp_path: Path, user: str, told: str
) -> None:
    trusted = TrustedRepository(
        tmp_path / "repositories", "acme/shop", f"http://{user}{SECRET}@{door.address}/shop.git"
    )
    with pytest.raises(GitError) as caught:
        await trusted.refresh(30)
    assert door.heard == [f"{told}:{SECRET}"]
    assert b"ls-remote" in door.arguments
    assert SECRET.encode() not in door.arguments
    assert SECRET not in str(caught.value)
    assert caught.value.retryable  # 503
    kept = [file for file in files_in(tmp_path) if SECRET.encode() in file.read_bytes()]
    assert kept == []


async def test_without_a_credential_git_gives_up_instead_of_asking(door: Door, tmp_path: Path) -> None:
    trusted = TrustedRepository(tmp_path, "acme/shop", f"http://{door.address}/shop.git")
    with pytest.raises(GitError) as caught:
        await trusted.refresh(30)
    assert door.heard == []
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "url, remote",
    [
        ("/srv/git/shop", Remote(url="/srv/git/shop", kind="local")),
        ("file:///srv/shop.git", Remote(url="file:///srv/shop.git", kind="local")),
        ("git@host:acme/shop.git", Remote(url="git@host:acme/shop.git", kind="network")),
        ("ssh://git@host:22/shop", Remote(url="ssh://git@host:22/shop", kind="network")),
        ("https://host/shop", Remote(url="https://host/shop", kind="network")),
        (
            "https://u%40x:p%2F@host:8443/s",
            Remote(url="https://host:8443/s", kind="network", user="u@x", password="p/"),
        ),
        ("http://t@[::1]:80/s", Remote(url="http://[::1]:80/s", kind="network", user="x-access-token", password="t")),
    ],
)
def test_addresses_are_taken_apart(url: str, remote: Remote) -> None:
    assert read_url(url) == remote


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_url("sample/shop").url == str(tmp_path / "sample/shop")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-oProxyCommand=id",
        "ext::sh -c id",
        "fd::3",
        "gopher://host/x",
        "https://host:port/",
        "ssh://u:p@host/x",
        "a\nb",
        "https://u:a%0Ab@host/x",
    ],
)
def test_dangerous_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        read_url(url)


def test_a_remote_does_not_show_its_credential() -> None:
    assert SECRET not in repr(read_url(f"https://u:{SECRET}@host/x"))
