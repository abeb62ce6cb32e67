"""Uploaded files of the pretend Linear: behind the same token as its API, as uploads.linear.app is.

Source  linear.app/developers/file-storage-authentication, /how-to-upload-a-file-to-linear
"""

from __future__ import annotations

import secrets
from urllib.parse import quote, unquote

from dragoman.record import Record
from dragoman.sim.asgi import Receive, Scope, Send, header, read_body, send_json, send_whole
from dragoman.sim.tokens import Tokens

PREFIX = "/uploads/"


class Upload(Record):
    """A file. `content` is None until its bytes were put."""

    name: str
    mime: str
    key: str
    content: bytes | None = None


class Store:
    """Files by their path below PREFIX. `read` tells which were asked for, and with what answer."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.files: dict[str, Upload] = {}
        self.read: list[tuple[str, int]] = []

    def put(self, name: str, mime: str, content: bytes) -> str:
        """Keep a file and return its path."""
        path = f"{PREFIX}{secrets.token_hex(8)}/{quote(name)}"
        self.files[path] = Upload(name=name, mime=mime, key="", content=content)
        return path

    def expect(self, name: str, mime: str) -> tuple[str, str]:
        """Prepare for the bytes of a file: its path, and the value of the header that must come with them."""
        path, key = f"{PREFIX}{secrets.token_hex(8)}/{quote(name)}", secrets.token_urlsafe(16)
        self.files[path] = Upload(name=name, mime=mime, key=key)
        return path, key

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET with a token, PUT with the key that `expect` gave."""
        path = PREFIX + quote(unquote(scope["path"].removeprefix(PREFIX)))
        file = self.files.get(path)
        if scope["method"] == "PUT":
            body = await read_body(receive)
            if file is None or not file.key or header(scope, b"x-upload-key") != file.key:
                await send_json(send, 403, {"problem": "a header was dropped, or nobody expects this file"})
                return
            self.files[path] = Upload(name=file.name, mime=file.mime, key="", content=body)
            await send_json(send, 200, {})
            return
        status = 401 if not self._tokens.accepts(header(scope, b"authorization")) else 404 if file is None else 200
        self.read.append((path, status))
        if status != 200 or file is None or file.content is None:
            await send_json(send, status if status != 200 else 404, {"problem": "no such file, or no token"})
            return
        await send_whole(send, 200, file.content, (("content-type", file.mime),))
