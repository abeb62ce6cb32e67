"""Access tokens of the agent's app, and the endpoint that grants them.

Source  linear.app/developers/oauth-2-0-authentication: form-encoded requests, HTTP Basic or form fields for the client
"""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import parse_qs, unquote

from dragoman.clock import Clock

LIFETIME_S = 2_591_999  # 30 days less a second, as Linear says for client_credentials
SCOPE = "read write app:assignable app:mentionable"


class Tokens:
    """Which tokens open the API.

    fixed          tokens configured from outside; they do not expire by themselves
    client_id      with `client_secret` what the token endpoint accepts
    """

    def __init__(self, clock: Clock, *, fixed: tuple[str, ...], client_id: str, client_secret: str) -> None:
        self._clock = clock
        self._client = (client_id, client_secret)
        self._expiry: dict[str, float | None] = dict.fromkeys(fixed)
        self.granted = 0
        self.lifetime_s: float = LIFETIME_S

    def accepts(self, authorization: str | None) -> bool:
        """Whether the Authorization header carries a token that is alive."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token not in self._expiry:
            return False
        expiry = self._expiry[token]
        return expiry is None or self._clock.now() < expiry

    def revoke_all(self) -> None:
        """Every token given so far, the configured ones included, is dead: 401 from now on."""
        self._expiry.clear()

    def admit(self, token: str) -> None:
        """Let a token in."""
        self._expiry[token] = None

    def grant(self, content_type: str, authorization: str | None, body: bytes) -> tuple[int, dict[str, object]]:
        """Answer `POST /oauth/token`: HTTP status and JSON body."""
        if content_type.split(";", maxsplit=1)[0].strip().lower() != "application/x-www-form-urlencoded":
            return 400, _oauth_error("invalid_request", "The request must be form-encoded.")
        try:
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        except UnicodeDecodeError:
            return 400, _oauth_error("invalid_request", "The request must be UTF-8.")
        if form.get("grant_type") != "client_credentials":
            return 400, _oauth_error("unsupported_grant_type", "Only client_credentials is known here.")
        given = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        if not all(self._client) or not _same(given, self._client):
            return 401, _oauth_error("invalid_client", "Client authentication failed.")
        token = f"lin_sim_{secrets.token_urlsafe(24)}"
        self._expiry[token] = self._clock.now() + self.lifetime_s
        self.granted += 1
        lifetime = int(self.lifetime_s)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": SCOPE}


def _same(given: tuple[str, str], wanted: tuple[str, str]) -> bool:
    return all(secrets.compare_digest(a.encode(), b.encode()) for a, b in zip(given, wanted, strict=True))


def _basic(authorization: str | None) -> tuple[str, str] | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return unquote(user), unquote(password)


def _oauth_error(error: str, description: str) -> dict[str, object]:
    return {"error": error, "error_description": description}
