"""The forge of a repository: what opens its remote, and where its pull requests are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

from dragoman.repositories.configured import Repository, forge_of
from dragoman.repositories.github import API_URL, GitHub
from dragoman.repositories.remote import read_url
from dragoman.repositories.trusted import Token


class Forge:
    """What we know of the forges of all repositories.

    api_url  GITHUB_API_URL
    token    gives what opens a repository of GitHub, by its name; None when nothing is configured
    """

    def __init__(self, api_url: str = API_URL, token: Callable[[str], Awaitable[str]] | None = None) -> None:
        self._api_url = api_url
        self._token = token

    def token_for(self, repository: Repository) -> Token | None:
        """What opens the remote of a repository, if it is GitHub's; a credential in its url comes first."""
        if self._token is None or forge_of(repository, self._api_url) != "github":
            return None
        return partial(self._token, repository.name)

    def github(self, repository: Repository) -> GitHub | None:
        """Its pull requests; None when it has none, or nothing lets us open them."""
        token = self.token_for(repository)
        return GitHub(self._api_url, repository.name, token) if token is not None else None

    def compare_url(self, repository: Repository, base: str, branch: str) -> str:
        """GitHub's page on which a person opens a pull request; empty for a plain remote."""
        if forge_of(repository, self._api_url) != "github":
            return ""
        remote = read_url(repository.url)
        parts = urlsplit(remote.url if remote.takes_token() else "https://github.com")
        return f"{parts.scheme}://{parts.netloc}/{repository.name}/compare/{base}...{branch}?expand=1"
