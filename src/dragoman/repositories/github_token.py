"""What opens GitHub: a token that is given, or one of a GitHub App, which lives for an hour and is fetched anew.

Source  docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from dragoman import logs
from dragoman.errors import ForgeError
from dragoman.repositories.github import ask, read_reply, refusal

_EARLY_S: Final = 300.0  # before its end a token is no longer used: what is begun with it may take minutes
KEPT_S: Final = 120.0  # a right that the app is given counts for new tokens only, and people try again at once
_JWT_S: Final = 540  # GitHub allows ten minutes
_CLOCKS_APART_S: Final = 60  # GitHub's advice


class GivenToken:
    """A personal or fine-grained token, the same for every repository."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self, name: str) -> str:
        """The token."""
        del name
        return self._token

    def __repr__(self) -> str:
        return "GivenToken(***)"


class _Installation(msgspec.Struct):
    id: int


class _Granted(msgspec.Struct):
    token: str
    expires_at: str


class AppToken:
    """The tokens of an app's installations, one for each owner of repositories.

    api_url   GITHUB_API_URL
    app_id    GITHUB_APP_ID
    key_file  its private key in PEM, read for each signature so that a new one needs no restart
    kept_s    how long a token is used; a token that was withdrawn is one no longer than that
    """

    def __init__(self, api_url: str, app_id: str, key_file: Path, *, kept_s: float = KEPT_S) -> None:
        self._api_url = api_url.rstrip("/")
        self._app_id = app_id
        self._key_file = key_file
        self._kept_s = kept_s
        self._known: dict[str, tuple[str, float]] = {}  # the token of an owner, and until when it is used
        self._fetching = asyncio.Lock()

    async def token(self, name: str) -> str:
        """A token that opens the repository `name` ("owner/repo"). Raises ForgeError."""
        owner = name.partition("/")[0].lower()
        async with self._fetching:
            token, until = self._known.get(owner, ("", 0.0))
            if time.time() >= until:
                token, ends_at = await self._fetch(name)
                self._known[owner] = (token, min(ends_at - _EARLY_S, time.time() + self._kept_s))
            return token

    async def _fetch(self, name: str) -> tuple[str, float]:
        jwt = self._signed()
        logs.keep_token("github app", jwt)
        signed = f"Bearer {jwt}"
        status, headers, reply = await ask("GET", f"{self._api_url}/repos/{quote(name)}/installation", signed)
        if status == 404:
            raise ForgeError(f"the GitHub App {self._app_id} is not installed on {name}", "missing")
        if status >= 300:
            raise refusal(status, headers, reply)
        installation: _Installation = read_reply(reply, _Installation)
        url = f"{self._api_url}/app/installations/{installation.id}/access_tokens"
        status, headers, reply = await ask("POST", url, signed)
        if status >= 300:
            raise refusal(status, headers, reply)
        granted: _Granted = read_reply(reply, _Granted)
        logs.keep_token(f"github {name.partition('/')[0].lower()}", granted.token)
        return granted.token, datetime.fromisoformat(granted.expires_at).timestamp()

    def _signed(self) -> str:
        """A JSON Web Token (RS256) that says who we are."""
        try:
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import padding, rsa
        except ImportError as error:
            raise ForgeError(
                "a GitHub App needs an extra package: pip install 'dragoman[github-app]', or set GITHUB_TOKEN",
                "credentials",
            ) from error
        try:
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ForgeError(f"the app's key {self._key_file} cannot be read as a PEM key", "credentials") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ForgeError(f"the app's key {self._key_file} is no RSA key", "credentials")
        now = int(time.time())
        claims = {"iat": now - _CLOCKS_APART_S, "exp": now + _JWT_S, "iss": self._app_id}
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{signed}.{_text(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(value: object) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
