"""Files that we bring to Linear: it names a place and the headers that go with it, and takes the bytes there.

The place is signed and belongs to somebody else's storage. So it is used to the letter, it gets the headers that Linear
named and no token, and no redirect is followed. What Linear then shows the file under is checked before people read it.

Source  linear.app/developers/how-to-upload-a-file-to-linear
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from dragoman.errors import LinearError
from dragoman.linear.files import kind_of
from dragoman.linear.wire import UploadFile

DEADLINE_S = 40.0  # for the bytes of one file
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_ZIP, _EBML, _BOX = b"PK\x03\x04", b"\x1a\x45\xdf\xa3", b"ftyp"
_TEXTS = {".md": "text/markdown", ".csv": "text/csv", ".json": "application/json"}
_UNSAFE_IN_NAMES = re.compile(r"[^\w. ()+-]+")
# In Markdown a link ends at a bracket or a blank; an address with one is none that Linear would make.
_ASSET = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]{1,1000}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
# A place that asks for these would be given what is not its own, or could confuse what stands behind it.
_NEVER = frozenset({"authorization", "proxy-authorization", "cookie", "host", "content-length", "transfer-encoding"})


class NotUploaded(LinearError):
    """A file that Linear does not have."""


def kind_to_upload(name: str, content: bytes) -> str | None:
    """The MIME type under which a file is uploaded, by its bytes; None for what is not uploaded.

    Text is never uploaded as something that a browser would run.
    """
    kind = kind_of(content) if content else None
    if kind == "text/plain":
        return _TEXTS.get(name[name.rfind(".") :].lower(), kind)
    if kind is not None:
        return kind
    if content.startswith(_ZIP):
        return "application/zip"
    if content.startswith(_EBML):
        return "video/webm"
    return "video/mp4" if content[4:8] == _BOX else None


def file_name(name: str) -> str:
    """The name that Linear is told: the last part of a path, without anything that could mean something elsewhere."""
    last = _UNSAFE_IN_NAMES.sub("-", name.rpartition("/")[2]).strip("-. ")
    return (last if len(last) <= 80 else f"{last[:60]}{last[-20:]}") or "file"


async def upload(
    ask: Callable[[], Awaitable[UploadFile]], http: aiohttp.ClientSession, *, store: str, mime: str, content: bytes
) -> str:
    """Ask for a place, put the bytes there, and give the address under which Linear shows them.

    ask     asks Linear for a place; once more when the first one did not take the bytes: it is open for a moment only
    store   where Linear keeps its files, see `files.store_of`
    Raises  NotUploaded, and what `ask` raises
    """

    async def once() -> str:
        place = await ask()
        await _put(place, http, store, mime, content)
        return place.asset_url

    try:
        return await once()
    except NotUploaded:
        return await once()


async def _put(place: UploadFile, http: aiohttp.ClientSession, store: str, mime: str, content: bytes) -> None:
    # The first two are those of Linear's guide; what is named for this file goes before.
    headers = {"Content-Type": mime, "Cache-Control": "public, max-age=31536000"} | _named(place)
    _check_address(place, store)
    try:
        async with asyncio.timeout(DEADLINE_S):
            # As it is: its signature covers it to the letter.
            url = URL(place.upload_url, encoded=True)
            async with http.put(url, data=content, headers=headers, allow_redirects=False) as reply:
                status = reply.status
    except TimeoutError:
        raise NotUploaded(f"the storage did not take it within {DEADLINE_S:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotUploaded(f"the storage cannot be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise NotUploaded(f"the storage said HTTP {status}", retryable=status >= 500 or status in {408, 429})


def _named(place: UploadFile) -> dict[str, str]:
    """The headers that Linear named, in a spelling that lets each stand once. Raises NotUploaded"""
    named = {one.key.title(): one.value for one in place.headers}
    for name, value in named.items():
        if not _HEADER.fullmatch(name) or name.lower() in _NEVER or not value.isprintable():
            raise NotUploaded("Linear named a header that is none of an upload's", retryable=False)
    return named


def _check_address(place: UploadFile, store: str) -> None:
    """Raises NotUploaded for a place without encryption, unless the store has none either, and for an odd address."""
    home, there = urlsplit(store), urlsplit(place.upload_url)
    plain = there.scheme == "http" and home.scheme == "http" and there.netloc == home.netloc
    if there.scheme != "https" and not plain:
        raise NotUploaded("Linear named a place that is not encrypted", retryable=False)
    if "@" in there.netloc or not there.hostname or not _ASSET.fullmatch(place.asset_url):
        raise NotUploaded("Linear named an address that is none", retryable=False)
