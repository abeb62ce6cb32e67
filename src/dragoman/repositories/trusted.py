"""Our own bare copy of a repository. The agent never sees it; only its clean configuration meets the network.

refs/remotes/origin/*    what the remote has; replaced and pruned by each refresh
refs/dragoman/*          ours: branches of sessions, later checkpoints and rescues. No refspec of a refresh names
                         them, so no refresh can remove them; `fetch --mirror` would
HEAD                     refs/remotes/origin/<default branch>; set last, so it also says that the copy is complete
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dragoman.errors import ForgeError, GitError, Refusal
from dragoman.record import Record
from dragoman.repositories.git import git
from dragoman.repositories.locks import Deadline, file_lock
from dragoman.repositories.naming import is_branch_name, trusted_path
from dragoman.repositories.remote import read_url

Token = Callable[[], Awaitable[str]]  # raises ForgeError

_ORIGIN = "refs/remotes/origin/"
_DEFAULT = "refs/dragoman/default"
_STALE_LOCK_S = 600.0  # longer than any of our git commands may take
_COMPLETE = "dragoman-fetched"  # its time of change is when the copy was last brought up to date


class Refreshed(Record):
    """What a refresh came to.

    note  why an older copy is used, for people and the agent; None when the copy is up to date
    """

    note: str | None = None


class TrustedRepository:
    """One repository's copy, at `path`. Any number of these may be made for the same one, in any number of processes."""

    def __init__(
        self, root: Path, name: str, url: str, *, base_branch: str | None = None, token: Token | None = None
    ) -> None:
        """Name it; nothing is touched yet.

        root         the folder of all trusted repositories, hidden from agents, on one file system with the workspaces
        name         the repository's name, "owner/repo"
        url          where it comes from; see `Repository.url`
        base_branch  used instead of the remote's own default branch
        token        gives what opens the remote, for a URL over HTTP that holds no credential of its own
        Raises       Refusal when the url cannot be used
        """
        self.root = root.absolute()
        self.name = name
        self.path = trusted_path(self.root, name)
        # Shared by who brings objects and then names them; held alone by who removes what nothing names.
        self.objects_lock = self.path.with_suffix(".objects.lock")
        self._base_branch = base_branch
        self._token = token
        try:
            self._remote = read_url(url)
        except ValueError as error:
            raise Refusal(f"The repository {name} cannot be used: {error}.") from error
        self._turn = asyncio.Lock()
        self._begun = 0
        self._last: tuple[int, Refreshed] | None = None
        self._can_wait: asyncio.Future[object] | None = None

    async def refresh(self, deadline_s: float) -> Refreshed:
        """Bring the copy up to date; make it if it is missing.

        Who asks while another refresh waits to begin shares that one.
        Raises  GitError when the remote cannot be fetched and there is no older copy; Refusal when the remote has no
                commit, or no branch that could be the default
        """
        if self._can_wait is not None:
            self._can_wait.cancel()
        deadline = Deadline(deadline_s)
        asked_after = self._begun
        try:
            async with asyncio.timeout(deadline_s):
                await self._turn.acquire()
        except TimeoutError:
            return self._older_copy(GitError(f"no answer within {deadline_s:.0f} s"))
        try:
            if self._last is not None and self._last[0] > asked_after:
                return self._last[1]
            self._begun += 1
            number = self._begun
            try:
                await self._fetch(deadline)
                outcome = Refreshed()
            except GitError as error:
                outcome = self._older_copy(error)
            self._last = (number, outcome)
            return outcome
        finally:
            self._turn.release()

    async def unless_wanted(self, work: Coroutine[Any, Any, object]) -> bool:
        """Do what can wait; False when it was ended because somebody asked for a refresh."""
        self._can_wait = asyncio.ensure_future(work)
        try:
            await self._can_wait
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            return False
        finally:
            self._can_wait = None
        return True

    def default_branch(self) -> str:
        """The branch that work starts from.

        Raises  Refusal before the first refresh
        """
        if self._base_branch is not None:
            return self._base_branch
        if (branch := self._recorded_branch()) is None:
            raise Refusal(f"The repository {self.name} has not been fetched yet.")
        return branch

    async def resolve(self, ref: str, *, deadline_s: float = 30.0) -> str | None:
        """The commit that a ref or an object id names in this copy; None when there is none."""
        if not self.path.is_dir():
            return None
        found = await git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}",
            cwd=self.path, deadline_s=deadline_s, ok_codes=(0, 1),
        )  # fmt: skip
        return found.decode().strip() or None

    async def branch_tip(self, branch: str, *, deadline_s: float = 30.0) -> str | None:
        """The commit that the remote's branch pointed to at the last refresh."""
        return await self.resolve(_ORIGIN + branch, deadline_s=deadline_s)

    async def remote_tip(self, branch: str, *, deadline_s: float = 60.0) -> str | None:
        """The commit that the remote's branch points to now; None when there is no such branch. Raises GitError."""
        deadline = Deadline(deadline_s)
        told = await git(
            "ls-remote", "--", self._remote.url, f"refs/heads/{branch}",
            cwd=self.path, deadline_s=deadline.left(), env_extra=await self._environment(),
        )  # fmt: skip
        return told.decode().partition("\t")[0].strip() or None

    async def push(self, commit: str, branch: str, *, expected: str | None, deadline_s: float = 120.0) -> None:
        """Point the remote's branch to `commit`, if it is still at `expected` (None: not there).

        Raises  ValueError for the branch that work starts from, which is never pushed to; GitError
        """
        if branch == self.default_branch() or not is_branch_name(branch):
            raise ValueError(f"{branch!r} is not pushed to")
        await git(
            "push", "--quiet", "--no-follow-tags", "--recurse-submodules=no",
            f"--force-with-lease=refs/heads/{branch}:{expected or ''}",
            "--", self._remote.url, f"+{commit}:refs/heads/{branch}",
            cwd=self.path, deadline_s=deadline_s, env_extra=await self._environment(),
        )  # fmt: skip

    async def push_ref(self, ref: str, *, deadline_s: float = 120.0) -> None:
        """Copy a ref of ours to the remote, under the same name. Raises GitError."""
        if not ref.startswith("refs/dragoman/"):
            raise ValueError(f"{ref!r} is not a ref of ours")
        await git(
            "push", "--quiet", "--no-follow-tags", "--recurse-submodules=no", "--", self._remote.url, f"+{ref}:{ref}",
            cwd=self.path, deadline_s=deadline_s, env_extra=await self._environment(),
        )  # fmt: skip

    async def drop_pushed(self, ref: str, *, deadline_s: float = 120.0) -> None:
        """Remove a ref of ours from the remote, if it is there. Raises GitError."""
        if not ref.startswith("refs/dragoman/"):
            raise ValueError(f"{ref!r} is not a ref of ours")
        if not self.path.is_dir():
            return
        deadline, environment = Deadline(deadline_s), await self._environment()
        told = await git(
            "ls-remote", "--", self._remote.url, ref,
            cwd=self.path, deadline_s=deadline.left(), env_extra=environment,
        )  # fmt: skip
        if told.strip():
            await git(
                "push", "--quiet", "--recurse-submodules=no", "--", self._remote.url, f":{ref}",
                cwd=self.path, deadline_s=deadline.left(), env_extra=environment,
            )  # fmt: skip

    async def keep(self, ref: str, commit: str, *, deadline_s: float = 30.0) -> None:
        """Point a ref of ours to a commit that is here."""
        if not ref.startswith("refs/dragoman/"):
            raise ValueError(f"{ref!r} is not a ref of ours")
        await git("update-ref", ref, commit, cwd=self.path, deadline_s=deadline_s)

    async def contains(self, later: str, earlier: str, *, deadline_s: float = 30.0) -> bool:
        """Whether `earlier` is `later` or lies in its history; False for a commit that is not here."""
        if await self.resolve(earlier) is None:
            return False
        base = await git(
            "rev-list", "--max-count=1", earlier, f"^{later}", cwd=self.path, deadline_s=deadline_s
        )  # fmt: skip
        return not base.strip()

    async def bundle(self, branches: Sequence[str], without: Sequence[str], *, deadline_s: float = 60.0) -> bytes:
        """The remote's branches as of the last refresh, as a bundle that git fetches from; without what is known there.

        branches  those that are not there are left out
        without   commits that whoever reads it has already
        Returns   nothing when there is nothing new. Raises GitError
        """
        tips = {branch: await self.branch_tip(branch) for branch in branches}
        known = [commit for commit in without if await self.resolve(commit)]
        there = [_ORIGIN + branch for branch, tip in tips.items() if tip is not None]
        if not there:
            return b""
        shown = await git(
            "rev-list", "--max-count=1", *there, "--not", *known, cwd=self.path, deadline_s=deadline_s
        )  # fmt: skip
        if not shown.strip():
            return b""
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=self.root) as folder:
            made = Path(folder) / "bundle"
            await git(
                "bundle", "create", "--quiet", str(made), *there, "--not", *known,
                cwd=self.path, deadline_s=deadline_s,
            )  # fmt: skip
            return await asyncio.to_thread(made.read_bytes)

    async def _environment(self) -> dict[str, str]:
        """What git needs to speak to the remote; the token among it, when the forge gives one."""
        remote = self._remote
        if self._token is not None and not remote.password and remote.takes_token():
            try:
                remote = replace(remote, user="x-access-token", password=await self._token())
            except ForgeError as error:
                raise GitError(str(error), retryable=error.retryable) from error
        return remote.environment()

    async def _fetch(self, deadline: Deadline) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with file_lock(self.path.with_suffix(".lock"), deadline) as lock:
            await self._make(deadline, lock)
            self._remove_stale_locks()
            environment = await self._environment()
            # First what the remote calls its default: a remote that is down is known at once.
            told = await git(
                "ls-remote", "--symref", "--", self._remote.url, "HEAD",
                cwd=self.path, deadline_s=deadline.left(), env_extra=environment, keep_open=(lock,),
            )  # fmt: skip
            await git(
                "fetch", "--quiet", "--prune", "--no-write-fetch-head", "--no-recurse-submodules",
                "--", self._remote.url, f"+refs/heads/*:{_ORIGIN}*",
                cwd=self.path, deadline_s=deadline.left(), env_extra=environment, keep_open=(lock,),
            )  # fmt: skip
            branch = await self._choose_branch(_symref(told.decode("utf-8", "replace")), deadline)
            await git("symbolic-ref", _DEFAULT, _ORIGIN + branch, cwd=self.path, deadline_s=deadline.left())
            (self.path / _COMPLETE).touch(mode=0o600)

    async def _make(self, deadline: Deadline, lock: int) -> None:
        if (self.path / "config").exists() and (self.path / "HEAD").exists() and (self.path / "refs").is_dir():
            return
        # Made aside and moved: a copy that exists was initialised to the end.
        fresh = self.path.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        await git(
            "init", "--quiet", "--bare", "--shared=0600", "--template=", "--", str(fresh),
            cwd=self.root, deadline_s=deadline.left(), keep_open=(lock,),
        )  # fmt: skip
        fresh.chmod(0o700)
        # Workspaces start from commits that need not be the tip of a branch. Only our own fetches ever ask.
        await git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=fresh, deadline_s=deadline.left())
        fresh.rename(self.path)

    async def _choose_branch(self, told: str | None, deadline: Deadline) -> str:
        listed = await git(
            "for-each-ref", "--format=%(refname)", _ORIGIN, cwd=self.path, deadline_s=deadline.left()
        )  # fmt: skip
        branches = [line.removeprefix(_ORIGIN) for line in listed.decode("utf-8", "surrogateescape").splitlines()]
        if not branches:
            raise Refusal(f"The repository {self.name} has no commits yet. Push a first one, then ask again.")
        if self._base_branch is not None:
            if self._base_branch not in branches:
                raise Refusal(
                    f"The repository {self.name} has no branch {self._base_branch!r}. "
                    "Correct base_branch under [[repositories]], or push that branch."
                )
            return self._base_branch
        if told in branches:
            return told
        # The remote's HEAD is detached or names a branch that is not there.
        for usual in ("main", "master"):
            if usual in branches:
                return usual
        if len(branches) == 1:
            return branches[0]
        raise Refusal(
            f"The repository {self.name} does not say which branch is its default. Set base_branch under [[repositories]]."
        )

    def _older_copy(self, error: GitError) -> Refreshed:
        fetched = self.path / _COMPLETE
        if self._recorded_branch() is None or not fetched.exists():
            raise GitError(
                f"The repository {self.name} could not be fetched: {error}", retryable=error.retryable
            ) from error
        at = datetime.fromtimestamp(fetched.stat().st_mtime, UTC)
        return Refreshed(
            note=f"{self.name} could not be brought up to date ({error}); this is its state of {at:%Y-%m-%d %H:%M} UTC."
        )

    def _recorded_branch(self) -> str | None:
        try:
            pointer = (self.path / _DEFAULT).read_text()
        except FileNotFoundError:
            return None
        target = pointer.removeprefix("ref: ").strip()
        return target.removeprefix(_ORIGIN) if target.startswith(_ORIGIN) else None

    def _remove_stale_locks(self) -> None:
        # Left by a git that was killed outright; git itself never removes them and refuses to work.
        candidates = [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]
        for candidate in candidates:
            with suppress(FileNotFoundError):
                if candidate.stat().st_mtime < time.time() - _STALE_LOCK_S:
                    candidate.unlink()


def _symref(told: str) -> str | None:
    for line in told.splitlines():
        target, _, name = line.partition("\t")
        if name == "HEAD" and target.startswith("ref: refs/heads/"):
            return target.removeprefix("ref: refs/heads/")
    return None
