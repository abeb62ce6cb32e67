"""The address of a repository, without its secret: that travels in the environment of the one git that needs it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from dragoman.record import Record

_SCP_LIKE = re.compile(r"(?:[^\s/:@]+@)?[^\s/:]+:(?!//).*")
_SCHEMES = frozenset({"file", "git", "http", "https", "ssh"})

# Networks where git needs these to reach anything have them set for the service.
_PASSED_ON = (
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK",
)  # fmt: skip

# git puts the address in the arguments of its HTTP child, where everyone on the machine can read it; so the secret may
# not be part of the address. The helper's own text is an argument too, and names the variables only.
_HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$DRAGOMAN_GIT_USER" "$DRAGOMAN_GIT_PASSWORD"; }; f'


class Remote(Record):
    """Where a repository is fetched from.

    url       without credentials; a local path is absolute
    kind      local   a path on this machine
              network everything else
    user      user name for HTTP, "" without credentials
    password  password or token for HTTP; a token alone comes as the user of the address and is moved here
    """

    url: str
    kind: Literal["local", "network"]
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def takes_token(self) -> bool:
        """Whether it is spoken to over HTTP, where a token opens it."""
        return self.url.startswith(("http://", "https://"))

    def environment(self) -> dict[str, str]:
        """What git needs in its environment to fetch from here."""
        if self.kind == "local":
            return {"GIT_ALLOW_PROTOCOL": "file"}
        allowed = {"GIT_ALLOW_PROTOCOL": "git:http:https:ssh"}
        allowed |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if not self.password:
            return allowed
        parts = urlsplit(self.url)
        return allowed | {
            "DRAGOMAN_GIT_USER": self.user,
            "DRAGOMAN_GIT_PASSWORD": self.password,
            # For this host only: a redirect elsewhere does not get it.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"credential.{parts.scheme}://{parts.netloc}.helper",
            "GIT_CONFIG_VALUE_0": _HELPER,
        }


def read_url(url: str) -> Remote:
    """Take an operator's URL or path apart.

    Raises  ValueError, with a text for operators, that never holds a credential
    """
    if not url or url.startswith("-") or not url.isprintable():
        raise ValueError("the url is empty, begins with '-' or holds invisible characters")
    if "://" not in url:
        if "::" in url.split("/", 1)[0]:
            raise ValueError("the url names a transport of git that runs programs; use https, ssh, file or a path")
        try:
            if _SCP_LIKE.fullmatch(url) and not Path(url).exists():
                return Remote(url=url, kind="network")
            return Remote(url=str(Path(url).expanduser().absolute()), kind="local")
        except (OSError, RuntimeError) as error:
            raise ValueError("the url is no path that can be read; write it whole") from error
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError("the url cannot be read: check its host and port") from error
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the url has the scheme {parts.scheme!r}; use https, ssh, file or a path")
    if parts.scheme == "file":
        return Remote(url=url, kind="local")
    if parts.scheme == "ssh" and not parts.password:
        return Remote(url=url, kind="network")
    address = f"[{host}]" if ":" in host else host
    if parts.scheme == "ssh":
        raise ValueError("an ssh url cannot hold a password; use a key or an agent")
    bare = parts._replace(netloc=f"{address}:{port}" if port else address).geturl()
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and not password:
        user, password = "x-access-token", user
    if any(character in user + password for character in "\n\r\0"):
        raise ValueError("the user or password of the url holds a line break")
    return Remote(url=bare, kind="network", user=user, password=password)


def local_path(url: str) -> Path | None:
    """The folder on this machine that an operator's URL or path means; None when it leads elsewhere or is none."""
    try:
        remote = read_url(url)
    except ValueError:
        return None
    if remote.kind != "local":
        return None
    return Path(unquote(urlsplit(remote.url).path) if "://" in remote.url else remote.url)
