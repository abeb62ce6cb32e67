"""Files that people attached: found in what they wrote, fetched from Linear's own store and from nowhere else.

Linear keeps uploads at uploads.linear.app, behind the same token as its API. So the token travels with the request, and
the address decides who gets it: it is taken apart, compared and put together again, and no redirect is followed. What
comes back is judged by its bytes, never by what it is called.

Source  linear.app/developers/file-storage-authentication
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import unquote, urlsplit

import aiohttp

from dragoman.errors import LinearError
from dragoman.linear.oauth import Credentials
from dragoman.record import Record

STORE = "https://uploads.linear.app/"
LINEAR_API = "https://api.linear.app"
MOST = 10  # files of one prompt
FILE_MOST = 10 * 1024 * 1024  # bytes
ALL_MOST = 25 * 1024 * 1024  # bytes
DEADLINE_S = 15.0  # for one file

# What models read as such. All else that is text is given as text; the rest cannot be given at all.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_LINK = re.compile(r"!?\[(?P<name>[^\]\n]{0,200})\]\(\s*<?(?P<url>https?://[^\s)>]+)>?[^)\n]*\)")
_BARE = re.compile(r"https?://[^\s<>()\[\]\"'`]+")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]+")
_UNSAFE_IN_NAMES = re.compile(r"[^\w.-]+")


class FileLink(Record):
    """A file that somebody put into a text. `name` is what it was called there, or the end of its address."""

    url: str
    name: str


class File(Record):
    """A file as it was fetched; `mime` comes from its bytes."""

    name: str
    mime: str
    content: bytes


class NotFetched(LinearError):
    """A file that we do not give to the agent; the text says why, for the agent and people."""


def store_of(api_url: str) -> str:
    """Where an API keeps its uploads: Linear's own store, or below the address of another API (a simulator, a proxy)."""
    base = api_url.rstrip("/")
    return STORE if base == LINEAR_API else f"{base}/uploads/"


def file_links(texts: Iterable[str], store: str = STORE) -> tuple[FileLink, ...]:
    """The files of a store that are linked in texts, in the order in which they come, each once."""
    found: dict[str, FileLink] = {}
    for text in texts:
        named = {match["url"]: match["name"] for match in _LINK.finditer(text)}
        for match in _BARE.finditer(text):
            url = match[0].rstrip(".,;:!?")
            checked = address_in(store, url)
            if checked is not None and checked not in found:
                found[checked] = FileLink(url=checked, name=_file_name(named.get(url, ""), checked))
    return tuple(found.values())


def address_in(store: str, url: str) -> str | None:
    """The address of a file in a store, put together anew; None for every other address.

    Only what is plainly below the store passes: its very scheme, host and port, no user, no `..`, no escapes that could
    be read in two ways. A token is sent there.
    """
    home = urlsplit(store)
    if not url.isascii() or not url.isprintable() or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != home.scheme or parts.username is not None or parts.password is not None:
        return None
    if parts.hostname != home.hostname or (port or _usual(parts.scheme)) != (home.port or _usual(home.scheme)):
        return None
    path = parts.path
    below = unquote(path)
    if not path.startswith(home.path) or path == home.path or not _PATH.fullmatch(path):
        return None
    if "//" in path or "\\" in below or "%" in below or not below.isprintable():
        return None
    if any(part in {".", ".."} for part in below.split("/")):
        return None
    return f"{home.scheme}://{home.netloc}{path}"


def _usual(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def kind_of(content: bytes) -> str | None:
    """The MIME type of what models can read, by its bytes; None for everything else."""
    for magic, mime in _MAGIC:
        if content.startswith(magic):
            return mime
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if b"\0" in content:
        return None
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "text/plain"


async def fetch(
    link: FileLink, http: aiohttp.ClientSession, credentials: Credentials, *, room: int = FILE_MOST
) -> File:
    """Fetch a file with the API's token.

    link    of `file_links`: its address was checked
    room    bytes that it may have at most
    Raises  NotFetched with the reason
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            authorization = await credentials.authorization(http)
            status, content = await _get(link, http, authorization, room)
            if status == 401 and credentials.reject(authorization):
                status, content = await _get(link, http, await credentials.authorization(http), room)
    except TimeoutError:
        raise NotFetched(f"{link.name} did not come within {DEADLINE_S:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NotFetched(f"{link.name} could not be fetched ({type(error).__name__})") from None
    if 300 <= status < 400:
        raise NotFetched(f"{link.name} is kept somewhere else, where its address leads is not followed")
    if status != 200:
        raise NotFetched(f"{link.name} could not be fetched (HTTP {status})", retryable=status >= 500)
    mime = kind_of(content)
    if mime is None:
        raise NotFetched(f"{link.name} is of a kind that the agent cannot read")
    return File(name=link.name, mime=mime, content=content)


async def fetch_all(
    links: Iterable[FileLink], fetch_one: Callable[[FileLink, int], Awaitable[File]]
) -> tuple[list[File], list[str]]:
    """Fetch one after another what there is room for; the files, and what is to be said of those that are missing."""
    files: list[File] = []
    missing: list[str] = []
    room = ALL_MOST
    for number, link in enumerate(links):
        if number >= MOST:
            missing.append(f"{link.name} was left out: {MOST} files are the most")
            continue
        try:
            file = await fetch_one(link, min(room, FILE_MOST))
        except LinearError as error:
            missing.append(str(error))
            continue
        room -= len(file.content)
        files.append(file)
    return files, missing


async def _get(link: FileLink, http: aiohttp.ClientSession, authorization: str, room: int) -> tuple[int, bytes]:
    headers = {"Authorization": authorization}
    async with http.get(link.url, headers=headers, allow_redirects=False) as reply:
        if reply.status != 200:
            return reply.status, b""
        content = bytearray()
        async for chunk in reply.content.iter_any():
            content += chunk
            if len(content) > room:
                raise NotFetched(f"{link.name} is larger than {room / (1 << 20):.0f} MiB")
        return 200, bytes(content)


def _file_name(told: str, url: str) -> str:
    name = told.strip() or unquote(url.rpartition("/")[2])
    return _UNSAFE_IN_NAMES.sub("-", name).strip("-.")[:80] or "file"
