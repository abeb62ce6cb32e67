"""Uploaded files of the pretend Linear: behind the same token as its API, as uploads.linear.app is.

A file comes in by `fileUpload`: that names a place at the storage, which is somebody else's, with a signed address, and
the headers that must come with the bytes. The storage looks at nothing else: it takes the very address, each header as it
was named, the size that was told, for a while, and no token. Afterwards the file is at the asset's address.

Source  linear.app/developers/file-storage-authentication, /how-to-upload-a-file-to-linear
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import quote, unquote

from dragoman.clock import Clock
from dragoman.record import Record
from dragoman.sim.asgi import Receive, Scope, Send, header, read_body, send_json, send_whole
from dragoman.sim.refusals import Refused
from dragoman.sim.tokens import Tokens

PREFIX = "/uploads/"
STORAGE = "/storage/"
OPEN_S = 60.0  # how long a place takes the bytes
LARGEST = 10_000_000_000  # bytes; what Linear itself allows is not documented


class Upload(Record):
    """A file. `content` is None until its bytes were put."""

    name: str
    mime: str
    content: bytes | None = None


class Place(Record):
    """Where the bytes of one file are expected.

    file     path of the file below PREFIX
    query    what must stand behind the "?", to the letter
    headers  lower-case names and the values that must come
    until    epoch seconds
    """

    file: str
    query: str
    headers: tuple[tuple[str, str], ...]
    size: int
    until: float


class Store:
    """Files by their path below PREFIX.

    url      where this server is
    read     what was asked for, and with what answer
    written  what was put, and with what answer; `given` are the headers that came with the last
    refuse   statuses of the next answers to a PUT, whatever it brings
    """

    def __init__(self, tokens: Tokens, clock: Clock, url: Callable[[], str]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._url = url
        self._places: dict[str, Place] = {}
        self.files: dict[str, Upload] = {}
        self.read: list[tuple[str, int]] = []
        self.written: list[tuple[str, int]] = []
        self.given: dict[str, str] = {}
        self.refuse: list[int] = []

    def put(self, name: str, mime: str, content: bytes) -> str:
        """Keep a file and return its path."""
        path = _path(name)
        self.files[path] = Upload(name=name, mime=mime, content=content)
        return path

    def expect(self, name: str, mime: str, size: int) -> dict[str, object]:
        """What `fileUpload` answers: a place for the bytes of a file. Raises Refused"""
        if not 0 < size <= LARGEST or not name or not mime:
            raise Refused("A file has a name, a content type and a size.")
        file, where = _path(name), f"{STORAGE}{secrets.token_hex(8)}/{quote(name)}"
        # Escapes as the real one has them: whoever tidies the address up does not come in.
        query = (
            f"X-Goog-Expires={OPEN_S:.0f}&X-Goog-Credential=sim%40store%2Fauto&X-Goog-Signature={secrets.token_hex(16)}"
        )
        named = (
            ("content-disposition", f'attachment; filename="{quote(name)}"'),
            ("x-goog-content-length-range", f"{size},{size}"),
        )
        must = (*named, ("content-type", mime), ("cache-control", "public, max-age=31536000"))
        until = self._clock.now() + OPEN_S
        self._places[where] = Place(file=file, query=query, headers=must, size=size, until=until)
        self.files[file] = Upload(name=name, mime=mime)
        return {
            "uploadUrl": f"{self._url()}{where}?{query}",
            "assetUrl": f"{self._url()}{file}",
            "contentType": mime,
            "filename": name,
            "size": size,
            "metaData": None,
            "headers": [{"key": key, "value": value} for key, value in named],
        }

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """PUT into a place of the storage, GET with a token."""
        if scope["path"].startswith(STORAGE):
            await self._take(scope, receive, send)
            return
        path = PREFIX + quote(unquote(scope["path"].removeprefix(PREFIX)))
        file = self.files.get(path)
        status = 401 if not self._tokens.accepts(header(scope, b"authorization")) else 404 if file is None else 200
        self.read.append((path, status))
        if status != 200 or file is None or file.content is None:
            await send_json(send, status if status != 200 else 404, {"problem": "no such file, or no token"})
            return
        await send_whole(send, 200, file.content, (("content-type", file.mime),))

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        where = STORAGE + quote(unquote(scope["path"].removeprefix(STORAGE)))
        body = await read_body(receive)
        problem = self._problem(scope, self._places.get(where), body)
        status = self.refuse.pop(0) if self.refuse else 403 if problem else 200
        self.written.append((where, status))
        self.given = {bytes(key).decode("latin-1"): bytes(value).decode("latin-1") for key, value in scope["headers"]}
        if status == 200:
            place = self._places[where]
            known = self.files[place.file]
            self.files[place.file] = Upload(name=known.name, mime=known.mime, content=body)
        await send_json(send, status, {"problem": problem} if problem else {})

    def _problem(self, scope: Scope, place: Place | None, body: bytes) -> str:
        if scope["method"] != "PUT" or place is None or bytes(scope["query_string"]).decode("latin-1") != place.query:
            return "SignatureDoesNotMatch"
        if self._clock.now() > place.until:
            return "ExpiredToken"
        if header(scope, b"authorization") is not None:
            return "a signed address and a token do not go together"
        missing = [name for name, value in place.headers if header(scope, name.encode()) != value]
        if missing:
            return f"{', '.join(missing)} must be as it was named"
        return "" if len(body) == place.size else f"EntityTooLarge, or too small: {place.size} bytes were told"


def _path(name: str) -> str:
    return f"{PREFIX}{secrets.token_hex(8)}/{quote(name)}"
