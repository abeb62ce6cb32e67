"""Which workspace a session works in. It knows the configured repositories and who holds which branch."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from msgspec.structs import replace

from dragoman import logs
from dragoman.core.session import Session, Workspace, live_turn, profile
from dragoman.errors import GitError
from dragoman.ids import SessionId
from dragoman.ledger import find
from dragoman.ledger.sqlite import SqliteLedger
from dragoman.repositories.configured import Repository, repository_of
from dragoman.repositories.naming import (
    branch_name,
    checkpoint_ref,
    is_branch_name,
    pushed_ref,
    session_ref,
    short_hash,
    workspace_path,
)
from dragoman.repositories.preparing import Preparation
from dragoman.repositories.reading import write_beside
from dragoman.repositories.removal import collect, drop_saved, erase_workspace
from dragoman.repositories.rescue import Removed, checkpoint, remove_workspace, restore_workspace, saved_refs
from dragoman.repositories.trusted import Token, TrustedRepository
from dragoman.repositories.workspaces import ensure_workspace, recorded_base, save_branch, standing_workspaces

FETCH_S = 120.0
ANSWER_BRANCH = "dragoman/answer"  # of a checkout that is thrown away; it never leaves it
OWN_FOLDER, BUNDLE = ".dragoman", "upstream.bundle"  # in a workspace; never part of a change
MADE_ANEW = (
    "it was removed since your last message and made anew from the repository. What you had changed or committed there "
    "may be missing: look before you build on it, and say so in your answer."
)
_log = logs.get("desk")


class Desk:
    """Makes and finds workspaces on this host.

    workspaces_dir  writable to agents; trusted_dir is hidden from them
    token_for       what opens the remote of a repository, beside a credential in its url
    """

    def __init__(
        self,
        ledger: SqliteLedger,
        repositories: Sequence[Repository],
        *,
        workspaces_dir: Path,
        trusted_dir: Path,
        token_for: Callable[[Repository], Token | None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._workspaces_dir = workspaces_dir
        self._trusted_dir = trusted_dir
        self._repositories: tuple[Repository, ...] = ()
        self._trusted: dict[str, TrustedRepository] = {}
        self._token_for = token_for
        self.serve(repositories)
        self._held: dict[
            tuple[str, str], SessionId
        ] = {}  # (repository, branch) of starts whose outcome is not told yet

    def serve(self, repositories: Sequence[Repository]) -> None:
        """Work in these from now on. Our copy of one that is no longer among them stays, for what is under way in it."""
        before = {one.name: one for one in self._repositories}
        for one in repositories:
            if before.get(one.name) != one:
                self._trusted[one.name] = TrustedRepository(
                    self._trusted_dir, one.name, one.url, base_branch=one.base_branch, token=self._token_for(one)
                )
        self._repositories = tuple(repositories)

    async def workspace(self, session: Session) -> tuple[Workspace, tuple[str, ...]]:
        """The workspace of a session, made if it is missing, and notes for the agent.

        Raises  GitError when the repository cannot be fetched and there is no older copy; Refusal
        """
        repository = self.repository(session)
        trusted = self._trusted[repository.name]
        known = session.workspace
        if known is not None and _is_there(known):
            return known, ()
        refreshed = await trusted.refresh(FETCH_S)
        others = await self._other_sessions(session)
        start_from = await self._earlier_work(trusted, others)
        if profile(session) == "answer":
            made = await ensure_workspace(
                trusted,
                root=self._workspaces_dir,
                session=_of_answer(session.id),
                issue_key=session.issue.key if session.issue else None,
                branch=ANSWER_BRANCH,
                start_from=start_from,
            )
            return Workspace(repository=repository.name, directory=made.directory, branch=made.branch), made.notes
        if known is not None and (restored := await self._restored(session, trusted)) is not None:
            return replace(restored, base=known.base), ()
        base = known.base if known else await self._base(session, trusted)
        taken = {trusted.default_branch(), base} - {""}
        branch = known.branch if known else self._branch(session, repository, taken, others)
        made = await ensure_workspace(
            trusted,
            root=self._workspaces_dir,
            session=session.id,
            issue_key=session.issue.key if session.issue else None,
            branch=branch,
            base=base if base and await trusted.branch_tip(base) else None,
            start_from=start_from,
        )
        again = (MADE_ANEW,) if known is not None else ()
        notes = (*again, *made.notes, *((refreshed.note,) if refreshed.note else ()))
        place = Workspace(repository=repository.name, directory=made.directory, branch=made.branch, base=base)
        return place, notes

    async def _base(self, session: Session, trusted: TrustedRepository) -> str:
        """The branch that a sub-issue's work starts from: the parent issue's, where the remote has it; else empty."""
        issue = session.issue
        if issue is None or issue.parent is None:
            return ""
        above = await self._ledger.read(find.sessions_of_issue, issue.parent)
        ours = [one.workspace.branch for one in above if one.workspace and one.workspace.repository == trusted.name]
        for branch in dict.fromkeys([*ours, issue.parent_branch]):
            if is_branch_name(branch) and await trusted.branch_tip(branch):
                return branch
        return ""

    async def forget(self, session: Session) -> bool:
        """Remove the workspace of a session and the commits that were saved of it; whether there was a workspace.

        Raises  GitError
        """
        name = session.workspace.repository if session.workspace else self.repository(session).name
        # One that is no longer configured is only tidied up: its address is not used.
        trusted = self._trusted.get(name) or TrustedRepository(self._trusted_dir, name, "https://unknown.invalid/x.git")
        issue_key = session.issue.key if session.issue else None
        await self._drop_pushed(session, trusted)
        found = [
            await erase_workspace(trusted, root=self._workspaces_dir, session=owner, issue_key=issue_key)
            for owner in (session.id, _of_answer(session.id))
        ]
        return any(found)

    async def collect(self) -> list[str]:
        """Remove commits that nothing names any more from all trusted repositories; where that failed, and why."""
        failed = []
        for name, trusted in self._trusted.items():
            try:
                await collect(trusted)
            except GitError as error:
                failed.append(f"our copy of {name} could not be tidied up: {error}")
        return failed

    async def save(self, session: Session) -> str | None:
        """Save a session's workspace as it is; None when there is none. Raises GitError, Refusal."""
        return await checkpoint(self.trusted(session), **self._place(session))

    async def remove(self, session: Session) -> Removed | None:
        """Save a session's workspace and remove it; None when there is none. Raises GitError, Refusal."""
        return await remove_workspace(self.trusted(session), **self._place(session))

    async def drop_saved(self, session: Session) -> bool:
        """Drop all that was saved of a session whose workspace is gone; whether that was so. Raises GitError, Refusal."""
        trusted = self.trusted(session)
        await self._drop_pushed(session, trusted)
        return await drop_saved(trusted, **self._place(session))

    async def _drop_pushed(self, session: Session, trusted: TrustedRepository) -> None:
        if any(one.checkpoint_push for one in self._repositories if one.name == trusted.name):
            await trusted.drop_pushed(checkpoint_ref(session.id))

    def copies(self) -> list[TrustedRepository]:
        """Our copies of the repositories that are worked in."""
        return list(self._trusted.values())

    async def restore(self, session: Session) -> Workspace:
        """Put back what was removed. Raises GitError, Refusal."""
        made = await restore_workspace(self.trusted(session), **self._place(session))
        return Workspace(repository=made.repository, directory=made.directory, branch=made.branch)

    async def _restored(self, session: Session, trusted: TrustedRepository) -> Workspace | None:
        """The workspace as it was saved, byte for byte; None when nothing was."""
        if not any([await trusted.resolve(ref) for ref in saved_refs(session.id, _key(session))]):
            return None
        return await self.restore(session)

    def _place(self, session: Session) -> _Place:
        return _Place(root=self._workspaces_dir, session=session.id, issue_key=_key(session))

    def workspaces(self) -> list[SessionId]:
        """The sessions of which a workspace is on disk."""
        return [one.session for trusted in self._trusted.values() for one in standing_workspaces(trusted)]

    def preparation(self, session: Session) -> Preparation:
        """What is to be done before an agent begins in the session's workspace."""
        return Preparation(self.trusted(session), **self._place(session))

    def standing(self, session: Session) -> str | None:
        """The directory of a workspace that was made for a session which has not heard of it; None when there is none."""
        issue_key = session.issue.key if session.issue else None
        owner = _of_answer(session.id) if profile(session) == "answer" else session.id
        place = workspace_path(self._workspaces_dir.absolute(), self.repository(session).name, owner, issue_key)
        return str(place) if place.is_dir() else None

    async def discard(self, session: Session, directory: str) -> None:
        """Remove the checkout of a simple answer, if that is what stands there."""
        place = Path(directory)
        name = short_hash(_of_answer(session.id))
        if place.parent.parent == self._workspaces_dir.absolute() and place.name.endswith(f"-{name}"):
            await asyncio.to_thread(_remove, place)

    async def bring_upstream(self, session: Session, place: Workspace) -> str:
        """Lay what the remote's base and branch hold now into the workspace; how the agent takes it up, or "".

        It has no credentials and no address of the remote, and no git of ours runs in its files. So it gets a file.
        """
        trusted = self.trusted(session)
        note = (await trusted.refresh(FETCH_S)).note
        own = bool(place.base) and await trusted.branch_tip(place.base) is not None
        base = place.base if own else trusted.default_branch()
        start = recorded_base(trusted, session.id)
        known = [one for one in (start, session_ref(session.id), pushed_ref(session.id)) if one]
        data = await trusted.bundle((base, place.branch), known)
        if not data:
            return note or ""
        await asyncio.to_thread(write_beside, Path(place.directory), OWN_FOLDER, BUNDLE, data)
        # In workspaces that are older than their .git/info/exclude, too, `git add --all` must not take it.
        await asyncio.to_thread(write_beside, Path(place.directory), OWN_FOLDER, ".gitignore", b"*\n")
        path = f"{OWN_FOLDER}/{BUNDLE}"
        return (
            f"the newest commits of the remote are in {path}. `git fetch {path} '+refs/remotes/origin/*:refs/remotes/"
            f"origin/*'` brings them; then `origin/{base}` is the base as it is now. If `origin/{place.branch}` exists "
            f"and holds commits that `{place.branch}` has not, somebody added them: merge them first."
        )

    def trusted(self, session: Session) -> TrustedRepository:
        """Our copy of the repository that a session works in."""
        return self._trusted[self.repository(session).name]

    def repository(self, session: Session) -> Repository:
        """The repository that a session works in, or would. Raises Refusal when that is not configured any more."""
        name = session.workspace.repository if session.workspace is not None else session.repository
        return repository_of(self._repositories, name)

    def _branch(self, session: Session, repository: Repository, never: Iterable[str], others: Sequence[Session]) -> str:
        taken = set(never)
        for other in others:
            if other.workspace and other.workspace.repository == repository.name and live_turn(other):
                taken.add(other.workspace.branch)
        held = {
            branch for (name, branch), owner in self._held.items() if name == repository.name and owner != session.id
        }
        issue = session.issue
        branch = branch_name(
            session=session.id,
            issue_key=issue.key if issue else None,
            title=issue.title if issue else "",
            suggested=issue.branch_name if issue else None,
            taken=taken | held,
        )
        self._held[(repository.name, branch)] = session.id
        return branch

    def told(self, session: Session) -> None:
        """After each turn: once its workspace is on disk, or it rests, the session's branch need not be held here."""
        if session.workspace is not None or live_turn(session) is None:
            for key in [key for key, owner in self._held.items() if owner == session.id]:
                del self._held[key]

    async def _other_sessions(self, session: Session) -> list[Session]:
        if session.issue is None:
            return []
        found = await self._ledger.read(find.sessions_of_issue, session.issue.id)
        return [other for other in found if other.id != session.id]

    async def _earlier_work(self, trusted: TrustedRepository, others: Sequence[Session]) -> str | None:
        """The branch of the newest earlier session on the issue that rests, copied to where we may start from."""
        for other in others:
            place = other.workspace
            if place is None or live_turn(other) is not None or place.repository != trusted.name:
                continue
            if profile(other) == "answer":
                continue
            ref = session_ref(other.id)
            try:
                if _is_there(place) and await save_branch(trusted, place, ref):
                    return ref
            except GitError as error:
                _log.warning("earlier_work.unreadable", session=other.id, error=str(error))
            if await trusted.resolve(ref):
                return ref
        return None


def _of_answer(session: SessionId) -> SessionId:
    """Whose the checkout of a simple answer is: not the session's own, so that neither is taken for the other."""
    return SessionId(f"{session}-answer")


def _remove(place: Path) -> None:
    """Out of the way first: half of a checkout must not be found as a whole one."""
    aside = place.with_name(f".{place.name}.gone")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        place.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


class _Place(TypedDict):
    """Where the workspace of a session lies, as the functions of `rescue` ask for it."""

    root: Path
    session: SessionId
    issue_key: str | None


def _key(session: Session) -> str | None:
    return session.issue.key if session.issue else None


def _is_there(place: Workspace) -> bool:
    return Path(place.directory).is_dir()
