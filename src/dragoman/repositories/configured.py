"""The repositories that an operator configured: `[[repositories]]`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dragoman import logs
from dragoman.core.choosing import PermissionRule
from dragoman.errors import Refusal
from dragoman.record import Record
from dragoman.repositories.naming import is_branch_name
from dragoman.repositories.remote import read_url

VERIFY_MOST_S = 86_400
_FULL_NAME = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")


class Repository(Record):
    """One repository.

    name         "owner/repo"; what people call it, and the key of our copy of it
    url          anything git can fetch from: https, ssh, file, a local path. May hold a credential
    default      used when nothing else names a repository; a single one is the default by itself. With several and no
                 default, people are asked
    base_branch  the branch that work starts from; None: the default branch of the remote
    forge        where pull requests are opened: "github", or "none" for a remote that gets the branch alone;
                 empty: by the host of the url
    verify       commands that we run on the finished work, in a clean clone and inside the sandbox
    verify_red   for a bug fix, run the new tests on the base as well: they should fail there
    verify_s     how long all of `verify` may take; seconds
    setup        commands that are run in a new workspace before the agent begins, inside the sandbox
    setup_s      how long all of `setup` may take; seconds
    copy         globs of files of the operator that are brought into a new workspace and never committed; agents read them
    copy_from    the folder that they are taken from; relative to the file that says so
    teams        keys or ids of the teams whose issues belong here
    projects     names of the projects whose issues belong here
    labels       names of the labels whose issues belong here; "group:name" works too
    template     what work here is done with, unless the request, a label or a trigger names another
    agent        the same for the agent of OpenCode
    model        the same for the model, "provider/model"
    permissions  rules for OpenCode; where a trigger's speak of the same, those count
    checkpoint_push  what is saved of a workspace while it is worked in is pushed, too, under refs/dragoman/checkpoint/
    """

    name: str
    url: str
    default: bool = False
    base_branch: str | None = None
    forge: Literal["", "github", "none"] = ""
    verify: tuple[str, ...] = ()
    verify_red: bool = False
    verify_s: float = 600.0
    setup: tuple[str, ...] = ()
    setup_s: float = 600.0
    copy: tuple[str, ...] = ()
    copy_from: str = ""
    teams: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    template: str = ""
    agent: str = ""
    model: str = ""
    permissions: tuple[PermissionRule, ...] = ()
    checkpoint_push: bool = False

    def __repr__(self) -> str:
        return f"Repository(name={self.name!r}, url={logs.masked(self.url)!r}, default={self.default})"


def problems_of(repositories: Sequence[Repository]) -> list[str]:
    """Say what is wrong with them, one line each, none when all can be used; never with a credential in it."""
    problems = [
        f"[[repositories]]: the name {name!r} is used {count} times; give each repository its own"
        for name, count in Counter(repository.name for repository in repositories).items()
        if count > 1
    ]
    for repository in repositories:
        where = f"[[repositories]] {repository.name!r}"
        if not repository.name.strip() or not repository.name.isprintable():
            problems.append(f"{where}: the name is empty or holds invisible characters; use owner/repo")
        try:
            read_url(repository.url)
        except ValueError as error:
            problems.append(f"{where}: {error}")
        if repository.forge == "github" and not _FULL_NAME.fullmatch(repository.name):
            problems.append(f"{where}: GitHub knows repositories as owner/repo; give it that name")
        if any(not command.strip() for command in repository.verify):
            problems.append(f'{where}: verify holds an empty command. Example: verify = ["make test"]')
        if repository.verify_red and not repository.verify:
            problems.append(f'{where}: verify_red needs verify. Example: verify = ["make test"]')
        if not 1 <= repository.verify_s <= VERIFY_MOST_S:
            problems.append(
                f"{where}: verify_s must lie between 1 and {VERIFY_MOST_S} (seconds). Example: verify_s = 600"
            )
        problems += [f"{where}: {problem}" for problem in _preparing(repository)]
        if repository.model and not all(repository.model.partition("/")):
            problems.append(f'{where}: model must be provider/model. Example: model = "anthropic/claude-sonnet-4-5"')
        if repository.base_branch is not None and not is_branch_name(repository.base_branch):
            problems.append(f"{where}: base_branch {repository.base_branch!r} is no name for a branch")
    if sum(repository.default for repository in repositories) > 1:
        names = ", ".join(repository.name for repository in repositories if repository.default)
        problems.append(f"[[repositories]]: several have default = true ({names}); leave it at one")
    return problems


def _preparing(repository: Repository) -> Iterator[str]:
    if any(not command.strip() for command in repository.setup):
        yield 'setup holds an empty command. Example: setup = ["npm ci"]'
    if not 1 <= repository.setup_s <= VERIFY_MOST_S:
        yield f"setup_s must lie between 1 and {VERIFY_MOST_S} (seconds). Example: setup_s = 600"
    for glob in repository.copy:
        if not glob.strip() or glob.startswith("/") or ".." in glob.split("/"):
            yield f'copy {glob!r} must lie inside copy_from. Example: copy = [".env", "config/*.local.json"]'
    if repository.copy and not Path(repository.copy_from or "/nowhere/").is_dir():
        yield f'copy_from {repository.copy_from!r} must name the folder of these files. Example: copy_from = "/srv/shop-files"'
    if repository.copy_from and not repository.copy:
        yield 'copy_from needs copy. Example: copy = [".env"]'


def forge_of(repository: Repository, api_url: str) -> Literal["github", "none"]:
    """Where its pull requests are opened; by the host of its url unless it is said.

    api_url  GITHUB_API_URL: its host is GitHub's, too
    """
    if repository.forge:
        return repository.forge
    if not _FULL_NAME.fullmatch(repository.name):
        return "none"
    host = host_of(repository.url)
    api = host_of(api_url)
    return "github" if host and host in {"github.com", api, api.removeprefix("api.")} else "none"


def host_of(url: str) -> str:
    """The host of a URL, also of `git@host:path`; empty for a path."""
    if "://" in url:
        try:
            return (urlsplit(url).hostname or "").lower()
        except ValueError:
            return ""
    before, colon, _ = url.partition(":")
    return before.rpartition("@")[2].lower() if colon and "/" not in before else ""


def repository_of(repositories: Sequence[Repository], name: str) -> Repository:
    """The repository of that name; without a name the default, or the only one.

    Raises  Refusal when there is none, with what to do
    """
    if name:
        for repository in repositories:
            if repository.name == name:
                return repository
        raise Refusal(
            f"The repository {name} is no longer configured. Add it under [[repositories]], or begin a new session."
        )
    marked = [repository for repository in repositories if repository.default]
    match (len(repositories), marked):
        case (0, _):
            raise Refusal(
                "No repository is configured. Add [[repositories]] with name and url to the configuration file."
            )
        case (1, _):
            return repositories[0]
        case (_, [only]):
            return only
        case _:
            raise Refusal(
                "Which repository to work in is not decided. Name one in the request, such as `repo:owner/name`."
            )
